"""Every parameter, changed once through the command, changes something that can be seen."""

import json
from collections.abc import Callable

import pytest
from conftest import Ran

from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.sandbox import Sandbox

Play = Callable[..., Ran]
VALUES = ["johnshopkin.net # C2", "158.255.208.168"]

SHOWN_ELSEWHERE = {
    "warninglist_values_file": "test_values_matter.py",
    "warninglist_values_event": "test_values_matter.py",
    "accept_dangerous": "test_values_matter.py",
    "match_since": "test_retrosearch_road.py",
    "scan_max_attributes": "test_retrosearch_road.py",
    "notify_when": "test_notify_run.py",
    "warninglist_values_action": "test_road.py::test_replace_leaves_exactly_the_values_given",
    "misp_modules_url": "test_road.py::test_a_sandbox_run_refuses_a_module_server_that_is_not_the_sandboxs",
    "misp_modules_wait": "tests/steps/test_enrich.py",
    "enrich_all": "tests/steps/test_lookups.py",
}


def base(**changes: object) -> dict[str, object]:
    return {"warninglist_name": "Mine", "warninglist_values": VALUES, "enrich_with": [], **changes}


def test_name_description_type_category_and_matching_attributes_reach_misp(play: Play, sandbox: Sandbox) -> None:
    ran = play(
        **base(
            warninglist_name="Another name",
            warninglist_description="What it is for",
            warninglist_type="hostname",
            warninglist_category="false_positive",
            warninglist_matching_attributes=["domain", "hostname"],
            warninglist_values=["evil.example"],
            warninglist_enable="no",
        )
    )
    assert ran.exit_code == 0, ran.output
    created = sandbox.misp.warninglist("Another name")
    assert created is not None
    assert created["description"] == "What it is for"
    assert created["type"] == "hostname"
    assert created["category"] == "false_positive"
    assert sorted(created["matching_attributes"]) == ["domain", "hostname"]
    assert created["enabled"] is False
    assert created["entries"] == [("evil.example", None)]
    assert ran.step("IN:6")["status"] == "skipped"


def test_an_id_wins_over_the_name_and_never_renames(play: Play, sandbox: Sandbox) -> None:
    list_id = sandbox.misp.add_warninglist("Mine", "string", "known", [("a.example", "")], ["ALL"])
    ran = play(**base(warninglist_name="Other", warninglist_id=list_id))
    assert ran.exit_code == 0, ran.output
    assert sandbox.misp.warninglist("Other") is None
    after = sandbox.misp.warninglist(list_id)
    assert after is not None
    assert after["name"] == "Mine"
    assert len(after["entries"]) == 3


def test_a_near_name_is_mentioned(play: Play, sandbox: Sandbox) -> None:
    sandbox.misp.add_warninglist("Campaign-ZN03", "string", "known", [("a.example", "")], ["ALL"])
    ran = play(**base(warninglist_name="campaign-zn3"))
    assert "Names like it: Campaign-ZN03" in ran.step("IN:2")["summary"]


@pytest.mark.parametrize(
    ("published", "events"), [("true", {"published"}), ("false", {"draft"}), ("none", {"published", "draft"})]
)
def test_match_published_chooses_the_events(play: Play, sandbox: Sandbox, published: str, events: set[str]) -> None:
    for info, flag in (("published", True), ("draft", False)):
        sandbox.misp.add_event(info, [{"type": "domain", "value": "evil.example"}], published=flag)
    ran = play(**base(warninglist_values=["evil.example"], match_published=published))
    rows = [line for line in ran.summary.splitlines() if "evil[.]example" in line and "domain" in line]
    assert {info for info in ("published", "draft") if any(info in row for row in rows)} == events


def test_match_tags_narrow_the_search(play: Play, sandbox: Sandbox) -> None:
    for info, tags in (("red", ["tlp:red"]), ("green", ["tlp:green"])):
        sandbox.misp.add_event(info, [{"type": "domain", "value": "evil.example"}], tags=tags)
    values = ["evil.example"]
    assert play(**base(warninglist_values=values)).manifest["facts"]["matches"]["events"] == 2
    assert play(**base(warninglist_values=values, match_tags=["tlp:red"])).manifest["facts"]["matches"]["events"] == 1
    without = play(**base(warninglist_values=values, match_tags=["!tlp:red"]))
    assert without.manifest["facts"]["matches"]["events"] == 1
    assert "green" in without.summary


def test_enrich_with_and_the_module_servers_address_decide_who_is_asked(play: Play, sandbox: Sandbox) -> None:
    play(**base(enrich_with=["shodan"]))
    asked = [request.json["module"] for request in sandbox.modules.requests if request.path == "/query"]
    assert asked == ["shodan"]
    sandbox.modules.stop()
    ran = play(**base(warninglist_name="Second", enrich_with=["shodan"]))
    assert ran.exit_code == 4
    assert any("misp-modules" in problem for problem in ran.manifest["problems"])
    assert sandbox.misp.warninglist("Second") is not None


