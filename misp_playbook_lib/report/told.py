"""Archived runs as a terminal shows them: all of them, one of them, and how two differ."""

from collections.abc import Iterable
from pathlib import Path

from misp_playbook_lib.report import history, index, runs, undo
from misp_playbook_lib.report.page import page
from misp_playbook_lib.report.tables import Own, Table, as_text, plain_text, table

_FIRST = 100
"""Rows of a difference that a terminal shows; the files in the two folders have all."""


def all_runs(archive: Path) -> str:
    """Show every run of the archive, the latest first, and which can be restored, those without a report too."""
    found = runs.read(archive)
    undoing = {one.run_id: one for one in undo.undoable(archive)}
    rows = []
    for run in found.runs:
        left = undoing.pop(run.run_id, None)
        state = "" if left is None else "can be restored" if left.state == "finished" else left.state
        rows.append((Own(run.run_id), run.warninglist, *index.row(run)[:5], state))
    columns = ("Run", "List", "Outcome", "Entries", "Matches", "New indicators", "Since the run before", "Undo")
    blocks = [as_text(table(f"{len(rows):,} archived runs in {archive}", columns, rows))]
    if undoing:
        blocks.append(as_text(_restorable(undoing.values())))
    blocks += [f"! {plain_text(problem)} (not listed)" for problem in found.unreadable]
    return "\n\n".join(blocks)


def one_run(folder: Path) -> str:
    """Show what came of a run, and its files."""
    manifest = history.read_manifest(folder)
    about = page(manifest)
    lines = [f"{about.outcome}: {plain_text(about.message)}"]
    lines += [f"! {plain_text(problem)}" for problem in (*about.warnings, *about.problems)]
    facts = [*about.who, *((name, f"{value} {remark}") for name, value, remark in about.figures)]
    steps = [
        f"{step['step']:<16} {step['status']:<11} {plain_text(step['summary'])}".rstrip() for step in manifest["steps"]
    ]
    files = [(Own(path), f"{path.stat().st_size:,}") for path in sorted(folder.iterdir())]
    return "\n\n".join(
        [
            "\n".join(lines),
            as_text(table(manifest["warninglist"], ("What", "Value"), facts)),
            "\n".join(steps),
            as_text(table("Files", ("File", "Bytes"), files)),
        ]
    )


def two_runs(before: Path, after: Path) -> str:
    """Show how a run's list and matches differ from an earlier run's.

    Raises:
        ParameterError: one of them did not come so far.

    """
    found = runs.difference(before, after)
    entries = [("+", one) for one in found.entries_added] + [("-", one) for one in found.entries_removed]
    matches = [("+", *row) for row in found.matches_new] + [("-", *row) for row in found.matches_gone]
    columns = ("", "Entry", "Type", "Attribute", "Event", "Event info")
    entries_line = f"Entries: {len(found.entries_added):,} added, {len(found.entries_removed):,} removed."
    lines = [f"{entries_line} Matches: {len(found.matches_new):,} new, {len(found.matches_gone):,} gone."]
    lines += [
        f"! The search of {folder.name} is incomplete: what is new or gone may only not have been searched."
        for folder in (before, after)
        if not history.read_manifest(folder)["facts"].get("search", {}).get("complete", True)
    ]
    blocks = [
        *([table("Entries", ("", "Entry"), entries, _FIRST)] if entries else []),
        *([table("Matches", columns, matches, _FIRST)] if matches else []),
    ]
    return "\n\n".join(["\n".join(lines), *map(as_text, blocks)])


def _restorable(runs: Iterable[undo.Undoable]) -> Table:
    rows = [
        (
            run.run_id,
            run.time,
            f"{run.name} (ID {run.list_id or 'unknown'})",
            f"{_count(run.entries_before)} → {_count(run.entries_after)}",
            run.state,
            run.server,
        )
        for run in runs
    ]
    columns = ("Run", "Time", "List", "Entries", "State", "Server")
    return table("Runs that can be restored", columns, rows)


def _count(entries: int | None) -> str:
    return "no list" if entries is None else f"{entries:,}"
