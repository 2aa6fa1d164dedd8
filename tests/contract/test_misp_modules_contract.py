"""What misp-modules 3.1.0 was recorded to answer, asked of the sandbox's light one and of the real one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import MODULE_TABLE, ModuleRow
from misp_playbook_lib.model.results import LookupStatus
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.modules import CALLS, Modules
from misp_playbook_lib.sandbox.real_modules import PYTHON, RealModules
from misp_playbook_lib.steps.enrich import lookup as put

RECORDINGS = Path(__file__).parents[1] / "data" / "misp-modules-3.1.0"
MODULES: dict[str, Any] = {each["name"]: each for each in json.loads((RECORDINGS / "modules.json").read_text())}
EXCHANGES: dict[str, Any] = {
    each["name"]: each for each in json.loads((RECORDINGS / "query.json").read_text())["exchanges"]
}
ASKED = "5a1c5a6d-4d8c-4c0a-9d2d-000000000001"

NO_NETWORK = "recorded without the vendors' answers, or without the Internet"
NOT_LIGHT = "a module that the sandbox does not have; a test may add it with its answers"
LEFT_OUT = {
    "cpe_nonet": NO_NETWORK,
    "cve_nonet": NO_NETWORK,
    "envproxyonly_vt_public_md5": NO_NETWORK,
    "extract_url_components": NOT_LIGHT,
    "hashlookup_nonet": NO_NETWORK,
    "jinja_template": NOT_LIGHT,
    "rulezet": NO_NETWORK,
    "shodan_no_network": NO_NETWORK,
    "ssh_fingerprint": NOT_LIGHT,
    "vt_no_network": NO_NETWORK,
    "vt_public_no_network": NO_NETWORK,
    "vt_public_stickyerror": "a proxy without a scheme; the light modules connect to nothing",
}
WITH_MADE_UP_VALUES = {
    f"{how}_{lookup}_ok"
    for how in ("launcher", "proxycfg")
    for lookup in ("vt_md5", "vt_public_md5", "vt_public_hostname", "vt_public_ip")
}
"""Recorded with made-up values beside those of the original's demo: the light modules give the original's alone."""

PROXY_PORT = "8899"
"""Where the proxy stood through which the exchanges called proxycfg_… were recorded."""

Query = Callable[..., requests.Response]


def require_the_real_one() -> None:
    if not PYTHON.exists():
        reason = "no real misp-modules: `make misp-modules` makes its environment"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.fixture(scope="module", params=["light", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[Modules | RealModules]:
    if request.param == "real":
        require_the_real_one()
    with Modules() if request.param == "light" else RealModules() as service:
        yield service


@pytest.fixture
def query(server: Modules | RealModules) -> Query:
    def post(body: Any) -> requests.Response:
        data = body if isinstance(body, str) else json.dumps(body)
        if isinstance(server, RealModules):
            data = data.replace(f'"{PROXY_PORT}"', f'"{server.vendors.port}"')
        return requests.post(f"{server.url}/query", data=data, timeout=30)

    return post


def lookup(module: str, kind: str, value: str) -> dict[str, Any]:
    return {"module": module, "attribute": {"type": kind, "uuid": ASKED, "value": value}, "config": {"apikey": "good"}}


def shape(value: Any) -> Any:
    """An answer without the ids that are made anew for each; the id asked about stays."""
    if isinstance(value, dict):
        made = {key for key, each in value.items() if key.endswith("uuid") and key != "template_uuid" and each != ASKED}
        return {key: "an id" if key in made else shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else value


def described(answer: Any) -> dict[Any, Any]:
    """Each kind of object and of attribute in an answer, without the values."""
    made: dict[Any, Any] = {}
    for found in shape(answer)["results"]["Object"]:
        made[found["name"]] = {key: each for key, each in found.items() if key != "Attribute"}
        for attribute in found["Attribute"]:
            made[found["name"], attribute["object_relation"]] = attribute | {"value": ""}
    return made


def values(answer: Any) -> list[tuple[str, Any]]:
    return [
        (f"{attribute['category']}/{attribute['type']}", attribute["value"])
        for found in answer["results"]["Object"]
        for attribute in found["Attribute"]
    ]


@pytest.mark.parametrize("name", [name for name in EXCHANGES if name not in LEFT_OUT])
def test_an_exchange_goes_as_recorded(server: Modules | RealModules, query: Query, name: str) -> None:
    recorded = EXCHANGES[name]["response"]
    answer = query(EXCHANGES[name]["request"])
    body = answer.text if answer.status_code == 500 else answer.json()
    assert answer.status_code == recorded["status"]
    assert answer.headers["Content-Type"] == recorded["content_type"]
    if name in WITH_MADE_UP_VALUES and isinstance(server, Modules):
        assert described(body)
        assert described(body).items() <= described(recorded["body"]).items()
    else:
        assert shape(body) == shape(recorded["body"])


def test_what_is_left_out_was_recorded() -> None:
    assert set(EXCHANGES) > set(LEFT_OUT) | WITH_MADE_UP_VALUES


def test_the_modules_describe_themselves_as_recorded(server: Modules | RealModules) -> None:
    answer = requests.get(f"{server.url}/modules", timeout=30)
    listed = {module["name"]: module for module in answer.json()}
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert {"virustotal_public", "virustotal", "shodan", "countrycode", "csvimport"} <= set(listed)
    assert listed == {name: MODULES[name] for name in listed}
    assert "input" not in listed["csvimport"]["mispattributes"]


@pytest.mark.parametrize("module", ["virustotal_public", "virustotal"])
def test_virustotal_has_the_fifteen_values_of_the_original(query: Query, module: str) -> None:
    sha256 = "030cbd1a51f8583ccfc3fa38a28a5550dc1c84c05d6c0f5eb887d13dedf1da01"
    addresses = ["152.89.247.66", "172.105.27.36", "44.227.65.245", "44.227.76.166", "45.61.137.20", "54.197.173.238"]
    by_hash = values(query(lookup(module, "md5", "028878c4b6ab475ed0be97eca6f92af9")).json())
    by_name = values(query(lookup(module, "hostname", "johnshopkin.net")).json())
    by_address = values(query(lookup(module, "ip-src", "158.255.208.168")).json())
    [link] = [
        value
        for kind, value in by_hash
        if kind == "External analysis/link" and value.startswith(f"https://www.virustotal.com/gui/file/{sha256}")
    ]
    assert {
        ("Payload delivery/md5", "028878c4b6ab475ed0be97eca6f92af9"),
        ("Payload delivery/sha1", "02c37ccdfccfe03560a4bf069f46e8ae3a5d2348"),
        ("Payload delivery/sha256", sha256),
        ("External analysis/link", link),
        ("External analysis/text", "55/70"),
    } <= set(by_hash)
    assert {
        ("Network activity/domain", "johnshopkin.net"),
        *(("Network activity/ip-dst", address) for address in addresses),
    } <= set(by_name)
    assert {
        ("Network activity/AS", "9009"),
        ("Network activity/ip-dst", "158.255.208.168"),
        ("Network activity/domain", "hk-ed.metercdn.net"),
    } <= set(by_address)


@pytest.mark.parametrize(
    ("module", "kind", "value"),
    [
        ("virustotal_public", "sha1", "02c37ccdfccfe03560a4bf069f46e8ae3a5d2348"),
        ("virustotal_public", "sha256", "030cbd1a51f8583ccfc3fa38a28a5550dc1c84c05d6c0f5eb887d13dedf1da01"),
        ("virustotal_public", "domain", "johnshopkin.net"),
        ("virustotal_public", "ip-dst", "158.255.208.168"),
        ("virustotal", "ip-dst|port", "158.255.208.168|443"),
        ("virustotal", "ip-src|port", "158.255.208.168|443"),
    ],
)
def test_the_demos_indicators_are_known_under_their_other_types(
    query: Query, module: str, kind: str, value: str
) -> None:
    assert values(query(lookup(module, kind, value)).json())


def test_an_address_asked_as_destination_has_destination_ports(query: Query) -> None:
    source, destination = (query(lookup("shodan", kind, "158.255.208.168")).json() for kind in ("ip-src", "ip-dst"))

    def as_destination(answer: Any) -> Any:
        text = json.dumps(shape(answer))
        return json.loads(text.replace('"ip-src"', '"ip-dst"').replace('"src-port"', '"dst-port"'))

    assert shape(destination) == as_destination(source)
    assert shape(destination) != shape(source)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("sha1", "a" * 40, f'File "{"a" * 40}" not found'),
        ("hostname", "host.example", 'Domain "host.example" not found'),
        ("ip-src", "192.0.2.1", 'IP address "192.0.2.1" not found'),
        ("url", "https://host.example/", "URL not found"),
    ],
)
def test_an_unknown_value_is_said_to_be_unknown(query: Query, kind: str, value: str, words: str) -> None:
    assert query(lookup("virustotal_public", kind, value)).json() == {"error": words}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"module": "virustotal", "config": "x"}, "Something went wrong, look in the server logs for details"),
        ({"module": "virustotal", "config": {"apikey": "k"}, "attribute": "x"}, 'This module requires an "attribute"'),
        ({"module": "shodan", "config": {}, "attribute": {}}, "Shodan authentication is missing"),
        ({"module": "countrycode", "attribute": {}}, "Something went wrong, look in the server logs for details"),
        ({"module": ["shodan"]}, "Something went wrong, look in the server logs for details"),
        ({"timeout": 0}, "Something went wrong, look in the server logs for details"),
        ({"module": "shodan", "timeout": -1}, "Timeout."),
    ],
)
def test_a_request_that_lacks_something_fails_in_the_modules_own_words(query: Query, body: Any, words: str) -> None:
    assert query(body).json()["error"].startswith(words)


@pytest.mark.parametrize(
    "body",
    [
        *(f'{{"module": "shodan", "timeout": {timeout}}}' for timeout in ('"soon"', "null", "[]", "1e400")),
        '{"module": "shodan", "note": NaN}',
        '"shodan"',
    ],
)
def test_a_body_that_the_server_cannot_read_breaks_the_request(query: Query, body: str) -> None:
    answer = query(body)
    assert (answer.status_code, answer.text[:6]) == (500, "<html>")


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/query", 405, "Method Not Allowed"),
        ("POST", "/modules", 405, "Method Not Allowed"),
        ("GET", "/nowhere", 404, "Not Found"),
    ],
)
def test_a_wrong_path_or_method_is_a_page(
    server: Modules | RealModules, method: str, path: str, status: int, words: str
) -> None:
    answer = requests.request(method, server.url + path, timeout=30)
    title = f"{status}: {words}"
    assert answer.status_code == status
    assert answer.text == f"<html><title>{title}</title><body>{title}</body></html>"


def test_health_and_version_are_said(server: Modules | RealModules) -> None:
    assert requests.get(f"{server.url}/healthcheck", timeout=30).json() == {"status": True}
    assert requests.get(f"{server.url}/version", timeout=30).json() == {"version": "3.1.0"}


PRICED = [
    ("md5", "028878c4b6ab475ed0be97eca6f92af9", "hash"),
    ("hostname", "johnshopkin.net", "host"),
    ("ip-src", "158.255.208.168", "ip"),
]


def calls_of(server: Modules | RealModules, module: str, kind: str, value: str) -> int:
    """How many API calls a lookup makes: as the vendor counts them, or as the sandbox debits them."""
    asked = lookup(module, kind, value)
    if isinstance(server, RealModules):
        server.vendors.clear_requests()
        requests.post(f"{server.url}/query", json=asked, timeout=30)
        return len(server.vendors.requests)
    server.calls_left["good"] = 100
    requests.post(f"{server.url}/query", json=asked, timeout=30)
    return 100 - server.calls_left.pop("good")


@pytest.mark.parametrize("module", CALLS)
@pytest.mark.parametrize(("kind", "value", "priced"), PRICED)
def test_a_lookup_costs_as_many_calls_as_the_playbook_expects_and_the_sandbox_debits(
    server: Modules | RealModules, module: str, kind: str, value: str, priced: str
) -> None:
    calls = calls_of(server, module, kind, value)
    assert calls == CALLS[module][priced] == MODULE_TABLE[module].cost(kind)


@pytest.mark.parametrize("module", CALLS)
@pytest.mark.parametrize(
    ("kind", "value"), [("sha1", "a" * 40), ("domain", "host.example"), ("ip-dst", "192.0.2.1"), ("url", "http://a/b")]
)
def test_an_unknown_value_costs_one_call(server: Modules | RealModules, module: str, kind: str, value: str) -> None:
    assert calls_of(server, module, kind, value) == 1


@pytest.mark.parametrize(
    ("module", "key", "status"),
    [
        ("virustotal_public", "good", LookupStatus.ANSWERED),
        ("virustotal_public", "bad", LookupStatus.KEY_REFUSED),
        ("virustotal_public", "forbidden", LookupStatus.KEY_REFUSED),
        ("virustotal_public", "quota", LookupStatus.RATE_LIMITED),
        ("virustotal_public", "e204", LookupStatus.FAILED),
        ("virustotal_public", "e500", LookupStatus.FAILED),
        ("virustotal", "good", LookupStatus.ANSWERED),
        ("virustotal", "bad", LookupStatus.KEY_REFUSED),
        ("virustotal", "forbidden", LookupStatus.KEY_REFUSED),
        ("virustotal", "quota", LookupStatus.RATE_LIMITED),
        ("shodan", "good", LookupStatus.ANSWERED),
        ("shodan", "bad", LookupStatus.UNKNOWN),
        ("shodan", "quota", LookupStatus.UNKNOWN),
        ("nowhere", "good", LookupStatus.UNKNOWN),
    ],
)
def test_the_playbook_gives_each_answer_its_status(
    server: Modules | RealModules, module: str, key: str, status: LookupStatus
) -> None:
    question = Indicator("ip-src", "158.255.208.168")
    assert put(MispModulesClient(server.url), module, question, key).status is status


@pytest.mark.parametrize("row", [row for row in MODULE_TABLE.values() if row.control], ids=lambda row: row.name)
def test_a_control_question_is_answered_with_a_good_key_alone(server: Modules | RealModules, row: ModuleRow) -> None:
    assert row.control
    client = MispModulesClient(server.url)
    assert row.control.type in next(one.accepts for one in client.modules() if one.name == row.name)
    good, *bad = (put(client, row.name, row.control, key) for key in ("good", "bad", "quota", "forbidden"))
    assert good.status is LookupStatus.ANSWERED
    assert {"AS15169", "dns.google"} <= {one.value for one in good.enrichments}
    assert {one.status for one in bad} == {LookupStatus.UNKNOWN}


def test_the_playbook_gets_the_same_answers_of_both(server: Modules | RealModules) -> None:
    by_hash = put(
        MispModulesClient(server.url), "virustotal_public", Indicator("md5", "028878c4b6ab475ed0be97eca6f92af9"), "good"
    )
    new = {one.value for one in by_hash.indicators}
    assert by_hash.detections == "55/70"
    assert {
        "02c37ccdfccfe03560a4bf069f46e8ae3a5d2348",
        "030cbd1a51f8583ccfc3fa38a28a5550dc1c84c05d6c0f5eb887d13dedf1da01",
    } <= new
    listed = {module.name: module.accepts for module in MispModulesClient(server.url).modules()}
    assert listed["shodan"] == ("ip-src", "ip-dst")


def test_the_sandbox_command_serves_the_real_one() -> None:
    require_the_real_one()
    command = [sys.executable, "-m", "misp_playbook_lib", "sandbox", "--misp-modules"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["misp_modules_url"]
            listed = requests.get(f"{url}/modules", timeout=30).json()
            question = Indicator("md5", "028878c4b6ab475ed0be97eca6f92af9")
            answer = put(MispModulesClient(url), "virustotal_public", question, "sandbox-virustotal-key")
        finally:
            process.send_signal(signal.SIGINT)
    assert len(listed) > 100
    assert answer.detections == "55/70"


def test_a_real_one_that_is_not_installed_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("misp_playbook_lib.sandbox.real_modules.PYTHON", Path("nowhere"))
    with pytest.raises(SettingsError, match="make misp-modules"):
        Sandbox(real_modules=True)