def test_a_module_that_is_absent_is_a_problem_with_its_remedy_and_the_others_are_asked(
    play: Play, sandbox: Sandbox
) -> None:
    ran = play(**base(enrich_with=["no_such_module", "shodan"]))
    assert ran.exit_code == 4, ran.output
    [problem] = ran.manifest["problems"]
    assert "no_such_module: not on the module server; skipped; enable it there, or take it out of" in problem
    assert {request.json["module"] for request in sandbox.modules.requests if request.path == "/query"} == {"shodan"}
    assert "no_such_module: not on the module server; skipped" in ran.step("PR:2")["summary"]


def test_mattermost_gets_a_message_a_card_or_nothing(play: Play, sandbox: Sandbox) -> None:
    play(**base())
    assert sandbox.inbox()["mattermost"] == []
    play(**base(send_to_mattermost_option="via a chat message"))
    play(**base(send_to_mattermost_option="via a chat message with card"))
    message, card = sandbox.inbox()["mattermost"]
    assert "Warninglist details" in message["text"]
    assert "Warninglist details" not in card["text"]
    assert "Warninglist details" in card["props"]["card"]


def test_slack_gets_the_summary_if_wanted(play: Play, sandbox: Sandbox) -> None:
    play(**base(send_to_slack="yes"))
    assert len(sandbox.inbox()["slack"]) == 1
    assert "Mine" in json.dumps(sandbox.inbox()["slack"])


def test_thehive_gets_an_alert_with_title_type_reference_levels_and_observables(play: Play, sandbox: Sandbox) -> None:
    ran = play(
        **base(
            send_to_thehive="yes",
            thehive_alert_title="Look here",
            thehive_alert_type="campaign",
            thehive_alert_reference="ref-1",
            tlp="red",
            pap="amber",
        )
    )
    assert ran.exit_code == 0, ran.output
    (alert,) = sandbox.inbox()["thehive"]
    assert alert["title"] == "Look here"
    assert alert["type"] == "campaign"
    assert alert["sourceRef"] == "ref-1"
    assert (alert["tlp"], alert["pap"]) == (4, 2)
    assert "Warninglist details" in alert["summary"]
    assert "was created with 2 entries" in alert["description"]
    kinds = {(one["dataType"], one["data"]) for one in sandbox.thehive.observables[alert["_id"]]}
    assert kinds == {("domain", "johnshopkin.net"), ("ip", "158.255.208.168")}


def test_the_same_result_again_is_recognised_by_thehive(play: Play, sandbox: Sandbox) -> None:
    play(**base(send_to_thehive="yes"))
    ran = play(**base(send_to_thehive="yes"))
    assert ran.exit_code == 0, ran.output
    assert len(sandbox.inbox()["thehive"]) == 1


def test_a_wanted_receiver_that_is_not_configured_makes_the_run_partial(
    play: Play, sandbox: Sandbox, vault: object
) -> None:
    text = vault.read_text()  # type: ignore[attr-defined]
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("slack_hook"))
    vault.write_text(kept + "\n")  # type: ignore[attr-defined]
    ran = play(**base(send_to_slack="yes"))
    assert ran.exit_code == 4
    assert any("slack_hook is not in the vault" in problem for problem in ran.manifest["problems"])
    assert sandbox.misp.warninglist("Mine") is not None


def test_one_failing_receiver_stops_neither_the_others_nor_the_run(play: Play, sandbox: Sandbox) -> None:
    sandbox.slack.stop()
    ran = play(
        **base(send_to_slack="yes", send_to_thehive="yes", send_to_mattermost_option="via a chat message", tlp="green")
    )
    assert ran.exit_code == 4
    assert ran.manifest["outcome"] == "partial"
    assert len(sandbox.inbox()["thehive"]) == len(sandbox.inbox()["mattermost"]) == 1
    assert "Slack" in ran.output


def test_a_dry_run_writes_sends_and_asks_nothing_and_says_what_it_would_do(play: Play, sandbox: Sandbox) -> None:
    ran = play(
        **base(
            dry_run="yes", enrich_with=["shodan"], send_to_slack="yes", send_to_mattermost_option="via a chat message"
        )
    )
    assert ran.exit_code == 0, ran.output
    assert sandbox.misp.warninglist("Mine") is None
    assert not any(sandbox.inbox().values())
    assert not [request for request in sandbox.modules.requests if request.path == "/query"]
    assert "Dry run" in ran.summary
    assert "2 entries added" in ran.step("IN:4")["summary"]


def test_every_parameter_is_shown_here_or_elsewhere() -> None:
    source = open(__file__, encoding="utf-8").read()  # noqa: PTH123, SIM115 - this file
    missing = [
        name for name in PlaybookParameters.model_fields if f"{name}=" not in source and name not in SHOWN_ELSEWHERE
    ]
    assert missing == []
