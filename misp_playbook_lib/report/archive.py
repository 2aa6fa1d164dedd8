"""The archive: one folder a run, written beside and moved into place when whole."""

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.untrusted import redact_counted

DEFAULT_ARCHIVE = Path("reports")
INCOMPLETE = ".incomplete"
NOTEBOOK = "run.ipynb"
REPORT = "report.html"
SUMMARY = "summary.md"
MANIFEST = "run.json"
LONGEST_FILE_NAME = 255
"""Bytes (NAME_MAX in limits.h)."""


class RunFolder:
    """The folder of one run, first under `.incomplete`, then under its UTC date.

    Args:
        archive: the archive's folder; made if it is not there.

    Raises:
        SettingsError: it cannot be written.

    """

    def __init__(self, archive: Path) -> None:
        moment = datetime.now(UTC)
        self.run_id = f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._final = archive.absolute() / f"{moment:%Y-%m-%d}" / self.run_id
        self.path = archive.absolute() / INCOMPLETE / self.run_id
        try:
            private_folder(self.path)
        except OSError as error:
            raise SettingsError(f"The archive {archive} cannot be written: {error.strerror}.") from None

    @classmethod
    def taken_over(cls, archive: Path, run_id: str) -> "RunFolder | None":
        """Take the folder that a run left whose process died, None if there is none.

        It is moved away first: what may still live of that run can save no step there any more, and stops.
        """
        folder = cls.__new__(cls)
        folder.run_id = run_id
        folder._final = archive.absolute() / f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}" / run_id  # noqa: SLF001 - it is our own
        folder.path = archive.absolute() / INCOMPLETE / f"{run_id}.dead"
        with suppress(FileNotFoundError):
            folder.path.with_suffix("").rename(folder.path)
        return folder if folder.path.is_dir() else None

    def write(self, name: str, text: str) -> None:
        """Write a text file, readable by its owner alone."""
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    def write_json(self, name: str, data: Any) -> None:
        """Write a JSON file, readable by its owner alone."""
        self.write(name, json.dumps(data, ensure_ascii=False, indent=2) + "\n")

    def redact(self) -> int:
        """Take every secret out of every file, and return how many places held one."""
        found = 0
        for path in self._files():
            text, count = redact_counted(path.read_bytes().decode("utf-8", "surrogateescape"))
            if count:
                path.write_bytes(text.encode("utf-8", "surrogateescape"))
                found += count
        return found

    def finish(self) -> Path:
        """Close the files to others, move the folder into place, and return where it is."""
        for path in self._files():
            path.chmod(0o600)
        self._final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.rename(self._final)
        return self._final

    def _files(self) -> list[Path]:
        return [path for path in sorted(self.path.rglob("*")) if path.is_file()]


def is_folder_name(text: str) -> bool:
    """Tell whether a text, such as a run's ID, can be the name of a folder and nothing else."""
    return text not in ("", ".", "..") and not {"/", "\0"} & set(text) and len(os.fsencode(text)) <= LONGEST_FILE_NAME


def private_folder(path: Path) -> Path:
    """Make a folder and those above it that are not there, closed to others, and return it."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    return path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, for its owner alone; what it holds is on the disk before it is there."""
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where this user's runs keep what they share on this machine (XDG Base Directory Specification)."""
    return _own_folder(environ, "XDG_STATE_HOME", Path(".local/state"))


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where belongs what can be had again (XDG Base Directory Specification)."""
    return _own_folder(environ, "XDG_CACHE_HOME", Path(".cache"))


def _own_folder(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    named = Path(environ.get(variable, ""))
    return (named if named.is_absolute() else Path.home() / default) / "misp-playbook"
