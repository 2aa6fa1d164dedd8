"""What a run keeps of a list so that it can be undone: written before MISP is asked, whole or not at all, on disk.

| file in the run folder | holds |
| --- | --- |
| warninglist-before.json | the list before the run, null where there was none |
| warninglist-wanted.json | the list as a request under way would make it; gone once that was read back |
| warninglist-after.json | the list as the run left it |
| undo.json | server, name, ID and counts; written last, so that where it is the others are |
| plan.diff | the whole plan, where it is long |
"""

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.model.changes import same_entries
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.warninglist import (
    Warninglist,
    WarninglistCategory,
    WarninglistEntry,
    WarninglistType,
)
from misp_playbook_lib.report.archive import (
    INCOMPLETE,
    is_folder_name,
    private_folder,
    require_space,
    state_folder,
    write_whole,
)
from misp_playbook_lib.untrusted import redact, visible

BEFORE = "warninglist-before.json"
WANTED = "warninglist-wanted.json"
AFTER = "warninglist-after.json"
HEADER = "undo.json"
DIFF = "plan.diff"
NOT_WRITTEN = "not_written"
"""Where the header says that MISP did not carry out what was sent."""
KEPT_DAYS = 90
"""How long what undoes an interactive run is kept at least; runs of the archive keep theirs as long as they are."""
SPACE = 16 << 20
"""Bytes that report, notebook and tables of a run may take beside the list itself."""
COPIES = 6
"""How often the entries are written to the run folder: to undo the run, as tables, and in its report."""
_ROW = 40
LONG = 200
"""Lines of a diff from which on a plan is kept in full beside the first of them that are shown."""


class UndoRecord:
    """Keeps what undoes one run's writes, in its folder, which is made when there is something to keep."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self._server = server
        self._wanted: Warninglist | None = None
        self._unclear = self._unclear_before = self._seen = False

    @property
    def before(self) -> Path:
        """Where the list is kept as it was before the run."""
        return self.folder / BEFORE

    @property
    def kept(self) -> bool:
        """Whether the run sent anything that can be undone."""
        return (self.folder / HEADER).exists()

    @property
    def touched(self) -> bool:
        """Whether MISP holds, or may hold, something that was sent since `begin`, or what was not seen before it."""
        return self._unclear or self._seen

    def begin(self) -> None:
        """Begin another write: what was read back before it is not its own."""
        self._seen = False

    def require_space(self, plan: WarninglistPlan) -> None:
        """See that there is room for what undoes a plan, and for what the run leaves after it.

        Raises:
            SettingsError: there is not.

        """
        lists = (*plan.entries, *(plan.current.entries if plan.current else ()))
        size = sum(len(entry.value) + len(entry.comment) + _ROW for entry in lists)
        require_space(self.folder, SPACE + COPIES * size)

    def planned(self, plan: WarninglistPlan) -> bool:
        """Keep a long plan in full; say whether it is one."""
        long = len(plan.diff) > LONG
        if long:
            self._write(DIFF, "".join(f"{visible(line)}\n" for line in plan.diff))
        return long

    def sending(self, before: Warninglist | None, wanted: Warninglist | None) -> None:
        """Keep the list as it is and as a request would make it, just before that is sent.

        What an earlier request of the run, read back, found before it stays: that is what the run is undone to.
        """
        first = not (self.folder / AFTER).exists()
        if first:
            self._write_list(BEFORE, before)
        self._write_list(WANTED, wanted)
        self._wanted = wanted
        known = before or wanted
        header = {
            "run_id": self.folder.name,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "server": self._server,
            "name": known.name if known else "",
            "id": known.id if known else 0,
            "entries_before": len(before.entries) if before else None,
            "entries_after": len(wanted.entries) if wanted else None,
            "enabled": wanted.enabled if wanted else None,
            "read_back": False,
        }
        if not first:
            header["entries_before"] = read(self.folder / HEADER)["entries_before"]
        self._write(HEADER, json.dumps(header, ensure_ascii=False, indent=1))
        self._unclear_before, self._unclear = self._unclear, True
        if self.folder.parent == _interactive():
            _drop_outdated()

    def not_written(self) -> None:
        """Note that the last request was not carried out; an earlier one that may have been stays unclear."""
        self._unclear = self._unclear_before
        if self._unclear:
            return
        if (self.folder / AFTER).exists():
            self._keep(_from_json(read(self.folder / AFTER)))
        else:
            self._write(HEADER, json.dumps(read(self.folder / HEADER) | {NOT_WRITTEN: True}, ensure_ascii=False))

    def written(self, after: Warninglist | None) -> None:
        """Keep the list as it was read back."""
        self._keep(after)
        self._unclear, self._seen = False, True

    def found(self, current: Warninglist) -> None:
        """Keep the list that was read if it is as an earlier request, which was not seen, would have made it."""
        if self._unclear and self._wanted is not None and _same(current, self._wanted):
            self.written(current)

    def _keep(self, after: Warninglist | None) -> None:
        as_wanted = after is not None and self._wanted is not None and _same(after, self._wanted)
        if as_wanted:
            (self.folder / WANTED).replace(self.folder / AFTER)
        else:
            self._write_list(AFTER, after)
        header = read(self.folder / HEADER) | {
            "entries_after": len(after.entries) if after else None,
            "enabled": after.enabled if after else None,
            "read_back": True,
        }
        if after:
            header["id"] = after.id
        self._write(HEADER, json.dumps(header, ensure_ascii=False, indent=1))
        (self.folder / WANTED).unlink(missing_ok=True)

    def _write_list(self, name: str, one: Warninglist | None) -> None:
        self._write(name, json.dumps(_as_json(one), ensure_ascii=False))

    def _write(self, name: str, text: str) -> None:
        private_folder(self.folder)
        write_whole(self.folder / name, redact(text))


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run left for its undoing; `left` is what the list may be if nobody else changed it since."""

    run_id: str
    folder: Path
    server: str
    name: str
    list_id: int
    before: Warninglist | None
    left: tuple[Warninglist | None, ...]

    @property
    def last(self) -> Warninglist | None:
        """The list as the run left it, or meant to."""
        return self.left[-1]


