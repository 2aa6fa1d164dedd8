"""The retro-search on the road: filters from parameters, the impact before writing, faults that make a run partial."""

from collections.abc import Callable

import pytest
from conftest import Ran

from misp_playbook_lib.sandbox import Sandbox

Play = Callable[..., Ran]
SEARCH = r"^/attributes/restSearch"


@pytest.fixture
def found(sandbox: Sandbox) -> None:
    attributes = [
        {"type": "ip-dst", "value": "198.51.100.7"},
        {"type": "ip-src", "value": "198.51.100.8", "to_ids": False},
    ]
    sandbox.misp.add_event("Scanners", attributes, ["tlp:red"], org="CIRCL.example")
    sandbox.misp.add_event("Drafts", [{"type": "ip-dst", "value": "198.51.100.9"}], published=False)


@pytest.mark.usefixtures("found")
def test_the_report_says_what_the_entries_would_do_and_what_they_hit(play: Play) -> None:
    ran = play(warninglist_name="Mine", warninglist_type="cidr", warninglist_values=["198.51.100.0/24"], enrich_with=[])
    assert ran.exit_code == 0, ran.output
    assert "would warn on 2 attributes in 2 events" in ran.step("IN:4")["summary"]
    line = ran.step("ER:1")["summary"]
    assert "1 of them hit 2 attributes in 1 events; MISP warns on 1, stays silent on 1" in line
    assert "match_published hides 1 more attributes" in line
    facts = ran.manifest["facts"]["search"]
    assert facts["by_type"] == {"ip-dst": 1, "ip-src": 1}
    assert facts["by_organisation"] == {"CIRCL.example": 2}
    assert facts["warned"] == {"yes": 1, "no": 1, "unknown": 0}
    assert facts["complete"] is True
    assert "the attribute is not marked to_ids" in ran.report


@pytest.mark.usefixtures("found")
def test_the_filters_are_those_of_the_parameters(play: Play) -> None:
    asked = {"warninglist_type": "cidr", "warninglist_values": ["198.51.100.0/24"], "enrich_with": []}
    tagged = play(warninglist_name="Mine", match_published="none", match_tags=["!tlp:red"], match_since="1d", **asked)
    assert "1 of them hit 1 attributes in 1 events" in tagged.step("ER:1")["summary"]
    assert "changed since" in tagged.step("ER:1")["summary"]
    most = play(warninglist_name="Mine", scan_max_attributes=1, **asked)
    assert most.exit_code == 4
    assert "scan_max_attributes" in most.manifest["problems"][0]


@pytest.mark.usefixtures("found")
def test_a_search_that_fails_leaves_the_run_partial_and_is_never_no_matches(play: Play, sandbox: Sandbox) -> None:
    sandbox.misp.faults.add(path=SEARCH, kind="html")
    ran = play(warninglist_name="Mine", warninglist_type="cidr", warninglist_values=["198.51.100.0/24"], enrich_with=[])
    assert ran.exit_code == 4, ran.output
    assert sandbox.misp.warninglist("Mine") is not None
    assert ran.step("ER:1")["status"] == "incomplete"
    assert "nothing was found in what could be searched" in ran.summary
    assert "no matches" not in ran.summary


@pytest.mark.parametrize(
    ("name", "value"), [("match_since", "5m"), ("match_since", "2999-01-01"), ("scan_max_attributes", 0)]
)
def test_a_filter_that_could_be_misread_is_refused_before_anything_starts(play: Play, name: str, value: object) -> None:
    ran = play(warninglist_name="Mine", warninglist_values=["a.example"], **{name: value})
    assert ran.exit_code == 2
    assert name in ran.output
