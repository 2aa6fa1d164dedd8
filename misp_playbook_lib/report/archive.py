"""The archive: one folder a run, written beside and moved into place when whole."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.report.owned import LOCK, hold
from misp_playbook_lib.untrusted import redact_counted

DEFAULT_ARCHIVE = Path("reports")
INCOMPLETE = ".incomplete"
NOTEBOOK = "run.ipynb"
REPORT = "report.html"
SUMMARY = "summary.md"
MANIFEST = "run.json"
LONGEST_FILE_NAME = 255
"""Bytes (NAME_MAX in limits.h)."""
STATE_FILE = "state.json"
BEGUN = "begun.json"
RUN_TIMEOUT = "run_timeout"
_WORKING = (STATE_FILE, BEGUN, RUN_TIMEOUT)
"""What a run's folder holds only until it is archived."""
_DEAD = ".dead"
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_PATIENCE = 10.0
"""Seconds that a process has to end whose run is taken over: a kernel ends within two when its runner died."""


class RunFolder:
    """The folder of one run, first under `.incomplete`, then under its UTC date; locked while the run goes on.

    Args:
        archive: the archive's folder; made if it is not there.

    Raises:
        SettingsError: it cannot be written.

    """

    def __init__(self, archive: Path) -> None:
        self._place(archive, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
        try:
            private_folder(self.path.parent)
            self._owner = hold(self._lock)
            private_folder(self.path)
        except OSError as error:
            raise SettingsError(f"The archive {archive} cannot be written: {error.strerror}.") from None

    def _place(self, archive: Path, run_id: str) -> None:
        self.run_id = run_id
        self._final = archive.absolute() / f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}" / run_id
        self.path = archive.absolute() / INCOMPLETE / run_id
        self._lock = self.path.with_suffix(LOCK)

    @property
    def locks(self) -> tuple[int, ...]:
        """The descriptors that a child process is given which works in the folder too."""
        return (self._owner.descriptor,) if self._owner else ()

    @classmethod
    def taken_over(cls, archive: Path, run_id: str, *, given_up: bool = False) -> "RunFolder | None":
        """Take the folder that a run left whose processes died; None: there is none, or one of them is alive.

        It is moved away first: what is alive all the same can save no step there any more, and stops.

        Args:
            archive: the archive's folder.
            run_id: the run.
            given_up: whether to take it also from a process that does not end, as on a machine that is out of reach.

        """
        folder = cls.__new__(cls)
        folder._place(archive, run_id)  # noqa: SLF001 - it is our own
        taken = folder.path.with_suffix(_DEAD)
        if not folder.path.is_dir() and not taken.is_dir():
            return None
        folder._owner = hold(folder._lock, _PATIENCE if given_up else 0.0)  # noqa: SLF001 - it is our own
        if folder._owner is None and not given_up:  # noqa: SLF001 - it is our own
            return None
        with suppress(FileNotFoundError):
            folder.path.rename(taken)
        folder.path = taken
        if not taken.is_dir():
            folder.release()
            return None
        return folder

    def release(self) -> None:
        """Let others have the folder, if it was not moved into the archive."""
        if self.path.suffix == _DEAD and self.path.is_dir():
            self.path.rename(self.path.with_suffix(""))
        if self._owner:
            self._owner.release()
            self._owner = None

    def discard(self) -> None:
        """Remove the folder of a run that had not begun."""
        shutil.rmtree(self.path)
        self.release()

    def write(self, name: str, text: str) -> None:
        """Write a text file whole or not at all, readable by its owner alone."""
        write_whole(self.path / name, text.encode("utf-8", "replace"))

    def write_json(self, name: str, data: Any) -> None:
        """Write a JSON file whole or not at all, readable by its owner alone."""
        self.write(name, json.dumps(data, ensure_ascii=False, indent=2) + "\n")

    def redact(self) -> int:
        """Take every secret out of every file, and return how many places held one."""
        found = 0
        for path in self._files():
            text, count = redact_counted(path.read_bytes().decode("utf-8", "surrogateescape"))
            if count:
                write_whole(path, text.encode("utf-8", "surrogateescape"))
                found += count
        return found

    def finish(self) -> Path:
        """Close the files to others, move the folder into place, and return where it is."""
        for name in _WORKING:
            (self.path / name).unlink(missing_ok=True)
        for path in self._files():
            path.chmod(0o600)
        self._final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.rename(self._final)
        _sync(self._final.parent)
        self.release()
        return self._final

    def _files(self) -> list[Path]:
        return [path for path in sorted(self.path.rglob("*")) if path.is_file()]


def is_folder_name(text: str) -> bool:
    """Tell whether a text, such as a run's ID, can be the name of a folder and nothing else."""
    return text not in ("", ".", "..") and not {"/", "\0"} & set(text) and len(os.fsencode(text)) <= LONGEST_FILE_NAME


def left_behind(archive: Path) -> Iterator[RunFolder]:
    """Take over, one after another, the folders of runs whose processes died."""
    for path in sorted((archive.absolute() / INCOMPLETE).glob("*/")):
        if _RUN_ID.fullmatch(path.name.removesuffix(_DEAD)):
            folder = RunFolder.taken_over(archive, path.name.removesuffix(_DEAD))
            if folder is not None:
                yield folder


def run_timeout(folder: Path, default: float) -> float:
    """Return the seconds that a run may take, 0: no limit, as its kernel said; else what it was begun with."""
    try:
        return float((folder / RUN_TIMEOUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default


def require_space(folder: Path, needed: int) -> None:
    """See that a folder's file system has room for so many bytes.

    Raises:
        SettingsError: it has not.

    """
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise SettingsError(
            f"There is too little space in {folder}: {free:,} bytes are free and the run needs about {needed:,}. "
            "Nothing was written to MISP; make room and run again."
        )


def private_folder(path: Path) -> Path:
    """Make a folder and those above it that are not there, closed to others, and return it."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    return path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, for its owner alone; it is on the disk when this returns.

    Raises:
        OSError: it cannot be written; what was there before stays.

    """
    temporary = path.with_name(f".{path.name}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Write a folder's own entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where this user's runs keep what they share on this machine (XDG Base Directory Specification)."""
    return _own_folder(environ, "XDG_STATE_HOME", Path(".local/state"))


def unarchived_folder(run_id: str) -> Path:
    """Return where the record of a run is kept, with what undoes it, that could not be put into the archive."""
    return state_folder() / "unarchived" / run_id


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where belongs what can be had again (XDG Base Directory Specification)."""
    return _own_folder(environ, "XDG_CACHE_HOME", Path(".cache"))


def _own_folder(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    named = Path(environ.get(variable, ""))
    return (named if named.is_absolute() else Path.home() / default) / "misp-playbook"