@dataclass(frozen=True, slots=True)
class Undoable:
    """A run that can be undone, at a glance; counts are None where there was, or is, no list."""

    run_id: str
    time: str
    server: str
    name: str
    list_id: int
    entries_before: int | None
    entries_after: int | None
    state: str


def load(folder: Path) -> Kept:
    """Read what a run kept.

    Raises:
        ParameterError: it wrote nothing to MISP, or what it kept cannot be read.

    """
    try:
        header = read(folder / HEADER)
        before = _from_json(read(folder / BEFORE))
        left = [_from_json(read(folder / name)) for name in (AFTER, WANTED) if (folder / name).exists()]
        return Kept(
            run_id=folder.name,
            folder=folder,
            server=header["server"],
            name=header["name"],
            list_id=header["id"],
            before=before,
            left=(before, *left),
        )
    except FileNotFoundError:
        raise ParameterError([f"The run {folder.name} changed no list: there is nothing to restore."]) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError([f"What the run {folder.name} kept cannot be read ({error}): {folder}"]) from None


def find(archive: Path, run_id: str) -> Path:
    """Return a run's folder: in the archive, under its incomplete runs, or among the interactive ones.

    Raises:
        ParameterError: there is none.

    """
    if is_folder_name(run_id):
        for parent in (archive, state_folder()):
            for path in parent.glob("*/"):
                if (path / run_id).is_dir():
                    return path / run_id
    raise ParameterError([f"There is no run {run_id} in {archive}: misp-playbook runs lists what can be restored."])


def undoable(archive: Path) -> tuple[Undoable, ...]:
    """Return the runs that can be undone, the latest first; one whose record cannot be read says so as its state."""
    headers = (header for parent in (archive, state_folder()) for header in parent.glob(f"*/*/{HEADER}"))
    return tuple(sorted(map(_undoable, headers), key=lambda one: one.time, reverse=True))


def mark_restored(folder: Path, by: str) -> None:
    """Note in a run's folder that it was undone, and by what."""
    header = read(folder / HEADER) | {"restored": by}
    write_whole(folder / HEADER, json.dumps(header, ensure_ascii=False, indent=1))


def interactive_folder(run_id: str) -> Path:
    """Return where a run without an archive keeps what undoes it, for `KEPT_DAYS` or as its list's last."""
    return _interactive() / run_id


def _interactive() -> Path:
    return state_folder() / "runs"


def _drop_outdated() -> None:
    """Remove what interactive runs kept whose time is over, but for each list's last; one that will not go stays."""
    kept = [(one, path) for path in _interactive().glob(f"*/{HEADER}") if (one := _undoable(path)).time]
    oldest = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat(timespec="seconds")
    lists: set[tuple[str, str]] = set()
    for one, path in sorted(kept, key=lambda found: found[0].time, reverse=True):
        if (one.server, one.name) in lists and one.time < oldest:
            with suppress(OSError):
                path.unlink()
                shutil.rmtree(path.parent)
        lists.add((one.server, one.name))


def _same(one: Warninglist, other: Warninglist) -> bool:
    """Compare all but the ID, which a list about to be created has not yet and the header keeps."""
    head, other_head = replace(one, id=0, entries=()), replace(other, id=0, entries=())
    return head == other_head and same_entries(one.entries, other.entries)


def _undoable(path: Path) -> Undoable:
    try:
        header = read(path)
        finished = header["read_back"] and path.parent.parent.name != INCOMPLETE
        state = "finished" if finished else "not written" if header.get(NOT_WRITTEN) else "not finished"
        return Undoable(
            run_id=path.parent.name,
            time=header["time"],
            server=header["server"],
            name=header["name"],
            list_id=header["id"],
            entries_before=header["entries_before"],
            entries_after=header["entries_after"],
            state=f"restored by {header['restored']}" if "restored" in header else state,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = f"cannot be read ({error}): repair or remove {path}"
        return Undoable(path.parent.name, "", "", "", 0, None, None, words)


def read(path: Path) -> Any:
    """Return the JSON of a file of a record.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.

    """
    return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))


def _as_json(one: Warninglist | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "type": one.type.value,
        "category": one.category.value,
        "matching_attributes": one.matching_attributes,
        "version": one.version,
        "enabled": one.enabled,
        "default": one.default,
        "entries": [{"value": entry.value, "comment": entry.comment} for entry in one.entries],
    }


def _from_json(data: dict[str, Any] | None) -> Warninglist | None:
    if data is None:
        return None
    entries = tuple(WarninglistEntry(entry["value"], entry["comment"]) for entry in data["entries"])
    return Warninglist(
        **{
            **data,
            "type": WarninglistType(data["type"]),
            "category": WarninglistCategory(data["category"]),
            "matching_attributes": tuple(data["matching_attributes"]),
            "entries": entries,
        }
    )
