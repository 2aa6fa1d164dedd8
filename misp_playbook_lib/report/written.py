"""What became of what a run sent to MISP, as the record of its undoing tells: one of three words, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import PlaybookError
from misp_playbook_lib.report import undo
from misp_playbook_lib.report.undo import UndoRecord


class Fate(StrEnum):
    """What became of a write."""

    NOT_WRITTEN = "not written"
    NOT_SEEN = "sent, not seen"
    SEEN = "written and seen"


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a write; `words` say it and what to do, `url` is the list's page in MISP if its ID is known."""

    fate: Fate
    words: str
    url: str = ""

    @property
    def line(self) -> str:
        """The words, and where to look."""
        return f"{self.words} {self.url}" if self.url and self.fate is Fate.NOT_SEEN else self.words


def what_became(folder: Path, name: str) -> Became:
    """Say what became of what the run of this folder sent; `name` is the list's, in case nothing was sent.

    A record that cannot be read is one of a run that sent something.
    """
    path = folder / undo.HEADER
    if not path.exists():
        return _not_written(name)
    try:
        header: dict[str, Any] = dict(undo.read(path))
        name, list_id, server, seen = header["name"], header["id"], header["server"], header["read_back"]
        entries, enabled = header["entries_after"], header.get("enabled")
        switched = "" if enabled is None else ", enabled" if enabled else ", not enabled"
        wanted = "deleted" if entries is None else f"{entries:,} entries{switched}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = f"The list {name}: {Fate.NOT_SEEN}. {path} cannot be read ({error}): look at the list in MISP."
        return Became(Fate.NOT_SEEN, words)
    if header.get(undo.NOT_WRITTEN):
        return _not_written(name)
    named = f"The list {name} (ID {list_id})" if list_id else f"The list {name}"
    url = f"{server}/warninglists/view/{list_id}" if list_id else ""
    if seen:
        return Became(Fate.SEEN, f"{named}: {Fate.SEEN} ({wanted}).", url)
    earlier = " What the run sent before was read back." if (folder / undo.AFTER).exists() else ""
    look = f"Look in MISP whether it is as wanted ({wanted}), or run again: nothing is written twice."
    return Became(Fate.NOT_SEEN, f"{named}: {Fate.NOT_SEEN}.{earlier} {look}", url)


@contextmanager
def telling(record: UndoRecord, name: str) -> Iterator[None]:
    """Let every error of a write say what became of it.

    Raises:
        PlaybookError: as raised inside, with more words.

    """
    try:
        yield
    except PlaybookError as error:
        became = what_became(record.folder, name) if record.touched else _not_written(name)
        error.more(became.line)
        raise


def _not_written(name: str) -> Became:
    return Became(Fate.NOT_WRITTEN, f"The list {name}: {Fate.NOT_WRITTEN}.")
