import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from searching import listed
from writing import Writer, client, held, meanwhile, writes

from misp_playbook_lib.cli import main
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistCategory, WarninglistType
from misp_playbook_lib.report import undo
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.steps import apply as applying
from misp_playbook_lib.steps.read_back import set_enabled
from misp_playbook_lib.steps.restore import plan_restore, restore

Command = Callable[..., Result]
LIST = Warninglist(
    id=7,
    name="Mine",
    description="",
    type=WarninglistType.STRING,
    category=WarninglistCategory.KNOWN,
    matching_attributes=("domain",),
    version=1,
    enabled=True,
    default=False,
    entries=(),
)


def test_a_plan_whose_diff_is_cut_is_kept_in_full_fields_included(tmp_path: Path) -> None:
    planned = listed("string", [f"host{number}.example" for number in range(198)])
    assert len(planned.diff) > 200 > len(planned.added)
    assert undo.UndoRecord(tmp_path / "run", "https://misp.example").planned(planned)
    assert (tmp_path / "run" / undo.DIFF).read_text().splitlines() == list(planned.diff)


@pytest.fixture(autouse=True)
def _no_pauses_between_attempts() -> object:
    stamina.set_testing(testing=True, attempts=applying.ATTEMPTS, cap=True)
    yield
    stamina.set_testing(testing=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "reports"


@pytest.fixture
def writer(sandbox: Sandbox, archive: Path) -> Writer:
    return Writer(sandbox, archive / "2026-01-02" / "run-1")


@pytest.fixture
def cli(vault: Path, archive: Path) -> Command:
    """Run the command on the archive, a restoring with the vault."""

    def run(command: str, *arguments: str) -> Result:
        options = ["--archive", str(archive), *(["--vault", str(vault)] if command == "restore" else [])]
        result = CliRunner().invoke(main, [command, *arguments, *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def add(sandbox: Sandbox, *lines: str, **fields: object) -> int:
    pairs = [(value, comment) for value, _, comment in (line.partition(" # ") for line in lines)]
    return sandbox.misp.add_warninglist("Mine", "string", "known", pairs, ["domain"], **fields)  # type: ignore[arg-type]


def test_restore_puts_the_list_back_as_it_was_before_the_run(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    add(sandbox, "a # x", "b", "a", description="Ours")
    writer.write("replace", "b # y", "c", description="Theirs", matching_attributes=("url",))
    restored = cli("restore", "run-1")
    assert restored.exit_code == 0, restored.output
    for line in ("+ a # x", "- c", "+ description: Ours", "as it was before the run run-1 (3 entries)"):
        assert line in restored.output
    assert held(sandbox) == ["a # x", "b", "a"]
    found = sandbox.misp.warninglist("Mine")
    assert found is not None
    assert (found["description"], found["matching_attributes"]) == ("Ours", ["domain"])


def test_a_second_restore_finds_nothing_to_do(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    add(sandbox, "a")
    writer.write("append", "b")
    cli("restore", "run-1")
    sandbox.misp.clear_requests()
    again = cli("restore", "run-1")
    assert again.exit_code == 0
    assert "nothing to do" in again.output
    assert writes(sandbox) == []


def test_a_list_that_the_run_created_is_disabled_deleted_and_seen_to_be_gone(
    sandbox: Sandbox, writer: Writer, cli: Command
) -> None:
    applied = writer.write("append", "a")
    assert applied.warninglist is not None
    set_enabled(writer.misp, applied.warninglist, writer.record, enabled=True)
    sandbox.misp.clear_requests()
    restored = cli("restore", "run-1")
    assert restored.exit_code == 0, restored.output
    assert f"Delete the list Mine (ID {applied.warninglist.id}, 1 entries)" in restored.output
    assert sandbox.misp.warninglist("Mine") is None
    asked = [(request.path, request.status) for request in sandbox.misp.requests]
    toggled = ("/warninglists/toggleEnable", 200)
    deleted = (f"/warninglists/delete/{applied.warninglist.id}", 302)
    gone = (f"/warninglists/view/{applied.warninglist.id}", 404)
    assert asked.index(toggled) < asked.index(deleted) < asked.index(gone)


def test_a_deletion_that_misp_did_not_carry_out_is_an_error(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    writer.write("append", "a")
    sandbox.misp.faults.add("/warninglists/delete", "500")
    restored = cli("restore", "run-1")
    assert restored.exit_code == 3
    assert "server error 500" in restored.output
    assert "The list Mine: not written." in restored.output
    assert held(sandbox) == ["a"]


def test_a_deletion_that_misp_refused_says_that_the_list_is_disabled(
    sandbox: Sandbox, writer: Writer, cli: Command
) -> None:
    applied = writer.write("append", "a")
    assert applied.warninglist is not None
    set_enabled(writer.misp, applied.warninglist, writer.record, enabled=True)
    sandbox.misp.faults.add("/warninglists/toggleEnable", "lost", times=1)
    sandbox.misp.faults.add("/warninglists/delete", "403")
    restored = cli("restore", "run-1")
    assert restored.exit_code == 3
    assert "written and seen (1 entries, not enabled)." in " ".join(restored.output.split())


def test_a_deletion_that_cannot_be_read_back_says_how_to_look(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    writer.write("append", "a")
    sandbox.misp.faults.add("/warninglists/view", "401", after=2)
    restored = cli("restore", "run-1")
    assert restored.exit_code == 3
    told = " ".join(restored.output.split())
    assert ": sent, not seen. Look in MISP whether it is as wanted (deleted), or run again" in told
    sandbox.misp.faults.clear()
    assert cli("restore", "run-1").exit_code == 0


def test_a_deletion_whose_answer_was_lost_is_seen_to_be_done(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    writer.write("append", "a")
    sandbox.misp.faults.add("/warninglists/delete", "lost")
    assert cli("restore", "run-1").exit_code == 0
    assert sandbox.misp.warninglist("Mine") is None


def test_a_list_that_the_run_enabled_is_disabled_again(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    current = writer.misp.warninglist(add(sandbox, "a", enabled=False))
    set_enabled(writer.misp, current, writer.record, enabled=True)
    restored = cli("restore", "run-1")
    assert restored.exit_code == 0, restored.output
    assert "Disable the list" in restored.output
    found = sandbox.misp.warninglist("Mine")
    assert found is not None
    assert not found["enabled"]


def test_restore_refuses_a_list_that_changed_since_and_force_restores_it(
    sandbox: Sandbox, writer: Writer, cli: Command
) -> None:
    list_id = add(sandbox, "a")
    writer.write("append", "b")
    client(sandbox).edit_warninglist(list_id, {"entries": ["a", "b", "theirs"]})
    sandbox.misp.clear_requests()
    refused = cli("restore", "run-1")
    assert refused.exit_code == 3
    assert "has changed since the run run-1" in refused.output
    assert "1 entries more (theirs)" in refused.output
    assert writes(sandbox) == []
    assert cli("restore", "run-1", "--force").exit_code == 0
    assert held(sandbox) == ["a"]


def test_what_somebody_added_during_the_run_counts_as_changed_since(
    sandbox: Sandbox, writer: Writer, cli: Command
) -> None:
    list_id = add(sandbox, "a")
    other = client(sandbox)
    meanwhile(sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["a", "b", "c"]}), after=True)
    writer.write("append", "b")
    assert cli("restore", "run-1").exit_code == 3
    assert held(sandbox) == ["a", "b", "c"]


def test_restore_is_itself_kept_and_can_be_undone(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    list_id = add(sandbox, "a")
    writer.write("append", "b")
    client(sandbox).edit_warninglist(list_id, {"entries": ["theirs"]})
    forced = cli("restore", "run-1", "--force")
    found = re.search(r"misp-playbook restore (restore-\w+)", forced.output)
    assert found is not None
    assert cli("restore", found[1]).exit_code == 0
    assert held(sandbox) == ["theirs"]


def test_undoing_a_deletion_makes_the_list_again(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    applied = writer.write("append", "a # x", description="Ours")
    assert applied.warninglist is not None
    set_enabled(writer.misp, applied.warninglist, writer.record, enabled=True)
    found = re.search(r"misp-playbook restore (restore-\w+)", cli("restore", "run-1").output)
    assert found is not None
    again = cli("restore", found[1])
    assert again.exit_code == 0, again.output
    assert held(sandbox) == ["a # x"]
    made = sandbox.misp.warninglist("Mine")
    assert made is not None
    assert (made["description"], made["enabled"]) == ("Ours", True)


def test_a_dry_run_shows_the_plan_and_does_nothing(sandbox: Sandbox, writer: Writer, cli: Command) -> None:
    add(sandbox, "a")
    writer.write("append", "b")
    sandbox.misp.clear_requests()
    shown = cli("restore", "run-1", "--dry-run")
    assert shown.exit_code == 0
    assert "- b" in shown.output
    assert "Dry run: nothing was changed." in shown.output
    assert writes(sandbox) == []


def test_a_run_of_another_server_is_refused(sandbox: Sandbox, writer: Writer, cli: Command, archive: Path) -> None:
    add(sandbox, "a")
    writer.write("append", "b")
    header = archive / "2026-01-02" / "run-1" / undo.HEADER
    header.write_text(header.read_text().replace(sandbox.misp_url, "https://misp.example"))
    refused = cli("restore", "run-1", "--force")
    assert refused.exit_code == 2
    assert f"wrote to https://misp.example, not to {sandbox.misp_url}" in refused.output
    assert held(sandbox) == ["a", "b"]


def test_a_run_that_is_not_there_or_changed_nothing_is_wrong_usage(cli: Command, archive: Path) -> None:
    (archive / "2026-01-02" / "idle").mkdir(parents=True)
    for run_id, words in (("no-such-run", "There is no run"), ("idle", "changed no list"), ("../idle", "There is no")):
        refused = cli("restore", run_id)
        assert refused.exit_code == 2
        assert words in refused.output


def test_somebody_writing_between_plan_and_restoring_stops_it(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")
    writer.write("append", "b")
    kept = undo.load(writer.record.folder)
    planned = plan_restore(writer.misp, kept)
    client(sandbox).edit_warninglist(list_id, {"entries": ["theirs"]})
    with pytest.raises(applying.ChangedMeanwhile, match="changed while it was to be restored"):
        restore(writer.misp, planned, undo.UndoRecord(undo.interactive_folder("x"), kept.server))
    assert held(sandbox) == ["theirs"]


def test_a_second_apply_of_one_run_is_undone_together_with_the_first(
    sandbox: Sandbox, writer: Writer, cli: Command
) -> None:
    add(sandbox, "a")
    writer.write("append", "b")
    writer.write("append", "c")
    assert cli("restore", "run-1").exit_code == 0
    assert held(sandbox) == ["a"]


def test_runs_lists_what_can_be_restored_interactive_and_unfinished_ones_too(
    sandbox: Sandbox, writer: Writer, cli: Command, archive: Path
) -> None:
    add(sandbox, "a")
    writer.write("append", "b")
    interactive = Writer(sandbox, undo.interactive_folder("interactive-1"))
    interactive.write("append", "x", name="Other")
    unfinished = Writer(sandbox, archive / ".incomplete" / "run-2")
    unfinished.write("append", "c")
    (archive / "2026-01-02" / "idle").mkdir()
    rows = {line.split("|")[1].strip(): line for line in cli("runs").output.splitlines() if "|" in line}
    assert set(rows) == {"Run", "run-1", "interactive-1", "run-2"}
    assert "1 → 2" in rows["run-1"]
    assert "no list → 1" in rows["interactive-1"]
    assert "not finished" in rows["run-2"]
    assert cli("restore", "run-2").exit_code == 0
    assert "restored by restore-" in next(line for line in cli("runs").output.splitlines() if "| run-2" in line)


def test_what_is_kept_is_closed_to_others_and_whole(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a")
    writer.write("append", *(f"{number}.example" for number in range(250)))
    names = {path.name for path in writer.record.folder.iterdir()}
    assert names == {undo.BEFORE, undo.AFTER, undo.HEADER, undo.DIFF}
    assert {path.stat().st_mode & 0o777 for path in writer.record.folder.iterdir()} == {0o600}
    assert writer.record.folder.stat().st_mode & 0o777 == 0o700
    assert len((writer.record.folder / undo.DIFF).read_text().splitlines()) == 250
    assert len(json.loads((writer.record.folder / undo.AFTER).read_text())["entries"]) == 251


def keep(run_id: str, name: str, days: int) -> Path:
    """Keep what undoes an interactive run as if it had been so many days ago."""
    record = undo.UndoRecord(undo.interactive_folder(run_id), "https://misp.example")
    record.sending(None, replace(LIST, name=name))
    header = record.folder / undo.HEADER
    moment = datetime.now(UTC) - timedelta(days=days)
    header.write_text(json.dumps(json.loads(header.read_text()) | {"time": moment.isoformat(timespec="seconds")}))
    return record.folder


def test_what_undoes_interactive_runs_goes_after_90_days_but_for_each_lists_last() -> None:
    days = {"one-1": 300, "one-2": 95, "one-3": 91, "two-1": 400, "two-2": 85, "three-1": 500}
    folders = {run_id: keep(run_id, run_id.partition("-")[0], age) for run_id, age in days.items()}
    broken = undo.interactive_folder("broken")
    broken.mkdir()
    (broken / undo.HEADER).write_text("{")
    keep("two-3", "two", 0)
    assert {run_id for run_id, folder in folders.items() if folder.exists()} == {"one-3", "two-2", "three-1"}
    assert broken.exists()


numbers = itertools.count()
values = st.sampled_from(["a", "b", "c", "d", " a", "http://d/#x"])
lines = st.lists(st.tuples(values, st.sampled_from(["", "x", "y"])), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines, lines, st.sampled_from(["append", "replace", "remove"]))
def test_what_is_applied_is_what_was_planned_and_restoring_is_identity(
    sandbox: Sandbox, writer: Writer, existing: list[tuple[str, str]], given_: list[tuple[str, str]], action: str
) -> None:
    name = f"List {next(numbers)}"
    sandbox.misp.add_warninglist(name, "string", "known", existing, ["domain"])
    before = held(sandbox, name)
    writer.record = undo.UndoRecord(undo.interactive_folder(name), writer.misp.server.url)
    planned = writer.plan(action, *(f"{value} # {comment}" for value, comment in given_), name=name)
    if not planned.entries or not planned.changes:
        return
    writer.apply(planned)
    wanted = [f"{entry.value} # {entry.comment}" if entry.comment else entry.value for entry in planned.entries]
    assert held(sandbox, name) == wanted
    assert not writer.plan(action, *(f"{value} # {comment}" for value, comment in given_), name=name).changes
    kept = undo.load(writer.record.folder)
    restore(writer.misp, plan_restore(writer.misp, kept), undo.UndoRecord(undo.interactive_folder("back"), kept.server))
    assert held(sandbox, name) == before
