"""A run's folder: closed to others, clean of secrets, moved into place when whole."""

import base64
import errno
import os
import stat
from pathlib import Path
from urllib.parse import quote

import pytest

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.report.archive import RunFolder
from misp_playbook_lib.untrusted import REDACTED, know_secrets

SECRET = "s3cr3t/with+odd=characters&<more>"


def test_folder_and_files_are_the_owners_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "reports")
    folder.write("summary.md", "text")
    (folder.path / "other").write_text("text")
    done = folder.finish()
    assert stat.S_IMODE(done.stat().st_mode) == 0o700
    assert stat.S_IMODE(done.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in done.iterdir()} == {0o600}


def test_a_run_stands_beside_until_it_is_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.path.parent.name == ".incomplete"
    assert not list(tmp_path.glob("[0-9]*"))
    done = folder.finish()
    assert done.name == folder.run_id
    assert done.parent.parent == tmp_path
    assert not folder.path.exists()


def test_every_run_has_an_id_of_its_own(tmp_path: Path) -> None:
    assert len({RunFolder(tmp_path).run_id for _ in range(50)}) == 50


def test_an_archive_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match="cannot be written"):
        RunFolder(file / "reports")


@pytest.mark.parametrize(
    "text",
    [
        f"key {SECRET}.",
        f"url ?k={quote(SECRET, safe='')}&x",
        "basic " + base64.b64encode(f"user:{SECRET}".encode()).decode(),
        "basic " + base64.b64encode(f"someone:{SECRET} and more".encode()).decode(),
        "safe " + base64.urlsafe_b64encode(SECRET.encode()).decode(),
        "html s3cr3t/with+odd=characters&amp;&lt;more&gt;",
    ],
)
def test_a_secret_is_found_in_every_form_and_counted(tmp_path: Path, text: str) -> None:
    know_secrets([SECRET])
    folder = RunFolder(tmp_path)
    folder.write("a.json", text)
    assert folder.redact() == 1
    cleaned = (folder.path / "a.json").read_text()
    assert REDACTED in cleaned
    assert folder.redact() == 0


def test_a_file_without_a_secret_stays_as_it_is(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    data = bytes(range(256))
    (folder.path / "picture").write_bytes(data)
    know_secrets([SECRET])
    assert folder.redact() == 0
    assert (folder.path / "picture").read_bytes() == data


def test_a_file_that_cannot_be_rewritten_without_a_secret_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = RunFolder(tmp_path)
    know_secrets([SECRET])
    (folder.path / "undo.json").write_text(f"before {SECRET} after")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.redact()
    assert (folder.path / "undo.json").read_text() == f"before {SECRET} after"
