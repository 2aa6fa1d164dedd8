"""Both styles of answer, and what of an answer is an echo, an indicator, a detection."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from misp_playbook_lib.clients.misp_modules import MispModulesClient, parse_answer
from misp_playbook_lib.errors import ServiceUnavailable, UnexpectedResponse
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.results import EnrichmentKind
from misp_playbook_lib.sandbox.modules import Modules
from misp_playbook_lib.sandbox.server import Response

RECORDINGS = Path(__file__).parents[1] / "data" / "misp-modules-3.1.0" / "query.json"
RECORDED = {each["name"]: each for each in json.loads(RECORDINGS.read_text())["exchanges"]}

MD5 = Indicator("md5", "028878c4b6ab475ed0be97eca6f92af9")
ADDRESS = Indicator("ip-src", "158.255.208.168")


@pytest.fixture
def modules() -> Iterator[Modules]:
    with Modules() as service:
        yield service


def told(answer: Any, indicator: Indicator) -> dict[EnrichmentKind, list[str]]:
    """Parse an answer and sort its values by what they are to the analyst."""
    kinds: dict[EnrichmentKind, list[str]] = {}
    for one in parse_answer(answer, indicator).enrichments:
        kinds.setdefault(one.kind, []).append(one.value)
    return kinds


def recorded(name: str) -> Any:
    return RECORDED[name]["response"]["body"]


def report(link: str, ratio: str) -> dict[str, Any]:
    """A virustotal-report as the modules write it."""
    return {
        "name": "virustotal-report",
        "Attribute": [
            {"object_relation": "permalink", "type": "link", "value": link, "category": "External analysis"},
            {"object_relation": "detection-ratio", "type": "text", "value": ratio, "category": "External analysis"},
        ],
    }


def test_of_two_reports_only_the_one_about_the_question_is_a_detection() -> None:
    kinds = told(recorded("launcher_vt_public_md5_ok"), MD5)
    assert kinds[EnrichmentKind.DETECTION] == ["55/70"]
    assert "10/70" in kinds[EnrichmentKind.CONTEXT]


def test_the_report_whose_permalink_names_the_question_counts_wherever_it_stands() -> None:
    link = "https://www.virustotal.com/gui/domain/"
    reports = [report(f"{link}other.example", "9/70"), report(f"{link}evil.example", "10/70")]
    kinds = told({"results": {"Object": reports}}, Indicator("domain", "evil.example"))
    assert kinds[EnrichmentKind.DETECTION] == ["10/70"]


def test_two_reports_of_the_same_ratio_are_one_detection_and_one_context() -> None:
    reports = [report("https://www.virustotal.com/gui/file/aa", "0/70"), report("https://x.example/b", "0/70")]
    kinds = told({"results": {"Object": reports}}, MD5)
    assert kinds[EnrichmentKind.DETECTION] == ["0/70"]
    assert "0/70" in kinds[EnrichmentKind.CONTEXT]


def test_what_was_asked_is_an_echo_and_other_hashes_names_and_addresses_are_new() -> None:
    kinds = told(recorded("launcher_vt_public_md5_ok"), MD5)
    assert kinds[EnrichmentKind.ECHO] == [MD5.value]
    assert set(kinds[EnrichmentKind.INDICATOR]) >= {
        "02c37ccdfccfe03560a4bf069f46e8ae3a5d2348",
        "030cbd1a51f8583ccfc3fa38a28a5550dc1c84c05d6c0f5eb887d13dedf1da01",
        "hk-ed.metercdn.net",
    }


def test_as_numbers_networks_and_reverse_names_are_no_indicators() -> None:
    by_virustotal = told(recorded("launcher_vt_public_ip_ok"), ADDRESS)
    by_shodan = told(recorded("launcher_shodan_ok"), ADDRESS)
    assert {"9009", "158.255.208.0/22"} <= set(by_virustotal[EnrichmentKind.CONTEXT])
    assert by_virustotal[EnrichmentKind.INDICATOR] == ["hk-ed.metercdn.net"]
    assert {"AS9009", "158.in-addr.arpa", "168.208.255.158.in-addr.arpa"} <= set(by_shodan[EnrichmentKind.CONTEXT])


def test_an_address_asked_with_its_port_is_an_echo_without_it() -> None:
    asked = Indicator("ip-dst|port", "158.255.208.168|443")
    assert ADDRESS.value in told(recorded("launcher_vt_public_ip_ok"), asked)[EnrichmentKind.ECHO]


def test_each_enrichment_keeps_its_object_and_relation() -> None:
    [address] = [
        one
        for one in parse_answer(recorded("launcher_vt_public_hostname_ok"), Indicator("hostname", "x")).enrichments
        if one.value == "152.89.247.66"
    ]
    assert (address.object_name, address.relation, address.type) == ("domain-ip", "ip", "ip-dst")
    assert address.category == "Network activity"


def test_the_older_style_of_answer_is_read_too() -> None:
    answer = {"results": [{"types": ["text"], "values": ["Network"]}, {"types": "domain", "values": "new.example"}]}
    kinds = told(answer, Indicator("domain", "evil.example"))
    assert kinds == {EnrichmentKind.CONTEXT: ["Network"], EnrichmentKind.INDICATOR: ["new.example"]}


@pytest.mark.parametrize("answer", [{"results": {"Attribute": []}}, {"results": {}}, {"results": []}])
def test_results_without_objects_are_an_empty_answer(answer: Any) -> None:
    assert parse_answer(answer, MD5).enrichments == ()


@pytest.mark.parametrize("answer", [False, None, "text", [], {}, {"results": None}, {"results": "text"}])
def test_an_answer_of_another_shape_is_an_error(answer: Any) -> None:
    with pytest.raises(UnexpectedResponse, match=r"not of the promised shape .*module server's log"):
        parse_answer(answer, MD5)


def test_odd_rows_inside_an_answer_are_left_out() -> None:
    answer = {"results": {"Object": ["text", {"name": "x", "Attribute": ["text", {"type": "md5", "value": None}]}]}}
    assert parse_answer(answer, MD5).enrichments == ()


def test_a_question_is_put_in_both_styles_with_the_key_and_a_timeout(modules: Modules) -> None:
    MispModulesClient(modules.url).query("virustotal_public", MD5, {"apikey": "good"})
    asked = modules.requests[-1].json
    assert asked["module"] == "virustotal_public"
    assert asked["attribute"]["value"] == asked["md5"] == MD5.value
    assert asked["config"] == {"apikey": "good"}
    assert asked["timeout"] == 60


def test_modules_without_accepted_types_are_listed_with_none(modules: Modules) -> None:
    found = {module.name: module.accepts for module in MispModulesClient(modules.url).modules()}
    assert found["shodan"] == ("ip-src", "ip-dst")
    assert found["csvimport"] == ()


@pytest.mark.parametrize("answer", [["x"], [{"title": "x"}], {"modules": []}, None])
def test_a_list_of_anything_else_is_no_list_of_modules(modules: Modules, answer: Any) -> None:
    modules.handle = lambda _: Response(200, answer)  # type: ignore[method-assign]  # a server of the test's own
    with pytest.raises(UnexpectedResponse, match="not of the promised shape"):
        MispModulesClient(modules.url).modules()


def test_a_server_that_is_down_is_said_to_be_unavailable(modules: Modules) -> None:
    client = MispModulesClient(modules.url)
    modules.stop()
    with pytest.raises(ServiceUnavailable, match="no connection"):
        client.query("shodan", ADDRESS, {})
