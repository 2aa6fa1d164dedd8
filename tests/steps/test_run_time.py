"""The deadline of a run: what ends with it, what goes on, and how the quota of the lookups moves it."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Ran

from misp_playbook_lib.clients.deadline import seconds_left, set_deadline
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.model.plan import WarninglistAction, plan
from misp_playbook_lib.model.results import Scope
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec
from misp_playbook_lib.report.archive import run_timeout
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import RUN_TIMEOUT_VARIABLE, load_settings
from misp_playbook_lib.steps.retrosearch import retrosearch
from misp_playbook_lib.steps.run_time import DEFAULT_SECONDS, RunTime

Play = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _no_deadline() -> Iterator[None]:
    yield
    set_deadline(None)


def test_a_run_has_an_hour_and_what_the_quota_of_the_slowest_module_needs(tmp_path: Path) -> None:
    run = RunTime(tmp_path)
    assert DEFAULT_SECONDS - 60 < seconds_left() <= DEFAULT_SECONDS
    for seconds in (600.0, 7200.0, 60.0):
        run.add_lookups(seconds)
    assert DEFAULT_SECONDS + 7140 < seconds_left() <= DEFAULT_SECONDS + 7200
    assert run_timeout(tmp_path, DEFAULT_SECONDS) == DEFAULT_SECONDS + 7200


@pytest.mark.parametrize(("said", "left"), [("90", 90.0), ("0", math.inf)])
def test_what_somebody_said_is_not_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, left: float
) -> None:
    monkeypatch.setenv(RUN_TIMEOUT_VARIABLE, said)
    RunTime(tmp_path).add_lookups(600.0)
    assert left - 60 < seconds_left() <= left or left == seconds_left()
    assert run_timeout(tmp_path, float(said)) == float(said)


def test_an_interactive_run_has_no_deadline() -> None:
    set_deadline(time.monotonic())
    RunTime(None).add_lookups(600.0)
    assert seconds_left() == math.inf


def test_a_search_after_the_deadline_is_incomplete_and_says_why(vault: Path) -> None:
    spec = WarninglistSpec("Mine", (WarninglistEntry("johnshopkin.net"),))
    misp = MispClient(load_settings(vault))
    set_deadline(time.monotonic())
    result = retrosearch(misp, plan(spec, None, WarninglistAction.APPEND), Scope(), enabled=True)
    assert result.matches == ()
    assert any("deadline" in reason for reason in result.incomplete), result.incomplete


def test_at_the_deadline_lookups_end_and_the_run_goes_on_to_its_summary_and_messages(
    play: Play, sandbox: Sandbox, vault: Path
) -> None:
    vault.write_text(vault.read_text().replace("calls_per_minute = 0", "calls_per_minute = 1"))
    ran = play(
        "--run-timeout=20",
        warninglist_name="Mine",
        warninglist_values=["a" * 32, "b" * 32, "c" * 32],
        enrich_with=["virustotal_public"],
        send_to_slack="yes",
    )
    assert ran.exit_code == 4, ran.output
    assert "VirusTotal: not asked: deadline for" in ran.output
    assert ran.step("EN:2 Slack")["status"] == "done"
    assert ran.step("EN:4")["status"] == "done"
    assert sandbox.misp.warninglist("Mine") is not None
    assert ran.manifest["run_timeout"] == 20
    assert "Where the time went" in ran.report
    questions = [request for request in sandbox.modules.requests if request.path == "/query"]
    assert len(questions) < 3
