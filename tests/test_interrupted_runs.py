"""Runs that are interrupted, killed or cannot write their output: archived all the same, now or by the next command."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from batching import batch_file, batched, ended, small_notebook, small_vault, started
from click.testing import CliRunner, Result

from misp_playbook_lib.cli import main
from misp_playbook_lib.report.undo import HEADER

WRITES = """
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistCategory, WarninglistEntry, WarninglistType
from misp_playbook_lib.report.undo import UndoRecord
wanted = Warninglist(
    id=7, name=warninglist_name, description="", type=WarninglistType.STRING, category=WarninglistCategory.KNOWN,
    matching_attributes=(), version=1, enabled=True, default=False, entries=(WarninglistEntry("a.example", ""),),
)
record = UndoRecord(folder, "http://127.0.0.1:9")
"""
HANGS = """
with state.step('IN:5', 'A step'):
    {before}
    (here / 'hangs').write_text('')
    threading.Event().wait()
"""
FATES = [
    ("pass", "not written"),
    ("record.sending(None, wanted)", "sent, not seen"),
    ("record.sending(None, wanted); record.written(wanted)", "written and seen"),
]


def command(folder: Path, code: str, *more: str) -> list[str]:
    words = ["run", str(small_notebook(folder, code)), "-p", "warninglist_name=One"]
    return [*words, "--vault", str(small_vault(folder)), "--archive", str(folder / "reports"), *more]


@contextmanager
def hanging(folder: Path, before: str = "pass", *more: str, **popen: Any) -> Iterator["subprocess.Popen[str]"]:
    """Start a run and wait until it hangs in IN:5."""
    os.mkfifo(folder / "hangs")
    words = [sys.executable, "-m", "misp_playbook_lib", *command(folder, WRITES + HANGS.format(before=before), *more)]
    with subprocess.Popen(
        words, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **popen}
    ) as process:
        (folder / "hangs").read_text()
        yield process


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--archive", str(folder / "reports")])


def manifests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "reports").glob("[0-9]*/*/run.json"))]


def left(folder: Path) -> list[str]:
    return [path.name for path in (folder / "reports" / ".incomplete").iterdir()]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("before", "fate"), FATES)
def test_a_signal_ends_a_run_in_order_archived_as_interrupted_with_what_became_of_the_list(
    tmp_path: Path, number: signal.Signals, exit_code: int, before: str, fate: str
) -> None:
    with hanging(tmp_path, before) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == exit_code, errors
    assert "Traceback" not in errors
    (manifest,) = manifests(tmp_path)
    assert (manifest["outcome"], manifest["exit_code"]) == ("interrupted", exit_code)
    assert manifest["message"].startswith(f"interrupted by {number.name} in IN:5 A step. The list One")
    assert fate in manifest["message"]
    assert f"interrupted: {manifest['message']}" in output
    assert left(tmp_path) == []
    assert psutil.wait_procs(children, timeout=30)[1] == []
    folder = next((tmp_path / "reports").glob(f"*/{manifest['run_id']}"))
    assert (folder / HEADER).exists() is (fate != "not written")
    assert "Interrupted." in (folder / "report.html").read_text()
    assert "✗ interrupted" in (tmp_path / "reports" / "index.html").read_text()
    assert "✗ interrupted" in run(tmp_path, "runs").output


@pytest.mark.parametrize("words", [["runs"], ["run"], ["batch"]])
@pytest.mark.parametrize(("before", "fate"), FATES[1:])
def test_a_run_that_was_killed_is_archived_by_the_next_command_with_its_undo(
    tmp_path: Path, words: list[str], before: str, fate: str
) -> None:
    with hanging(tmp_path, before) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    psutil.wait_procs(children, timeout=30)
    assert {Path(name).suffix for name in left(tmp_path)} == {"", ".lock"}
    if words == ["runs"]:
        result = run(tmp_path, "runs")
    elif words == ["run"]:
        result = CliRunner().invoke(main, command(tmp_path, "step('IN:5')"))
    else:
        file = batch_file(tmp_path, small_notebook(tmp_path), [{"warninglist_name": "Two"}])
        result = CliRunner().invoke(
            main, ["batch", str(file), "--vault", str(small_vault(tmp_path)), "--archive", str(tmp_path / "reports")]
        )
    assert result.exit_code == 0, result.output
    dead = manifests(tmp_path)[0]
    assert (dead["outcome"], dead["exit_code"]) == ("interrupted", 137)
    assert dead["message"].startswith("the process that ran it died. The list One")
    assert fate in dead["message"]
    assert f"! The run {dead['run_id']} had not been archived" in result.stderr
    folder = next((tmp_path / "reports").glob(f"*/{dead['run_id']}"))
    assert (folder / HEADER).is_file()
    assert left(tmp_path) == []


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    with hanging(tmp_path) as process:
        before = set(left(tmp_path))
        result = run(tmp_path, "runs")
        assert "0 archived runs" in result.output
        assert set(left(tmp_path)) == before
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert [one["outcome"] for one in manifests(tmp_path)] == ["interrupted"]


def test_a_folder_with_an_undo_record_is_never_deleted_whatever_else_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / ".incomplete" / "20261124T080000Z-000000"
    folder.mkdir(parents=True)
    (folder / HEADER).write_text("")
    for _ in range(2):
        result = run(tmp_path, "runs")
        assert result.exit_code == 0
        assert f"! The run {folder.name} ended badly and cannot be archived" in result.stderr
        assert (folder / HEADER).exists()


def test_a_folder_of_a_run_that_had_not_begun_goes(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / ".incomplete" / "20261124T080000Z-000000"
    folder.mkdir(parents=True)
    assert run(tmp_path, "runs").exit_code == 0
    assert left(tmp_path) == []


def test_prune_keeps_an_interrupted_run_that_may_have_to_be_undone(tmp_path: Path) -> None:
    with hanging(tmp_path, "record.sending(None, wanted)") as process:
        process.kill()
    assert run(tmp_path, "runs").exit_code == 0
    for _ in range(2):
        assert CliRunner().invoke(main, command(tmp_path, "step('IN:5')")).exit_code == 0
    result = run(tmp_path, "prune", "--keep", "1")
    assert result.output.endswith("1 runs removed.\n"), result.output
    assert [one["outcome"] for one in manifests(tmp_path)] == ["interrupted", "success"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_output_that_is_closed_ends_no_run(tmp_path: Path, stream: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "misp_playbook_lib", *command(tmp_path, "step('IN:4')\nstep('IN:5')")]
    ran = subprocess.run(words, check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer})
    os.close(writer)
    assert ran.returncode == 0
    assert [one["outcome"] for one in manifests(tmp_path)] == ["success"]
    assert b"Traceback" not in (ran.stderr or b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_on_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "misp_playbook_lib", *command(tmp_path, "step('IN:5')")]
        assert subprocess.run(words, check=False, stdout=full, stderr=full).returncode == 0
    assert [one["outcome"] for one in manifests(tmp_path)] == ["success"]


def test_a_batch_whose_output_is_closed_runs_all_its_sets(tmp_path: Path) -> None:
    file = batch_file(tmp_path, small_notebook(tmp_path), [{"warninglist_name": name} for name in ("One", "Two")])
    process = started(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--jobs=1")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    ran = ended(tmp_path, process)
    assert (ran.exit_code, ran.outcomes) == (0, ["success", "success"]), ran.errors


def test_an_output_that_lacks_characters_gets_them_escaped(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "misp_playbook_lib",
        *command(tmp_path, "with state.step('IN:5', 'A') as one: one.summary = 'a → b'"),
    ]
    ran = subprocess.run(words, check=True, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert b"a \\u2192 b" in ran.stdout


def test_damaged_records_are_named_and_skipped(tmp_path: Path) -> None:
    file = batch_file(tmp_path, small_notebook(tmp_path), [{"warninglist_name": "One"}])
    words = ("--vault", str(small_vault(tmp_path)))
    first = batched(tmp_path, file, *words)
    damaged = [first.folders[0] / "batch.json", first.archive / "2026-11-24" / "20261124T080000Z-000000" / "run.json"]
    damaged.append(damaged[1].with_name(HEADER))
    damaged[1].parent.mkdir(parents=True)
    for path in damaged:
        path.write_text("")
    again = started(tmp_path, file, *words)
    ran = ended(tmp_path, again)
    assert (ran.exit_code, ran.outcomes) == (0, ["success"])
    assert f"{damaged[0]} cannot be read" in ran.errors
    shown = run(tmp_path, "runs")
    assert shown.exit_code == 0
    assert "2 archived runs" in shown.output
    assert "2026-11-24/20261124T080000Z-000000/run.json: JSONDecodeError" in shown.output
    assert "cannot be read" in next(line for line in shown.output.splitlines() if line.startswith("| 20261124T080000Z"))
    one = run(tmp_path, "show", damaged[1].parent.name)
    assert (one.exit_code, one.output.count("\n")) == (2, 1)
    assert "cannot be read" in one.output
