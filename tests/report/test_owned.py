"""Folders of processes: locked while one of them lives, removed by the next command when all have died."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from misp_playbook_lib.report.archive import RunFolder, left_behind
from misp_playbook_lib.report.owned import hold, remove_left_temporary, temporary_folder

DIES = """
import os, signal
from misp_playbook_lib.report.owned import temporary_folder
with temporary_folder() as folder:
    (folder / "keys.py").touch()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_temporary_folder_of_a_process_that_died_goes_and_no_other(temporary: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIES], check=False, capture_output=True, text=True)
    left = Path(died.stdout.strip())
    assert (left / "keys.py").exists()
    (temporary / "misp-playbook-of-somebody").mkdir()
    (temporary / "misp-playbook-link").symlink_to(left)
    with temporary_folder() as mine:
        remove_left_temporary()
        assert mine.is_dir()
        assert not left.exists()
        assert sorted(path.name for path in temporary.iterdir()) == sorted(
            ["misp-playbook-link", "misp-playbook-of-somebody", mine.name]
        )
    assert not mine.exists()


def test_a_lock_is_free_only_when_every_process_that_holds_it_has_ended(temporary: Path) -> None:
    owner = hold(temporary / "lock")
    assert owner
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[owner.descriptor]) as child:
        os.close(owner.descriptor)
        assert hold(temporary / "lock") is None
        child.communicate()
    assert hold(temporary / "lock")


def test_a_run_folder_is_taken_over_only_when_its_owner_has_gone(temporary: Path) -> None:
    folder = RunFolder(temporary)
    assert list(left_behind(temporary)) == []
    folder.release()
    (taken,) = left_behind(temporary)
    assert taken.run_id == folder.run_id
    assert list(left_behind(temporary)) == []
    taken.release()
    assert folder.path.is_dir()
    (again,) = left_behind(temporary)
    assert again.finish().name == folder.run_id
    assert list((temporary / ".incomplete").iterdir()) == []
