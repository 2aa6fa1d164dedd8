"""What a service may get: matches up to its TLP level, and nothing that is derived from the others."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from searching import SEARCH, client, listed
from summaries import match, parameters, settings, summary

from misp_playbook_lib.model.results import AttributeMatch, Scope
from misp_playbook_lib.model.tlp import TLP_LEVELS, above, strictest
from misp_playbook_lib.model.warninglist import WarninglistEntry
from misp_playbook_lib.report.summary import Summary, broken_off
from misp_playbook_lib.report.written import Became, Fate
from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.state import RunState
from misp_playbook_lib.steps.deliver import STEPS, Deliveries
from misp_playbook_lib.steps.retrosearch import retrosearch

MESSAGES = [
    ("Mattermost", "via a chat message"),
    ("Mattermost", "via a chat message with card"),
    ("Slack", ""),
    ("TheHive", ""),
]
SERVICES = {"mattermost_hook": "http://127.0.0.1:1/hooks/x", "slack_hook": "http://127.0.0.1:1/services/x"}
OWN_ORGANISATION, ALL, SHARING_GROUP, INHERIT = 0, 3, 4, 5


def hit(number: int, tlp: str, *, event_tlp: str = "") -> AttributeMatch:
    """Return a match in which every text names its number."""
    one = match(number, info=f"info-{number}", comment=f"comment-{number}", to_ids=True)
    event = replace(
        one.attribute.event,
        id=1_000_000 + number,
        date=f"{3000 + number}-01-01",
        organisation=f"organisation-{number}",
        tags=(f"tag-{number}",),
        tlp=event_tlp,
    )
    return replace(one, attribute=replace(one.attribute, event=event, tlp=tlp, category=f"category-{number}"))


def traces(number: int) -> tuple[str, ...]:
    """Return what would tell of a match."""
    texts = [
        f"{what}-{number}" for what in ("info", "comment", "organisation", "tag", "category", "event", "attribute")
    ]
    return *texts, f"host-{number}", str(1_000_000 + number), f"{3000 + number}-01-01"


def message(one: Summary, service: str, option: str, most: str = "amber", **given: Any) -> str:
    """Return all that a service would get."""
    wanted = parameters(send_to_mattermost_option=option, send_to_slack=True, send_to_thehive=True, **given)
    vault = settings(**SERVICES, chat_max_tlp=most, thehive_max_tlp=most)
    deliveries = Deliveries(wanted, vault, RunState("run-1"))
    return "\n".join(part.text + part.card for part in deliveries.preview(service, one)[1])


@pytest.mark.parametrize(("service", "option"), MESSAGES)
def test_stricter_matches_are_counted_and_nothing_else_is_told_of_them(service: str, option: str) -> None:
    found = [hit(11, "green"), hit(22, "red"), hit(33, "", event_tlp="amber+strict"), hit(44, "")]
    told = message(summary(found), service, option)
    assert "2 matches above TLP:AMBER are only in the report." in told
    assert "4 attributes in 4 events" in told
    for number in (22, 33):
        assert not [trace for trace in traces(number) if trace in told or trace.replace(".", "[.]") in told]
    assert "TLP:AMBER" in told
    assert "TLP:RED" not in told
    assert "TLP:AMBER+STRICT" not in told
    for number in (11, 44):
        assert f"info-{number}" in told


@pytest.mark.parametrize(("service", "option"), MESSAGES)
def test_an_entry_that_hits_withheld_matches_alone_is_not_said_to_hit_nothing(service: str, option: str) -> None:
    entries = [WarninglistEntry("host-22.evil.example"), WarninglistEntry("clean.example")]
    told = message(summary([hit(22, "red")], entries), service, option)
    assert "1 of them hit 1 attributes in 1 events" in told
    assert "1 matches above TLP:AMBER are only in the report." in told
    assert "no matches" not in told


def test_beside_withheld_matches_the_entries_without_one_are_counted_and_not_named() -> None:
    entries = [WarninglistEntry(f"host-{number}.evil.example") for number in (11, 22, 33)]
    told = summary([hit(11, ""), hit(22, "red")], entries).up_to("amber").markdown
    assert "Entries without a match (1)." in told


@pytest.mark.parametrize(("service", "option"), MESSAGES)
@pytest.mark.parametrize("most", ["amber+strict", "red"])
def test_a_message_is_marked_with_the_strictest_match_that_it_shows(service: str, option: str, most: str) -> None:
    told = message(summary([hit(11, "amber+strict"), hit(22, "red")]), service, option, most)
    assert f"TLP:{most.upper()}" in told
    assert ("info-22" in told) is (most == "red")
    if service == "TheHive":
        assert f'"tlp": {TLP_LEVELS.index(most)}' in told
        assert f'"tlp:{most}"' in told


def test_thehives_observables_tell_of_no_withheld_event() -> None:
    entry = [WarninglistEntry("host-11.evil.example")]
    found = [hit(11, ""), replace(hit(22, "red"), entry="host-11.evil.example")]
    told = message(summary(found, entry), "TheHive", "")
    assert "Hits at least 1 attributes in MISP, events 1000011" in told


def test_a_result_has_one_reference_in_thehive_whatever_it_may_get() -> None:
    one = summary([hit(11, ""), hit(22, "red")])
    references = {
        next(line for line in message(one, "TheHive", "", most).splitlines() if "sourceRef" in line)
        for most in ("amber", "red")
    }
    assert len(references) == 1


@examples(max_examples=50)
@given(
    st.lists(st.sampled_from(list(product(["", *TLP_LEVELS], repeat=2))), max_size=6),
    st.sampled_from(TLP_LEVELS),
    st.sampled_from(TLP_LEVELS),
)
def test_no_summary_shows_more_than_it_may_or_is_marked_below_what_it_shows(
    levels: Sequence[tuple[str, str]], run: str, most: str
) -> None:
    found = [hit(10 + number, own, event_tlp=event) for number, (own, event) in enumerate(levels)]
    whole = summary(found, tlp=run)
    assert whole.tlp == strictest([run, *(one.tlp for one in found)])
    shown = whole.up_to(most)
    allowed = [number for number, one in enumerate(found) if not above(one.tlp or run, most)]
    assert shown.tlp == strictest([run, *(found[number].tlp for number in allowed)])
    assert [number for number in range(len(found)) if f"info-{10 + number}" in shown.markdown] == allowed
    withheld = len(found) - len(allowed)
    assert (f"{withheld:,} matches above TLP:{most.upper()} are only in the report." in shown.markdown) is (
        withheld > 0
    )


def test_an_interactive_run_points_to_its_notebook() -> None:
    one = replace(summary([hit(22, "red")]), archived=False)
    assert "1 matches above TLP:AMBER are only in the notebook." in one.up_to("amber").markdown


def test_with_tlp_red_a_chat_is_told_only_where_the_vault_says_red(tmp_path: Path) -> None:
    wanted = parameters(send_to_slack=True, tlp="red")
    for most, told in (("amber+strict", False), ("red", True)):
        state = RunState(f"run-{most}", tmp_path)
        deliveries = Deliveries(wanted, settings(**SERVICES, chat_max_tlp=most), state)
        reason, _ = deliveries.preview("Slack", summary([hit(11, "")], tlp="red"))
        assert reason == (
            "" if told else "TLP:RED is not for a chat unless chat_max_tlp in the vault is red: nothing is sent."
        )


@pytest.mark.parametrize(("service", "option"), MESSAGES)
def test_what_is_told_of_a_run_that_broke_off_has_the_runs_own_level_and_no_match(service: str, option: str) -> None:
    became = Became(Fate.SEEN, "The list Mine (ID 7): written and seen.", "")
    one = broken_off(tlp="green", run_id="run-1", server={}, became=became, failures=[], crash="EN:1: KeyError")
    told = message(one, service, option, tlp="green")
    assert "TLP:GREEN" in told
    assert "TLP:RED" not in told


@pytest.mark.parametrize("service", STEPS)
def test_the_run_folder_keeps_of_a_message_what_the_service_may_get(tmp_path: Path, service: str) -> None:
    wanted = parameters(
        dry_run=True, send_to_mattermost_option="via a chat message", send_to_slack=True, send_to_thehive=True
    )
    Deliveries(wanted, settings(**SERVICES), RunState("run-1", tmp_path)).deliver(service, summary([hit(22, "red")]))
    kept = "".join(path.read_text() for path in tmp_path.iterdir() if path.name != "state.json")
    assert "1 matches above TLP:AMBER" in kept
    assert "info-22" not in kept


@pytest.mark.parametrize(
    ("event", "attribute", "level"),
    [
        ({}, {}, ""),
        ({"tags": ["tlp:green"]}, {}, "green"),
        ({"tags": ["tlp:green"]}, {"tags": ["tlp:red"]}, "red"),
        ({"tags": ["tlp:red"]}, {"tags": ["tlp:green"]}, "red"),
        ({"distribution": OWN_ORGANISATION}, {"distribution": INHERIT}, "amber+strict"),
        ({"distribution": OWN_ORGANISATION}, {"distribution": ALL}, "amber+strict"),
        ({"distribution": SHARING_GROUP}, {}, "amber+strict"),
        ({}, {"distribution": OWN_ORGANISATION}, "amber+strict"),
        ({}, {"distribution": SHARING_GROUP}, "amber+strict"),
        ({"tags": ["tlp:red"], "distribution": OWN_ORGANISATION}, {}, "red"),
    ],
)
def test_a_matchs_level_is_the_strictest_of_its_event_and_attribute(
    misp: Misp, event: dict[str, Any], attribute: dict[str, Any], level: str
) -> None:
    one = {"type": "domain", "value": "evil.example", **attribute}
    misp.add_event("Event", [one], **{"distribution": ALL, **event})
    [found] = retrosearch(client(misp), listed("string", ["evil.example"]), Scope(), enabled=True).matches
    assert found.tlp == level


def test_where_the_events_tags_could_not_be_asked_every_match_is_red_and_that_is_said(misp: Misp) -> None:
    misp.add_event("Event", [{"type": "domain", "value": "evil.example"}], distribution=ALL)
    server = client(misp)
    misp.faults.add(path=SEARCH, kind="403", after=1)
    result = retrosearch(server, listed("string", ["evil.example"]), Scope(), enabled=True)
    assert [one.tlp for one in result.matches] == ["red"]
    [reason] = result.incomplete
    assert "tags and publication are not known: MISP: " in reason
    assert reason.endswith("; every match counts as TLP:RED")
