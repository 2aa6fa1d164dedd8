"""What is expected of a cell, as expectations.md says it, and what must hold in every cell whatever was wrong."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from stage import BEFORE, NAME, NEW, Seen

TABLES = Path(__file__).parent / "expectations.md"
ANY = "-"
EXIT_CODES = {"success": 0, "crashed": 1, "failed": 3, "partial": 4}
WRITES = {"POST /warninglists/add", "POST /warninglists/edit/*"}
FATES = {"not written": False, "written and seen": True}
"""Words for what became of a write, and whether the list then holds what was wanted."""


@dataclass(frozen=True)
class Expected:
    """A row of a table of expectations, by column."""

    columns: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.columns[column]


@cache
def table(heading: str) -> tuple[Expected, ...]:
    """Read the table below a heading of expectations.md."""
    section = TABLES.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return tuple(Expected(dict(zip(rows[0], row, strict=True))) for row in rows[2:])


def place(run: str, call: str) -> str:
    """Say where in a run a call is made.

    Raises:
        LookupError: expectations.md does not know it.

    """
    for row in table("Calls"):
        if row["run"] in (ANY, run) and any(fnmatchcase(call, one) for one in listed(row["calls"])):
            return row["place"]
    raise LookupError(f"expectations.md does not say where in the run {run} the call is made: {call}")


def expected(run: str, call: str, fault: str, times: str) -> Expected:
    """Return what is expected of a cell: the first row that fits.

    Raises:
        LookupError: none does.

    """
    where = place(run, call)
    for row in table("Calls and faults"):
        if where in listed(row["place"]) and fault in faults(row["faults"]) and row["times"] in (ANY, times):
            return row
    raise LookupError(f"expectations.md expects nothing of {where}: {fault}, {times}")


@cache
def faults(text: str) -> frozenset[str]:
    """Return the faults that a cell names, by themselves or by groups."""
    groups = {row["group"]: row["faults"] for row in table("Faults")}
    return frozenset(one for name in listed(text) for one in (faults(groups[name]) if name in groups else (name,)))


def listed(text: str) -> list[str]:
    """Return what a cell lists."""
    return [one.strip().strip("`") for one in text.split(",")]


def wrong(row: Expected, seen: Seen) -> list[str]:
    """Say what is otherwise than a row expects."""
    found = []
    outcomes = [one["outcome"] for one in seen.manifests]
    if [EXIT_CODES.get(outcome) for outcome in outcomes] != [seen.exit_code] or outcomes != [row["outcome"]]:
        found.append(f"ended as {', '.join(outcomes) or 'nothing'} with {seen.exit_code}, not as {row['outcome']}")
    if row["list"] not in (ANY, held(seen)):
        found.append(f"the list is {held(seen)}, not {row['list']}")
    said = " ".join(seen.said.split()).lower()
    words = [] if row["says"] == ANY else row["says"].split(" & ")
    found += [f"nobody says {one!r}" for one in words if one.lower() not in said]
    asked = "yes" if seen.struck and repeated(seen) else "no"
    if seen.struck and row["repeated"] not in (ANY, asked):
        found.append(f"repeated: {asked}, not {row['repeated']}")
    told = "yes" if seen.inbox["mattermost"] else "no"
    if row["told"] not in (ANY, told):
        found.append(f"Mattermost was told: {told}, not {row['told']}")
    return found


def wrong_later(row: Expected, before: Seen, after: Seen) -> list[str]:
    """Say what `notify` did otherwise than a row expects."""
    sent = sum(map(len, after.inbox.values())) > sum(map(len, before.inbox.values()))
    if sent is not (row["later"] == "sent"):
        return [f"notify sent {'something' if sent else 'nothing'}"]
    asked = "--resend" in (after.folder / "notify.out").read_text()
    return ["notify does not name --resend"] if row["later"] == "asked" and not asked else []


def wrong_kill(run: str, call: str, victim: str, number: str, seen: Seen) -> list[str]:
    """Say what is otherwise than the table of kills expects, and what was left behind.

    Raises:
        LookupError: it expects nothing of such a kill.

    """
    where = place(run, call)
    fits = (
        row
        for row in table("Kills")
        if victim in listed(row["victim"]) and number in listed(row["signal"]) and row["place"] in (ANY, where)
    )
    row = next(fits, None)
    if row is None:
        raise LookupError(f"expectations.md expects nothing of {number} to the {victim}: {where}")
    outcomes = ", ".join(one["outcome"] for one in seen.manifests) or "nothing"
    found = []
    if outcomes not in listed(row["outcome"]) or str(seen.exit_code) not in listed(row["exit"]):
        found.append(f"ended as {outcomes} with {seen.exit_code}, not as {row['outcome']} with {row['exit']}")
    said = seen.said.lower()
    found += [f"nobody says {one!r}" for one in row["says"].split(" & ") if one != ANY and one.lower() not in said]
    left = [path.name for path in (seen.folder / "reports" / ".incomplete").glob("*") if path.is_dir()]
    found += [f"left behind: {name}" for name in left]
    if WRITES & {call.name for call in seen.calls} and not list(seen.folder.glob("reports/*/*/undo.json")):
        found.append("nothing is there that undoes what was sent")
    return found


def held(seen: Seen) -> str:
    """Say how the list is: before, wanted, written (as wanted, not enabled) or another."""
    before, wanted = whole(seen)
    if seen.entries == wanted:
        return "wanted" if seen.enabled else "written"
    return "before" if seen.entries == before and not seen.enabled else "another"


def whole(seen: Seen) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the list's entries as they were before a run, and as they are wanted."""
    before = BEFORE if seen.scenario == "append" else None
    return before, (*(before or ()), *NEW)


