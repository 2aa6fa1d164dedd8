import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from misp_playbook_lib.sandbox.modules import Modules


@pytest.fixture
def modules() -> Iterator[Modules]:
    with Modules() as service:
        yield service


def query(modules: Modules, body: Any) -> requests.Response:
    data = body if isinstance(body, str) else json.dumps(body)
    return requests.post(f"{modules.url}/query", data=data, headers={"Content-Type": "application/json"}, timeout=10)


def ask(modules: Modules, module: str, kind: str, value: str, key: str = "good") -> Any:
    attribute = {"type": kind, "uuid": "5a1c5a6d-4d8c-4c0a-9d2d-000000000001", "value": value}
    return query(modules, {"module": module, "attribute": attribute, "config": {"apikey": key}}).json()


def values(answer: Any) -> list[tuple[str, Any]]:
    """What a lookup brought, as the original counts it: free text, numbers and times left out."""
    return [
        (f"{attribute['category']}/{attribute['type']}", attribute["value"])
        for found in answer["results"]["Object"]
        for attribute in found["Attribute"]
        if attribute["category"] != "Other"
    ]


def test_virustotal_gives_the_fifteen_values_of_the_original(modules: Modules) -> None:
    sha256 = "030cbd1a51f8583ccfc3fa38a28a5550dc1c84c05d6c0f5eb887d13dedf1da01"
    by_hash = ask(modules, "virustotal_public", "md5", "028878c4b6ab475ed0be97eca6f92af9")
    by_name = ask(modules, "virustotal_public", "hostname", "johnshopkin.net")
    by_address = ask(modules, "virustotal_public", "ip-src", "158.255.208.168")
    assert sorted(values(by_hash)) == [
        ("External analysis/link", f"https://www.virustotal.com/gui/file/{sha256}/detection/f-{sha256}-1676466051"),
        ("External analysis/text", "55/70"),
        ("Payload delivery/md5", "028878c4b6ab475ed0be97eca6f92af9"),
        ("Payload delivery/sha1", "02c37ccdfccfe03560a4bf069f46e8ae3a5d2348"),
        ("Payload delivery/sha256", sha256),
    ]
    addresses = ["152.89.247.66", "172.105.27.36", "44.227.65.245", "44.227.76.166", "45.61.137.20", "54.197.173.238"]
    assert values(by_name) == [
        ("Network activity/domain", "johnshopkin.net"),
        *(("Network activity/ip-dst", address) for address in addresses),
    ]
    assert values(by_address) == [
        ("Network activity/AS", "9009"),
        ("Network activity/ip-dst", "158.255.208.168"),
        ("Network activity/domain", "hk-ed.metercdn.net"),
    ]


def test_shodan_gives_the_values_of_the_original(modules: Modules) -> None:
    assert {value for _, value in values(ask(modules, "shodan", "ip-src", "158.255.208.168"))} == {
        "AS9009",
        "158.255.208.168",
        "80",
        "443",
        "8443",
        "158.in-addr.arpa",
        "metercdn.net",
        "168.208.255.158.in-addr.arpa",
        "2ae166ec2af00fa9bce0d9f992608f9075109d6b9a126274213a8a2d1c83ab70",
        "0e8ff37c435bccb4082ffa95aa3ed5cbd04f6e87",
    }


def test_each_answer_has_ids_of_its_own(modules: Modules) -> None:
    first, second = (ask(modules, "shodan", "ip-src", "158.255.208.168")["results"]["Object"] for _ in range(2))
    assert {each["uuid"] for each in first}.isdisjoint({each["uuid"] for each in second})


@pytest.mark.parametrize("body", [{"error": "Asked too often"}, {"results": []}, {"results": {}}, False])
def test_a_test_adds_an_answer_of_any_shape(modules: Modules, body: Any) -> None:
    modules.answers["hashlookup", "md5", "a" * 32] = body
    assert ask(modules, "hashlookup", "md5", "A" * 32) == body


def test_a_test_adds_an_answer_of_the_old_style(modules: Modules) -> None:
    body = {"results": [{"types": ["text"], "values": ["Example"]}]}
    modules.answers["countrycode", "hostname", "host.example"] = body
    assert query(modules, {"module": "countrycode", "hostname": "host.example"}).json() == body


def test_a_test_adds_a_module_and_what_it_answers(modules: Modules) -> None:
    taken = {"input": ["AS"], "format": "misp_standard"}
    modules.modules.append({"name": "asn_example", "type": "expansion", "mispattributes": taken, "meta": {}})
    modules.answers["asn_example", "AS", "AS64496"] = lambda asked: {"results": {"Attribute": [dict(asked)]}}
    assert ask(modules, "asn_example", "AS", "AS64496")["results"]["Attribute"][0]["value"] == "AS64496"
    assert ask(modules, "asn_example", "AS", "AS64497")["error"].startswith("Something went wrong")


def test_lookups_beyond_a_keys_calls_are_refused_and_spend_what_is_left(modules: Modules) -> None:
    modules.calls_left["limited"] = 7
    first = ask(modules, "virustotal_public", "md5", "028878c4b6ab475ed0be97eca6f92af9", "limited")
    assert "results" in first
    assert modules.calls_left["limited"] == 3
    second = ask(modules, "virustotal_public", "hostname", "johnshopkin.net", "limited")
    assert second == {"error": "Quota exceeded"}
    assert modules.calls_left["limited"] == 0
    assert "results" in ask(modules, "virustotal_public", "hostname", "johnshopkin.net", "unlimited")


def test_an_unknown_value_costs_one_call(modules: Modules) -> None:
    modules.calls_left["limited"] = 1
    assert "not found" in ask(modules, "virustotal_public", "md5", "a" * 32, "limited")["error"]
    assert ask(modules, "virustotal_public", "md5", "a" * 32, "limited") == {"error": "Quota exceeded"}


@pytest.mark.parametrize(("module", "kind"), [("hashlookup", "md5"), ("cve", "vulnerability")])
def test_a_module_without_answers_fails_as_without_a_network(modules: Modules, module: str, kind: str) -> None:
    words = "Something went wrong, look in the server logs for details"
    assert ask(modules, module, kind, "CVE-2020-1472") == {"error": words}


def test_hashes_and_host_names_are_known_in_any_case(modules: Modules) -> None:
    assert values(ask(modules, "virustotal", "md5", "028878C4B6AB475ED0BE97ECA6F92AF9"))
    assert values(ask(modules, "virustotal", "domain", "JohnsHopkin.net"))
