"""Who is told of a run: once, when there is news, later if it failed, and nobody of what is not for them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from summaries import match, summary

from misp_playbook_lib.errors import ParameterError, SettingsError
from misp_playbook_lib.model.results import ApplyOutcome, AttributeMatch, DeliveryStatus
from misp_playbook_lib.model.warninglist import WarninglistEntry
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report import exports, history
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.report.written import Became, Fate
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import Settings, load_settings
from misp_playbook_lib.state import RunState
from misp_playbook_lib.steps.deliver import STEPS, Deliveries, deliver_later, tell_of_crash

EVERYBODY: dict[str, Any] = {
    "send_to_mattermost_option": "via a chat message",
    "send_to_slack": True,
    "send_to_thehive": True,
}
SERVER = "https://misp.example"


class Run:
    """A run under way in an archive: tells, and is archived with its run.json."""

    def __init__(self, archive: Path, settings: Settings, run_id: str, **given: Any) -> None:
        self.parameters = PlaybookParameters(warninglist_name="Campaign", **(given or EVERYBODY))
        self.settings = settings
        folder = archive / ".incomplete" / run_id
        folder.mkdir(parents=True)
        self.final = archive / "2026-01-01" / run_id
        self.state = RunState(run_id, folder)
        self.state.facts = {"server": {"url": SERVER}, "warninglist": {"id": 7}}
        self.deliveries = Deliveries(self.parameters, settings, self.state)

    def tell(self, one: Summary, service: str = "Slack") -> DeliveryStatus:
        assert one.matches is not None
        assert self.state.folder is not None
        (self.state.folder / exports.MATCHES).write_text(exports.matches(one.matches.matches))
        return self.deliveries.deliver(service, one).status

    def archive(self) -> None:
        assert self.state.folder is not None
        manifest = {
            "schema": 1,
            "outcome": "success",
            "message": "",
            "started": "2026-01-01T00:00:00+00:00",
            "warninglist": "Mine",
            "since": None,
            "run_id": self.state.run_id,
            "sandbox": self.settings.sandbox,
            "facts": json.loads(json.dumps(self.state.facts)),
            "parameters": self.parameters.model_dump(),
            "problems": list(self.state.problems),
        }
        self.final.parent.mkdir(exist_ok=True)
        self.state.folder.rename(self.final)
        history.write_manifest(self.final, manifest)


@pytest.fixture
def settings(vault: Path) -> Settings:
    return load_settings(vault, {})


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def unchanged(matches: Sequence[AttributeMatch] = (), **given: Any) -> Summary:
    return summary(matches, outcome=ApplyOutcome.UNCHANGED, **given)


def test_a_service_is_told_of_a_result_once_unless_again(archive: Path, settings: Settings, sandbox: Sandbox) -> None:
    run = Run(archive, settings, "run-1")
    run.tell(summary())
    second = run.deliveries.deliver("Slack", summary())
    assert second.status is DeliveryStatus.SKIPPED
    assert second.detail.startswith("This result was sent already, at 20")
    assert "UTC. To send it again: run.send_to_slack(summary, again=True)" in second.detail
    assert len(sandbox.slack.posts) == 1
    run.deliveries.deliver("Slack", summary(), again=True)
    assert len(sandbox.slack.posts) == 2
    run.tell(summary([match(1)]))
    assert len(sandbox.slack.posts) == 3, "another result is told"


def test_running_a_cell_again_after_a_failure_posts_only_the_parts_that_are_missing(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    run = Run(archive, settings, "run-1")
    large = summary([match(number) for number in range(300)])
    sandbox.mattermost.faults.add(kind="502", after=1, times=1)
    failed = run.deliveries.deliver("Mattermost", large)
    assert (failed.status, failed.parts) == (DeliveryStatus.FAILED, 1)
    assert f"Part 2 of {len(failed.files)} failed, 1 arrived." in failed.detail
    sent = run.deliveries.deliver("Mattermost", large)
    assert (sent.status, sent.parts) == (DeliveryStatus.SENT, len(failed.files))
    texts = [post["text"] for post in sandbox.mattermost.posts]
    assert [f"part {n} of {len(texts)}" in text for n, text in enumerate(texts, 1)] == [True] * len(failed.files)


def test_later_it_goes_on_with_the_part_that_failed(archive: Path, settings: Settings, sandbox: Sandbox) -> None:
    run = Run(archive, settings, "run-1")
    sandbox.mattermost.faults.add(kind="502", after=1, times=1)
    run.tell(summary([match(number) for number in range(300)]), "Mattermost")
    run.archive()
    [delivery] = deliver_later(archive, "run-1", settings)
    assert delivery.status is DeliveryStatus.SENT
    texts = [post["text"] for post in sandbox.mattermost.posts]
    assert [f"part {n} of {len(texts)}" in text for n, text in enumerate(texts, 1)] == [True] * len(delivery.files)
    assert deliver_later(archive, "run-1", settings) == ()
    assert history.read_manifest(run.final)["facts"]["deliveries"]["Mattermost"]["status"] == "sent"


def test_a_card_is_kept_beside_its_message(archive: Path, settings: Settings, sandbox: Sandbox) -> None:
    run = Run(archive, settings, "run-1", send_to_mattermost_option="via a chat message with card")
    sandbox.mattermost.faults.add(kind="502", times=1)
    run.tell(summary([match(1)]), "Mattermost")
    run.archive()
    deliver_later(archive, "run-1", settings)
    [post] = sandbox.mattermost.posts
    assert post["props"]["card"] == (run.final / "mattermost-1-card.md").read_text()
    assert "### MISP event matches" in post["props"]["card"]


def test_a_service_that_is_not_configured_can_be_told_once_it_is(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    without = settings.model_copy(update={"slack_hook": None})
    run = Run(archive, without, "run-1")
    assert run.tell(summary()) is DeliveryStatus.FAILED
    assert run.state.problems == (
        "EN:2 Slack Send a summary to Slack: Not configured: slack_hook is not in the vault.",
    )
    run.archive()
    assert [one.status for one in deliver_later(archive, "run-1", without)] == [DeliveryStatus.FAILED]
    assert [one.status for one in deliver_later(archive, "run-1", settings)] == [DeliveryStatus.SENT]
    assert len(sandbox.slack.posts) == 1


def test_what_is_not_wanted_is_not_sent(archive: Path, settings: Settings, sandbox: Sandbox) -> None:
    run = Run(archive, settings, "run-1", send_to_slack=False)
    assert [run.tell(summary(), service) for service in STEPS] == [DeliveryStatus.SKIPPED] * 3
    assert not any(sandbox.inbox().values())


def test_tlp_red_goes_to_thehive_and_to_no_chat(archive: Path, settings: Settings, sandbox: Sandbox) -> None:
    run = Run(archive, settings, "run-1", tlp="red", **EVERYBODY)
    for service in STEPS:
        run.tell(summary(tlp="red"), service)
    assert {service: len(posts) for service, posts in sandbox.inbox().items()} == {
        "mattermost": 0,
        "slack": 0,
        "thehive": 1,
    }
    assert sandbox.thehive.alerts[0]["tlpLabel"] == "RED"
    assert "TLP:RED is not for a chat" in run.state.steps["EN:2 Slack"].summary
    assert run.state.folder is not None
    assert not (run.state.folder / "slack-1.json").exists()


class TestOnChange:
    def run(self, archive: Path, settings: Settings, run_id: str) -> Run:
        return Run(archive, settings, run_id, notify_when="on_change", **EVERYBODY)

    def told(self, archive: Path, settings: Settings, run_id: str, one: Summary) -> bool:
        run = self.run(archive, settings, run_id)
        status = run.tell(one)
        run.archive()
        return status is DeliveryStatus.SENT

    def test_a_list_that_was_changed_is_news(self, archive: Path, settings: Settings) -> None:
        assert self.told(archive, settings, "run-1", summary())
        assert self.told(archive, settings, "run-2", summary(outcome=ApplyOutcome.UPDATED))

    def test_the_first_run_over_a_list_that_stays_tells_of_matches_alone(
        self, archive: Path, settings: Settings
    ) -> None:
        assert not self.told(archive, settings, "run-1", unchanged())
        assert self.told(archive, settings, "run-2", unchanged([match(1)]))

    def test_the_same_matches_are_no_news_and_a_lost_one_neither(self, archive: Path, settings: Settings) -> None:
        self.told(archive, settings, "run-1", summary([match(1), match(2)]))
        assert not self.told(archive, settings, "run-2", unchanged([match(1), match(2)]))
        assert not self.told(archive, settings, "run-3", unchanged([match(1)]))

    def test_a_match_that_the_previous_run_had_not_is_news(self, archive: Path, settings: Settings) -> None:
        self.told(archive, settings, "run-1", summary([match(1)]))
        assert self.told(archive, settings, "run-2", unchanged([match(1), match(2)]))
        assert not self.told(archive, settings, "run-3", unchanged([match(1), match(2)]))

    def test_a_run_over_another_list_or_server_is_not_the_previous_one(self, archive: Path, settings: Settings) -> None:
        other = self.run(archive, settings, "run-1")
        other.state.facts["warninglist"]["id"] = 8
        other.tell(summary([match(1)]))
        other.archive()
        elsewhere = self.run(archive, settings, "run-2")
        elsewhere.state.facts["server"]["url"] = "https://other.example"
        elsewhere.tell(summary([match(1)]))
        elsewhere.archive()
        assert self.told(archive, settings, "run-3", unchanged([match(1)]))

    def test_a_dry_run_is_not_the_previous_one(self, archive: Path, settings: Settings) -> None:
        dry = Run(archive, settings, "run-1", notify_when="on_change", dry_run=True, **EVERYBODY)
        dry.tell(summary([match(1)]))
        dry.archive()
        assert self.told(archive, settings, "run-2", unchanged([match(1)]))

    def test_something_that_fails_for_the_first_time_is_news(self, archive: Path, settings: Settings) -> None:
        self.told(archive, settings, "run-1", summary([match(1)]))
        assert self.told(archive, settings, "run-2", unchanged([match(1)], failures=["ER:1: no answer in time"]))

    def test_what_did_not_arrive_is_told_by_the_next_run(
        self, archive: Path, settings: Settings, sandbox: Sandbox
    ) -> None:
        sandbox.slack.faults.add(kind="500", times=1)
        assert not self.told(archive, settings, "run-1", summary([match(1)]))
        assert self.told(archive, settings, "run-2", unchanged([match(1)]))
        assert not self.told(archive, settings, "run-3", unchanged([match(1)]))


def test_a_run_that_broke_off_is_told_of_to_those_who_know_nothing_of_it(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    run = Run(archive, settings, "run-1")
    became = Became(Fate.SEEN, "The list Campaign (ID 7): written and seen (3 entries).", f"{SERVER}/view/7")
    run.tell(summary(), "Slack")
    run.state.error = "IN:6 Enable the MISP warninglist: refused"
    tell_of_crash(run.parameters, settings, run.state, became)
    assert len(sandbox.slack.posts) == 1
    assert "The list Campaign (ID 7): written and seen (3 entries)." in sandbox.mattermost.posts[0]["text"]
    assert "IN:6 Enable the MISP warninglist: refused" in sandbox.mattermost.posts[0]["text"]
    assert len(sandbox.thehive.alerts) == 1
    assert run.state.error == "IN:6 Enable the MISP warninglist: refused"


def test_a_run_that_broke_off_while_it_told_keeps_the_reason(archive: Path, settings: Settings) -> None:
    run = Run(archive, settings, "run-1")
    code, title = STEPS["Mattermost"]
    with pytest.raises(KeyboardInterrupt), run.state.step(code, title):
        raise KeyboardInterrupt
    became = Became(Fate.SEEN, "The list Campaign (ID 7): written and seen (3 entries).", f"{SERVER}/view/7")
    tell_of_crash(run.parameters, settings, run.state, became)
    assert run.state.crash == f"{code} {title}: KeyboardInterrupt"


def test_a_sandboxs_messages_are_not_sent_to_real_services(archive: Path, settings: Settings, sandbox: Sandbox) -> None:
    sandbox.slack.faults.add(kind="500", times=1)
    run = Run(archive, settings, "run-1")
    run.tell(summary())
    run.archive()
    with pytest.raises(SettingsError, match="one is a sandbox's, the other is not"):
        deliver_later(archive, "run-1", settings.model_copy(update={"sandbox": False}))
    assert sandbox.slack.posts == []


@pytest.mark.parametrize("run_id", ["nope", "../2026-01-01", "..", "*"])
def test_a_run_that_is_not_there_is_told(archive: Path, settings: Settings, run_id: str) -> None:
    with pytest.raises(ParameterError, match="There is no run"):
        deliver_later(archive, run_id, settings)


def test_thehive_is_told_the_whole_list(archive: Path, settings: Settings, sandbox: Sandbox) -> None:
    run = Run(archive, settings, "run-1")
    run.tell(summary([match(1)], [WarninglistEntry("a.example"), WarninglistEntry("b.example")]), "TheHive")
    [alert] = sandbox.inbox()["thehive"]
    assert [one["data"] for one in alert["observables"]] == ["a.example", "b.example"]
    assert run.state.facts["deliveries"]["TheHive"]["reference"] == alert["_id"]