def repeated(seen: Seen) -> bool:
    """Tell whether a call that went wrong was made again, as the next one to its service; of modules, at any time."""
    first = seen.struck[0]
    later = [call for call in seen.calls[seen.calls.index(first) + 1 :] if call.service == first.service]
    if first.service != "misp-modules":
        later = later[:1]
    return any((call.name, call.body) == (first.name, first.body) for call in later)


def always_wrong(seen: Seen) -> list[str]:
    """Say what is wrong in any case: what no fault excuses."""
    found = []
    if seen.exit_code is None:
        found.append(f"outlasted its deadline ({seen.seconds:.0f} s)")
    if seen.exit_code is not None and len(seen.manifests) != 1:
        found.append(f"{len(seen.manifests)} runs are archived")
    if held(seen) == "another":
        found.append(f"the list holds neither what it held before nor what was wanted: {seen.entries}")
    posts = [json.dumps(post, sort_keys=True) for name in ("mattermost", "slack") for post in seen.inbox[name]]
    posts += [str(alert.get("sourceRef")) for alert in seen.inbox["thehive"]]
    found += [f"a message arrived {count} times" for count in Counter(posts).values() if count > 1]
    if seen.strangers:
        found.append("another host was asked")
    return [*found, *false(seen), *shown_wrongly(seen)]


def shown_wrongly(seen: Seen) -> list[str]:
    """Say where a traceback is, and where a secret."""
    shown = {name: text for name, text in seen.files.items() if name.endswith((".html", ".md", "output"))}
    found = [f"a traceback in {name}" for name, text in shown.items() if "Traceback (most recent" in text]
    for name, text in {**seen.files, "the inbox": json.dumps(seen.inbox)}.items():
        found += [f"a secret in {name}" for secret in seen.secrets if secret in text]
    return found


def false(seen: Seen) -> list[str]:
    """Say what a run says of its write that is not so, or that it says nothing of it."""
    wanted = held(seen) in ("wanted", "written")
    found = []
    for one in seen.manifests:
        message = " ".join((one["message"], *one["problems"]))
        said = [words for words in FATES if re.search(rf"{NAME}[^:]*: {words}", message)]
        found += [f"it says {words!r}, which is not so" for words in said if FATES[words] is not wanted]
        sent = bool(WRITES & {call.name for call in seen.calls})
        broken = one["outcome"] in ("failed", "crashed", "interrupted")
        if sent and broken and not said and "sent, not seen" not in message:
            found.append("it does not say what became of the write")
        if one["exit_code"] == 0 and held(seen) != "wanted":
            found.append(f"success, and the list is {held(seen)}")
    return found
