"""What a run tells and to whom, end to end: the real notebook, through the command line, against real sockets."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import EXAMPLE, PLAYBOOK, Ran

from misp_playbook_lib.cli import main
from misp_playbook_lib.sandbox import Sandbox

Play = Callable[..., Ran]
EVERYBODY = {
    "send_to_mattermost_option": "via a chat message",
    "send_to_slack": True,
    "send_to_thehive": True,
    "enrich_with": [],
}


@pytest.fixture
def hunted(sandbox: Sandbox) -> Sandbox:
    """A sandbox whose MISP holds one event that a list with a.example hits."""
    sandbox.misp.add_event("@channel <!here> *Bad*", [{"type": "domain", "value": "a.example"}], published=True)
    return sandbox


def notify(ran: Ran, vault: Path, run_id: str = "") -> Result:
    arguments = ["notify", run_id or ran.manifest["run_id"], "--vault", str(vault), "--archive", str(ran.archive)]
    return CliRunner().invoke(main, arguments)


def told(sandbox: Sandbox) -> dict[str, int]:
    return {service: len(posts) for service, posts in sandbox.inbox().items()}


def deliveries(ran: Ran) -> dict[str, str]:
    return {service: one["status"] for service, one in ran.manifest["facts"]["deliveries"].items()}


def test_everybody_who_is_to_be_told_is_told_once(play: Play, hunted: Sandbox) -> None:
    ran = play(warninglist_name="Mine", warninglist_values=["a.example"], **EVERYBODY)
    assert ran.exit_code == 0, ran.output
    assert told(hunted) == {"mattermost": 1, "slack": 1, "thehive": 1}
    assert set(deliveries(ran).values()) == {"sent"}
    inbox = hunted.inbox()
    assert "a[.]example" in inbox["mattermost"][0]["text"]
    assert "`@channel \u2039!here\u203a *Bad*`" in inbox["mattermost"][0]["text"]
    assert "a[.]example" in json.dumps(inbox["slack"])
    [alert] = inbox["thehive"]
    assert [(one["dataType"], one["data"]) for one in alert["observables"]] == [("domain", "a.example")]
    reference = ran.manifest["facts"]["deliveries"]["TheHive"]["reference"]
    assert reference == alert["_id"]
    assert f"Added alert {reference}." in ran.output


def test_a_match_of_tlp_red_is_in_the_report_alone_which_is_marked_so(play: Play, hunted: Sandbox) -> None:
    hunted.misp.add_event("Very secret", [{"type": "domain", "value": "b.example", "tags": ["tlp:red"]}])
    hunted.misp.add_event("Of our own", [{"type": "domain", "value": "b.example"}], distribution=0)
    ran = play(warninglist_name="Mine", warninglist_values=["a.example", "b.example"], **EVERYBODY)
    assert ran.exit_code == 0, ran.output
    posted = json.dumps(hunted.inbox())
    assert posted.count("2 matches above TLP:AMBER are only in the report.") >= 3
    assert "*Bad*" in posted
    assert "TLP:RED" not in posted
    assert hunted.thehive.alerts[0]["tlpLabel"] == "AMBER"
    for secret in ("Very secret", "Of our own"):
        assert secret not in posted
        assert secret in ran.summary
        assert secret in ran.report
    assert ran.summary.startswith("**TLP:RED**")
    assert "TLP:RED" in ran.report.partition("<header>")[2].partition("</header>")[0]
    levels = {row["event_info"]: row["tlp"] for row in csv.DictReader((ran.folder / "matches.csv").open())}
    assert levels == {"'@channel <!here> *Bad*": "", "Very secret": "red", "Of our own": "amber+strict"}


def test_defect_22_a_notifier_that_fails_stops_neither_the_others_nor_the_run(
    play: Play, hunted: Sandbox, vault: Path
) -> None:
    hunted.mattermost.faults.add(kind="500")
    hunted.slack.faults.add(kind="500", times=1)
    ran = play(warninglist_name="Mine", warninglist_values=["a.example"], **EVERYBODY)
    assert ran.exit_code == 4
    assert ran.manifest["outcome"] == "partial"
    assert told(hunted) == {"mattermost": 0, "slack": 0, "thehive": 1}
    assert any("EN:2 Mattermost" in problem for problem in ran.manifest["problems"])
    assert "server error 500" in ran.report

    later = notify(ran, vault)
    assert later.exit_code == 4
    assert "Mattermost: failed. Mattermost: server error 500" in later.output
    assert "Slack: sent. A message." in later.output
    assert told(hunted) == {"mattermost": 0, "slack": 1, "thehive": 1}

    hunted.mattermost.faults.clear()
    last = notify(ran, vault)
    assert last.exit_code == 0
    assert last.output == "Mattermost: sent. A message.\n"
    assert told(hunted) == {"mattermost": 1, "slack": 1, "thehive": 1}
    assert "nothing left to deliver" in notify(ran, vault).output
    assert deliveries(ran) == dict.fromkeys(("Mattermost", "Slack", "TheHive"), "sent")
    assert (ran.folder / "run.json").stat().st_mode & 0o777 == 0o600


def test_a_dry_run_renders_every_message_and_sends_none(play: Play, hunted: Sandbox) -> None:
    ran = play(warninglist_name="Mine", warninglist_values=["a.example"], dry_run=True, **EVERYBODY)
    assert ran.exit_code == 0, ran.output
    assert told(hunted) == {"mattermost": 0, "slack": 0, "thehive": 0}
    assert (ran.folder / "mattermost-1.md").read_text().startswith("**TLP:AMBER**")
    assert json.loads((ran.folder / "slack-1.json").read_text())["blocks"]
    assert json.loads((ran.folder / "thehive-alert.json").read_text())["observables"]
    assert "rendered as slack-1.json" in ran.step("EN:2 Slack")["summary"]


def test_on_change_tells_of_a_change_and_is_quiet_where_there_is_none(play: Play, hunted: Sandbox) -> None:
    given = {"warninglist_name": "Mine", "warninglist_values": ["a.example"], "notify_when": "on_change", **EVERYBODY}
    play(**given)
    assert told(hunted) == {"mattermost": 1, "slack": 1, "thehive": 1}
    quiet = play(**given)
    assert quiet.exit_code == 0
    assert told(hunted) == {"mattermost": 1, "slack": 1, "thehive": 1}
    assert "Nothing changed since the list's previous run" in quiet.step("EN:3 TheHive")["summary"]


def test_a_run_that_breaks_off_after_the_list_was_written_says_so(
    command: Play, sandbox: Sandbox, vault: Path, tmp_path: Path
) -> None:
    notebook = json.loads(PLAYBOOK.read_text())
    cell = next(cell for cell in notebook["cells"] if "run.retrosearch(" in "".join(cell["source"]))
    cell["source"] = ["1 / 0"]
    broken = tmp_path / "broken.ipynb"
    broken.write_text(json.dumps(notebook))
    words = [f"{name}={'[]' if value == [] else value}" for name, value in EVERYBODY.items()]
    assigned = [
        word for each in ["warninglist_name=x", "warninglist_values=a.example", *words] for word in ("-p", each)
    ]
    ran = command(str(broken), "--vault", str(vault), *assigned)
    assert ran.exit_code == 1
    assert "ZeroDivisionError" in ran.manifest["message"]
    assert told(sandbox) == {"mattermost": 1, "slack": 1, "thehive": 1}
    assert "The run broke off. The list x (ID " in sandbox.mattermost.posts[0]["text"]
    assert "written and seen (1 entries, enabled)" in sandbox.mattermost.posts[0]["text"]
    assert "written and seen (1 entries, enabled)" in ran.manifest["message"]
    assert "ZeroDivisionError" in sandbox.mattermost.posts[0]["text"]
    assert deliveries(ran)["TheHive"] == "sent"
    assert ran.summary.startswith("**TLP:AMBER**")


def test_a_run_that_fails_before_the_list_is_written_tells_nobody(play: Play, sandbox: Sandbox) -> None:
    ran = play(warninglist_id=4711, warninglist_values=["a.example"], **EVERYBODY)
    assert ran.exit_code == 3
    assert told(sandbox) == {"mattermost": 0, "slack": 0, "thehive": 0}


def test_no_message_that_is_kept_holds_a_secret(play: Play, sandbox: Sandbox) -> None:
    ran = play("-f", str(EXAMPLE), send_to_slack=True, send_to_thehive=True)
    kept = "".join(path.read_text() for path in ran.folder.iterdir())
    for name in ("mattermost_hook", "slack_hook", "thehive_key", "misp_key"):
        secret = sandbox.addresses()[name]
        assert secret not in kept
        assert secret.rpartition("/")[2] not in kept
