"""Runs that go into the archive and out of it: whole or not at all, one at a time, compared with the last."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import archived
import pytest

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.report import filing, runs
from misp_playbook_lib.report.archive import RunFolder
from misp_playbook_lib.untrusted import know_secrets

FILES = {"run.json", "report.html", "warninglist.json", "matches.csv"}


def test_a_run_says_what_changed_since_the_lists_run_before(tmp_path: Path) -> None:
    first = archived.file(tmp_path, ["a.example", "b.example"], [("a.example", "1"), ("b.example", "2")])
    archived.file(tmp_path, ["z.example"], [], name="Another")
    second = archived.file(tmp_path, ["a.example", "c.example"], [("a.example", "1"), ("c.example", "3")])
    assert archived.read(first)["since"] is None
    assert archived.read(second)["since"] == {
        "run_id": first.name,
        "entries_added": 1,
        "entries_removed": 1,
        "matches_new": 1,
        "matches_gone": 1,
    }
    index = (tmp_path / "index.html").read_text()
    assert "1 entries added, 1 entries removed, 1 matches new, 1 matches gone" in index
    assert "Since the run before" in (second / "report.html").read_text()


@pytest.mark.parametrize("gone", ["warninglist.json", "matches.csv"])
def test_a_run_is_archived_also_where_a_table_of_the_run_before_is_gone(tmp_path: Path, gone: str) -> None:
    (archived.file(tmp_path, ["a.example"], []) / gone).unlink()
    assert archived.read(archived.file(tmp_path, ["b.example"], []))["since"] is None


def test_a_run_is_compared_with_neither_a_dry_run_nor_one_that_failed_nor_another_servers(tmp_path: Path) -> None:
    dry = archived.manifest("20261124T080000Z-000000")["facts"]
    dry["warninglist"]["outcome"] = "not written (dry run)"
    elsewhere = archived.manifest("20261124T080000Z-000000")["facts"]
    elsewhere["server"] = archived.SERVER | {"url": "https://other.example.org"}
    archived.file(tmp_path, facts=dry)
    archived.file(tmp_path, facts=elsewhere)
    archived.file(tmp_path, outcome="failed", facts={"server": archived.SERVER})
    assert archived.read(archived.file(tmp_path))["since"] is None


def test_runs_that_finish_at_once_are_all_in_the_index_and_know_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: archived.file(tmp_path), range(8)))
    index = (tmp_path / "index.html").read_text()
    assert all(f"{folder.parent.name}/{folder.name}/report.html" in index for folder in folders)
    assert sum(archived.read(folder)["since"] is None for folder in folders) >= 1
    assert {run.run_id for run in runs.read(tmp_path).runs} == {folder.name for folder in folders}
    assert not list((tmp_path / ".incomplete").iterdir())


def test_a_run_of_the_same_list_that_is_filed_while_a_report_is_made_is_the_run_before(tmp_path: Path) -> None:
    archived.dated(archived.file(tmp_path, ["a.example"], []), "20250101T000000Z-aaaaaa")
    folder = RunFolder(tmp_path)
    archived.leave(folder.path, ["a.example", "b.example", "c.example"])
    notebook = folder.path / "run.ipynb"
    os.mkfifo(notebook)
    with ThreadPoolExecutor(1) as pool:
        manifest = archived.manifest(folder.run_id)
        filed = pool.submit(filing.file_run, folder, manifest, archived.NOTEBOOK.parent)
        with notebook.open("w") as opened:  # its report is being made
            meanwhile = archived.file(tmp_path, ["a.example", "b.example"], [])
            whole = tmp_path / "whole.ipynb"
            whole.write_text(archived.NOTEBOOK.read_text())
            whole.rename(notebook)
            opened.write(archived.NOTEBOOK.read_text())
        done, _ = filed.result()
    assert archived.read(done)["since"]["run_id"] == meanwhile.name
    assert archived.read(done)["since"]["entries_added"] == 1
    assert "entries: 1 more, 0 fewer" in (done / "report.html").read_text()


def test_the_index_leads_to_each_batch_and_says_how_it_ended(tmp_path: Path) -> None:
    archived.file(tmp_path)
    left = {
        "20261124T080000Z-aaaaaa": {"outcome": "failed", "finished": "2026-11-24T08:01:00+00:00"},
        "20261124T090000Z-bbbbbb": {"outcome": None, "finished": None},
    }
    for batch, ended in left.items():
        folder = tmp_path / "batches" / batch
        folder.mkdir(parents=True)
        known = {"batch_id": batch, "started": "2026-11-24T08:00:00+00:00", "file": "/srv/<i>.yaml"}
        (folder / "batch.json").write_text(json.dumps(known | {"verdict": "2 success, 1 failed"} | ended))
        if ended["finished"]:
            (folder / "index.html").touch()
    broken = tmp_path / "batches" / "20261124T100000Z-cccccc"
    broken.mkdir()
    (broken / "batch.json").write_text("{")
    filing.write_index(tmp_path)
    page = (tmp_path / "index.html").read_text()
    text = re.sub(r"<[^>]+>", "|", page)
    assert "2026-11-24 08:00:00 aaaaaa|||✗ failed||2 success, 1 failed||&lt;i&gt;.yaml" in text
    assert "2026-11-24 08:00:00 bbbbbb|||not finished||2 success, 1 failed" in text
    links = [link for link in re.findall(r'href="([^"]+)"', page) if link.startswith("batches/")]
    assert links == [
        "batches/20261124T090000Z-bbbbbb/batch.json",
        "batches/20261124T080000Z-aaaaaa/index.html",
    ]
    assert "batches/20261124T100000Z-cccccc/batch.json: JSONDecodeError" in text


def killed_at(change: int, work: Any) -> bool:
    """Do the work in a process that is killed just before its nth change to a file; tell whether it was."""
    process = os.fork()
    if process == 0:
        seen = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in ("os.rename", "os.mkdir", "os.chmod", "os.remove", "os.rmdir"):
                seen += 1
                if seen == change:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def every_kill(archive: Path, work: Any) -> Iterator[int]:
    change = 1
    while killed_at(change, work):
        yield change
        change += 1
    assert change > 5
    assert archive.is_dir()


def whole(archive: Path) -> list[str]:
    """Check that whatever is listed is whole, and return the IDs."""
    found = runs.read(archive)
    assert found.unreadable == ()
    for run in found.runs:
        assert {path.name for path in run.folder.iterdir()} >= FILES
        assert (run.folder / "report.html").read_text().rstrip().endswith("</html>")
        assert json.loads((run.folder / "run.json").read_text())["run_id"] == run.run_id
    if (archive / "index.html").exists():
        assert (archive / "index.html").read_text().rstrip().endswith("</html>")
    return [run.run_id for run in found.runs]


def test_whatever_kills_the_process_no_half_run_is_listed(tmp_path: Path) -> None:
    archived.file(tmp_path / "warm")
    archive = tmp_path / "reports"
    know_secrets(["s3cr3t-key"])
    for change in every_kill(archive, lambda: archived.file(archive, message="s3cr3t-key")):
        assert archive.is_dir() or change == 1
        whole(archive)
    assert whole(archive)
    last = archived.file(archive)
    assert last.name in (archive / "index.html").read_text()


def test_whatever_kills_prune_no_half_run_is_listed_and_the_next_one_goes_on(tmp_path: Path) -> None:
    archived.file(tmp_path)
    for _ in every_kill(tmp_path, lambda: (archived.file(tmp_path), filing.prune(tmp_path, "1"))):
        whole(tmp_path)
    assert len(whole(tmp_path)) == 1
    assert not list((tmp_path / ".incomplete").glob("*.removed"))


@pytest.mark.parametrize("keep", ["1", "1d"])
def test_prune_keeps_the_latest_runs_of_each_list_and_its_last_good_one(tmp_path: Path, keep: str) -> None:
    older = archived.dated(archived.file(tmp_path), "20250101T000000Z-aaaaaa")
    good = archived.dated(archived.file(tmp_path), "20250102T000000Z-aaaaaa")
    partial = archived.dated(archived.file(tmp_path, outcome="partial"), "20250103T000000Z-aaaaaa")
    failed = archived.dated(archived.file(tmp_path, outcome="failed"), "20250104T000000Z-aaaaaa")
    last = archived.file(tmp_path, outcome="failed")
    other = archived.dated(archived.file(tmp_path, name="Another", outcome="partial"), "20250101T000000Z-bbbbbb")
    removed = filing.prune(tmp_path, keep)
    assert {run.run_id for run in removed} == {older.name, partial.name, failed.name}
    assert set(whole(tmp_path)) == {good.name, last.name, other.name}
    index = (tmp_path / "index.html").read_text()
    assert not [run.run_id for run in removed if f"{run.run_id}/report.html" in index]


@pytest.mark.parametrize("keep", ["0", "-1", "x", "", "1w", "1.5"])
def test_what_prune_keeps_is_a_number_of_runs_or_of_days(tmp_path: Path, keep: str) -> None:
    run = archived.file(tmp_path)
    with pytest.raises(ParameterError, match="neither"):
        filing.prune(tmp_path, keep)
    assert whole(tmp_path) == [run.name]


def test_no_secret_stays_in_a_table_or_in_the_page(tmp_path: Path) -> None:
    secret = "0123456789abcdefghijklmnopqrstuvwxyzABCD"
    know_secrets([secret])
    folder = archived.file(tmp_path, [secret], [(secret, "1")], message=f"key {secret}")
    for path in folder.iterdir():
        assert secret not in path.read_text(), path.name
    assert archived.read(folder)["redacted"] >= 4
    assert secret not in (tmp_path / "index.html").read_text()


def test_a_manifest_that_cannot_be_read_is_told_and_hides_no_other(tmp_path: Path) -> None:
    folder = archived.file(tmp_path)
    broken = tmp_path / "2026-01-01" / "20260101T000000Z-000000"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{")
    kept = archived.file(tmp_path)
    found = runs.read(tmp_path)
    assert [run.run_id for run in found.runs] == sorted([folder.name, kept.name], reverse=True)
    assert broken.name in found.unreadable[0]
    assert "Manifests that cannot be read" in (tmp_path / "index.html").read_text()
