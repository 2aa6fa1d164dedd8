import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from misp_playbook_lib.sandbox.modules import Modules

RECORDINGS = Path(__file__).parents[1] / "data" / "misp-modules-3.1.0"
RECORDED_MODULES: dict[str, Any] = {
    module["name"]: module for module in json.loads((RECORDINGS / "modules.json").read_text())
}
RECORDED: dict[str, Any] = {
    exchange["name"]: exchange for exchange in json.loads((RECORDINGS / "query.json").read_text())["exchanges"]
}

NO_NETWORK = "recorded without a network; the sandbox needs none for VirusTotal and Shodan"
NOT_LIGHT = "a module that the playbook does not name; a test may add it with its answers"
LEFT_OUT = {
    "envproxyonly_vt_public_md5": NO_NETWORK,
    "shodan_no_network": NO_NETWORK,
    "vt_no_network": NO_NETWORK,
    "vt_public_no_network": NO_NETWORK,
    "vt_public_stickyerror": "a proxy without a scheme; the sandbox connects to nothing",
    "extract_url_components": NOT_LIGHT,
    "jinja_template": NOT_LIGHT,
    "rulezet": NOT_LIGHT,
    "ssh_fingerprint": NOT_LIGHT,
}
ORIGINALS_VALUES = {"launcher_vt_md5_ok", "launcher_vt_public_md5_ok", "launcher_vt_public_hostname_ok"} | {
    "launcher_vt_public_ip_ok"
}
"""Recorded with made-up values beside the original demo's; the sandbox gives the original's alone."""


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


def shape(value: Any, asked: str = "") -> Any:
    """The answer without the ids that each answer makes anew; the id asked about stays."""
    if isinstance(value, dict):
        return {
            key: "an id" if key.endswith("uuid") and key != "template_uuid" and each != asked else shape(each, asked)
            for key, each in value.items()
        }
    return [shape(each, asked) for each in value] if isinstance(value, list) else value


def values(answer: Any) -> list[tuple[str, Any]]:
    """What a lookup brought, as the original counts it: free text, numbers and times left out."""
    return [
        (f"{attribute['category']}/{attribute['type']}", attribute["value"])
        for found in answer["results"]["Object"]
        for attribute in found["Attribute"]
        if attribute["category"] != "Other"
    ]


@pytest.mark.parametrize(
    "name",
    [name for name in RECORDED if not name.startswith("proxycfg") and name not in ORIGINALS_VALUES | {*LEFT_OUT}],
)
def test_a_recorded_exchange_is_answered_alike(modules: Modules, name: str) -> None:
    recorded = RECORDED[name]
    answer = query(modules, recorded["request"])
    assert answer.status_code == recorded["response"]["status"]
    assert answer.headers["Content-Type"] == recorded["response"]["content_type"]
    body = answer.text if answer.status_code == 500 else answer.json()
    asked = "5a1c5a6d-4d8c-4c0a-9d2d-000000000001"
    assert shape(body, asked) == shape(recorded["response"]["body"], asked)


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("proxycfg")])
def test_proxy_settings_change_no_answer(modules: Modules, name: str) -> None:
    with_proxy = RECORDED[name]["request"]
    without = with_proxy | {"config": {"apikey": with_proxy["config"]["apikey"]}}
    assert shape(query(modules, with_proxy).json()) == shape(query(modules, without).json())


@pytest.mark.parametrize("name", sorted(ORIGINALS_VALUES))
def test_the_demos_lookups_have_the_recorded_shapes(modules: Modules, name: str) -> None:
    def described(body: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for found in shape(body)["results"]["Object"]:
            made[found["name"]] = {key: each for key, each in found.items() if key != "Attribute"}
            for attribute in found["Attribute"]:
                made[found["name"], attribute["object_relation"]] = attribute | {"value": ""}
        return made

    recorded = described(RECORDED[name]["response"]["body"])
    answered = described(query(modules, RECORDED[name]["request"]).json())
    assert answered == {key: recorded[key] for key in answered}
    assert answered


def test_what_is_left_out_of_the_recordings_is_named() -> None:
    assert set(LEFT_OUT) < set(RECORDED)


def test_the_modules_describe_themselves_as_the_real_ones(modules: Modules) -> None:
    answer = requests.get(f"{modules.url}/modules", timeout=10)
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"
    listed = {module["name"]: module for module in answer.json()}
    assert {"virustotal_public", "virustotal", "shodan", "countrycode"} < set(listed)
    assert listed == {name: RECORDED_MODULES[name] for name in listed}
    assert any("input" not in module["mispattributes"] for module in listed.values())


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


def test_an_address_asked_as_destination_has_destination_ports(modules: Modules) -> None:
    found = ask(modules, "shodan", "ip-dst", "158.255.208.168")["results"]
    [ports] = [each for each in found["Object"] if each["name"] == "ip-port"]
    relations = [attribute["object_relation"] for attribute in ports["Attribute"]]
    assert relations == ["ip-dst", *["dst-port"] * 3, "domain", "domain", "hostname", "hostname"]
    assert found["Attribute"][0]["type"] == "ip-dst"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("sha1", "02c37ccdfccfe03560a4bf069f46e8ae3a5d2348"),
        ("sha256", "030CBD1A51F8583CCFC3FA38A28A5550DC1C84C05D6C0F5EB887D13DEDF1DA01"),
        ("domain", "JohnsHopkin.net"),
        ("ip-dst", "158.255.208.168"),
        ("ip-dst|port", "158.255.208.168|443"),
    ],
)
def test_virustotal_knows_the_demos_indicators_under_their_other_types(modules: Modules, kind: str, value: str) -> None:
    assert values(ask(modules, "virustotal", kind, value))


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("sha1", "a" * 40, f'File "{"a" * 40}" not found'),
        ("hostname", "host.example", 'Domain "host.example" not found'),
        ("ip-src", "192.0.2.1", 'IP address "192.0.2.1" not found'),
        ("url", "https://host.example/", "URL not found"),
    ],
)
def test_virustotal_says_that_it_does_not_know_a_value(modules: Modules, kind: str, value: str, words: str) -> None:
    assert ask(modules, "virustotal_public", kind, value) == {"error": words}


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


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/query", 405, "Method Not Allowed"),
        ("POST", "/modules", 405, "Method Not Allowed"),
        ("GET", "/nowhere", 404, "Not Found"),
    ],
)
def test_a_wrong_path_or_method_is_a_page(modules: Modules, method: str, path: str, status: int, words: str) -> None:
    answer = requests.request(method, modules.url + path, timeout=10)
    title = f"{status}: {words}"
    assert answer.status_code == status
    assert answer.text == f"<html><title>{title}</title><body>{title}</body></html>"


def test_health_and_version_are_said(modules: Modules) -> None:
    assert requests.get(f"{modules.url}/healthcheck", timeout=10).json() == {"status": True}
    assert requests.get(f"{modules.url}/version", timeout=10).json() == {"version": "3.1.0"}


@pytest.mark.parametrize("timeout", ["soon", None, [], 1e400])
def test_a_timeout_that_is_no_number_of_seconds_breaks_the_request(modules: Modules, timeout: Any) -> None:
    body = json.dumps({"module": "shodan", "timeout": timeout}).replace("Infinity", "1e400")
    assert query(modules, body).status_code == 500
