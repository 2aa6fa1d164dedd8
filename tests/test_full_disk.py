"""A disk that is full, and a report that cannot be rendered: record and undo survive, and a line says where."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batching import small_notebook, small_vault
from click.testing import CliRunner, Result
from conftest import EXAMPLE, PLAYBOOK
from test_interrupted_runs import WRITES

from misp_playbook_lib.cli import main
from misp_playbook_lib.report import html, undo
from misp_playbook_lib.report.archive import state_folder
from misp_playbook_lib.report.history import write_manifest
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.state import RunState

Disk = Callable[[str], Path]
FILLS = (
    WRITES
    + """
with state.step('IN:5', 'A step'):
    record.sending(None, wanted)
    record.written(wanted)
facts = {"name": warninglist_name, "outcome": "updated", "url": "", "id": 7, "entries": 1, "added": 1, "removed": 0}
state.facts["warninglist"] = facts
with state.step('IN:6', 'A step'):
    pass
try:
    with (folder / 'filler').open('wb', buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
except OSError:
    pass
"""
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount file systems of a given size."""
    mounted = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False, capture_output=True
        )
        if made.returncode:
            pytest.skip("a small file system cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def small(folder: Path, code: str, archive: Path) -> Result:
    words = [
        "run",
        str(small_notebook(folder, code)),
        "-p",
        "warninglist_name=One",
        "--vault",
        str(small_vault(folder)),
    ]
    return CliRunner().invoke(main, [*words, "--archive", str(archive)])


def test_too_little_space_stops_a_run_before_it_writes(disk: Disk, sandbox: Sandbox, vault: Path) -> None:
    words = ["run", str(PLAYBOOK), "-f", str(EXAMPLE), "--vault", str(vault), "--archive", str(disk("8m"))]
    result = CliRunner().invoke(main, [*words, "-p", "enrich_with=[]"])
    assert result.exit_code == 3, result.output
    assert "There is too little space in" in result.output
    assert sandbox.misp.warninglist("Campaign-ZN03") is None


def test_a_disk_that_gets_full_after_the_write_loses_neither_record_nor_undo(disk: Disk, tmp_path: Path) -> None:
    result = small(tmp_path, FILLS, disk("24m"))
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    (kept,) = (state_folder() / "unarchived").iterdir()
    line = next(line for line in result.stderr.splitlines() if "could not be archived" in line)
    assert str(kept) in line
    assert f"misp-playbook restore {kept.name}" in line
    manifest = json.loads((kept / "run.json").read_text())
    assert manifest["outcome"] == "crashed"
    assert [step["step"] for step in manifest["steps"]][:2] == ["IN:5", "IN:6"]
    assert "written and seen" in manifest["message"]
    left = undo.load(kept)
    assert [entry.value for entry in left.last.entries if left.last] == ["a.example"]


def test_a_run_on_a_disk_that_has_room_again_is_archived_by_the_next_command(disk: Disk, tmp_path: Path) -> None:
    archive = disk("24m")
    assert small(tmp_path, FILLS, archive).exit_code == 1
    (filler,) = archive.glob(".incomplete/*/filler")
    filler.unlink()
    assert CliRunner().invoke(main, ["runs", "--archive", str(archive)]).exit_code == 0
    (done,) = archive.glob("[0-9]*/*/run.json")
    assert json.loads(done.read_text())["outcome"] == "crashed"
    assert not any((state_folder() / "unarchived").iterdir())
    assert undo.load(done.parent).name == "One"
    assert (done.parent / "report.html").is_file()


def test_a_disk_that_is_full_before_the_run_starts_nothing(disk: Disk, tmp_path: Path) -> None:
    archive = disk("1m")
    with pytest.raises(OSError, match="No space left"):
        (archive / "filler").write_bytes(bytes(2 << 20))
    result = small(tmp_path, "(here / 'ran').touch()", archive)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert "cannot be written" in result.stderr
    assert not (tmp_path / "ran").exists()


def test_where_the_state_folder_is_full_too_the_line_says_where_the_folder_of_the_run_is(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = disk("24m")
    monkeypatch.setenv("XDG_STATE_HOME", str(archive / "state"))
    result = small(tmp_path, FILLS, archive)
    assert result.exit_code == 1
    folder = re.search(r"nor could it be kept in .*: see (\S+)", result.stderr)
    assert folder
    assert undo.load(Path(folder[1])).name == "One"


def test_a_report_that_cannot_be_rendered_leaves_the_run_archived_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "style.css").write_bytes(b"\xff")
    monkeypatch.setattr(html, "STYLE", tmp_path / "style.css")
    result = small(tmp_path, "step('IN:5')", tmp_path / "reports")
    assert result.exit_code == 4
    assert "! The report could not be rendered (UnicodeDecodeError" in result.stderr
    (done,) = (tmp_path / "reports").glob("[0-9]*/*/run.json")
    assert json.loads(done.read_text())["outcome"] == "partial"
    assert not (done.parent / "report.html").exists()
    assert f'href="{done.relative_to(tmp_path / "reports")}"' in (tmp_path / "reports" / "index.html").read_text()


def test_a_record_is_on_the_disk_with_its_folder_before_it_counts_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    RunState("one", tmp_path).save()
    write_manifest(tmp_path, {})
    assert synced == [".state.json", tmp_path.name, ".run.json", tmp_path.name]
