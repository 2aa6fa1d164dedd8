"""The archived runs: which there are, how two of them differ, and which may go; nothing is written here."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.report.archive import MANIFEST
from misp_playbook_lib.report.exports import MATCHES, WARNINGLIST

SCHEMA = 1
"""The version of run.json: it rises when a field goes or changes its meaning."""

_KEEP = re.compile(r"([1-9][0-9]{0,4})(d?)")
_DRY = "not written (dry run)"


@dataclass(frozen=True, slots=True)
class Run:
    """An archived run at a glance, from its run.json; figures are None where the run did not come so far."""

    folder: Path
    run_id: str
    outcome: str
    message: str
    started: str
    sandbox: bool
    server: str
    warninglist: str
    list_outcome: str
    entries: int | None
    matches: int | None
    new_indicators: int | None
    problems: int
    since: Mapping[str, Any] | None

    @property
    def key(self) -> tuple[str, str]:
        """Which list it worked on: server and name; all sandboxes are one server."""
        return ("SANDBOX" if self.sandbox else self.server, self.warninglist)

    @property
    def wrote(self) -> bool:
        """Whether the list was as wanted in MISP at the end."""
        return self.outcome in ("success", "partial") and self.list_outcome not in ("", _DRY)

    @property
    def comparable(self) -> bool:
        """Whether it left a list and matches that another run can be compared with."""
        return self.list_outcome not in ("", _DRY) and self.matches is not None


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of an archive, the latest first, and the manifests that could not be read."""

    runs: tuple[Run, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def by_list(self) -> dict[tuple[str, str], list[Run]]:
        """The runs of each list, the latest first."""
        lists: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
        for run in self.runs:
            lists[run.key].append(run)
        return lists

    def before(self, run: Run) -> Run | None:
        """Return the last comparable run of the same list, for a run that is not among them yet."""
        return next((one for one in self.by_list.get(run.key, []) if one.comparable), None)


@dataclass(frozen=True, slots=True)
class Difference:
    """How a run differs from an earlier one; a match is its entry, type, value, event and the event's title."""

    entries_added: tuple[str, ...]
    entries_removed: tuple[str, ...]
    matches_new: tuple[tuple[str, ...], ...]
    matches_gone: tuple[tuple[str, ...], ...]


def read(archive: Path, known: Runs | None = None) -> Runs:
    """Read the manifests of all runs that are in place, but for those that are `known` already."""
    runs, unreadable = [], []
    read_before = {run.folder: run for run in known.runs} if known else {}
    for path in sorted(archive.glob(f"[0-9]*/*/{MANIFEST}"), key=lambda path: path.parent.name, reverse=True):
        if path.parent in read_before:
            runs.append(read_before[path.parent])
            continue
        try:
            runs.append(summed_up(path.parent, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            unreadable.append(f"{path.relative_to(archive)}: {type(error).__name__} {error}")
    return Runs(tuple(runs), tuple(unreadable))


def summed_up(folder: Path, manifest: Mapping[str, Any]) -> Run:
    """Take what a glance needs from a manifest.

    Raises:
        ValueError: it is of another version.
        KeyError: a field is missing.

    """
    if manifest["schema"] != SCHEMA:
        raise ValueError(f"schema {manifest['schema']} is not {SCHEMA}")
    facts = manifest["facts"]
    lookups = facts.get("lookups")
    return Run(
        folder=folder,
        run_id=manifest["run_id"],
        outcome=manifest["outcome"],
        message=manifest["message"],
        started=manifest["started"],
        sandbox=manifest["sandbox"],
        server=facts.get("server", {}).get("url", ""),
        warninglist=manifest["warninglist"],
        list_outcome=facts.get("warninglist", {}).get("outcome", ""),
        entries=facts.get("warninglist", {}).get("entries"),
        matches=facts.get("matches", {}).get("attributes"),
        new_indicators=sum(one["new_indicators"] for one in lookups.values()) if lookups else None,
        problems=len(manifest["problems"]),
        since=manifest["since"],
    )


def difference(before: Path, after: Path) -> Difference:
    """Compare what two runs left in their folders.

    Raises:
        ParameterError: one of them did not come so far.

    """
    old_entries, new_entries = (_entries(folder) for folder in (before, after))
    old_matches, new_matches = (_matches(folder) for folder in (before, after))
    return Difference(
        entries_added=tuple(one for one in new_entries if one not in old_entries),
        entries_removed=tuple(one for one in old_entries if one not in new_entries),
        matches_new=tuple(row for key, row in new_matches.items() if key not in old_matches),
        matches_gone=tuple(row for key, row in old_matches.items() if key not in new_matches),
    )


def outdated(found: Runs, keep: str, now: datetime) -> tuple[Run, ...]:
    """Return the runs that may go; the last good run of a list stays, however old.

    Args:
        found: all runs.
        keep: `20` keeps the 20 latest runs of each list, `90d` the runs of the last 90 days.
        now: the time from which days are counted.

    Raises:
        ParameterError: `keep` is neither.

    """
    wanted = _KEEP.fullmatch(keep.strip().lower())
    if wanted is None:
        raise ParameterError([f"--keep {keep} is neither a number of runs (20) nor of days (90d)"])
    number = int(wanted[1])
    going = []
    for runs in found.by_list.values():
        last = last_good(runs)
        for place, run in enumerate(runs):
            young = now - datetime.fromisoformat(run.started) <= timedelta(days=number)
            if not (young if wanted[2] else place < number) and run is not last:
                going.append(run)
    return tuple(going)


def last_good(runs: Sequence[Run]) -> Run | None:
    """Return the last run that did everything, else the last that wrote the list, of runs with the latest first."""
    good = [run for run in runs if run.wrote]
    return next((run for run in good if run.outcome == "success"), good[0] if good else None)


def _entries(folder: Path) -> dict[str, None]:
    data = json.loads(_text(folder, WARNINGLIST))
    return dict.fromkeys(data["list"])


def _matches(folder: Path) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return each match by what makes it the same in two runs: entry, type and value in an event of the server."""
    rows: Iterable[dict[str, str]] = csv.DictReader(io.StringIO(_text(folder, MATCHES), newline=""))
    return {
        (row["entry"], row["type"], row["value"], row["event_id"]): (
            *(row["entry"], row["type"], row["value"], row["event_id"], row["event_info"]),
        )
        for row in rows
    }


def _text(folder: Path, name: str) -> str:
    try:
        with (folder / name).open(encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise ParameterError([f"The run {folder.name} cannot be compared: {name}: {error.strerror}."]) from None
