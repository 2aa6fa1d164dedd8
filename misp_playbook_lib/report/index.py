"""The archive's index page: every run and batch, each list's history, and what changed from run to run."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from misp_playbook_lib.report.archive import MANIFEST, REPORT, write_whole
from misp_playbook_lib.report.batches import Batches, BatchLine
from misp_playbook_lib.report.runs import Run, Runs
from misp_playbook_lib.report.tables import Own, Table, as_html, html_text, plain_text, table

INDEX = "index.html"

_TEMPLATE = Path(__file__).parent / "template"
_SIGNS = {
    "success": "✓ success",
    "partial": "! partial",
    **{outcome: f"✗ {outcome}" for outcome in ("failed", "crashed", "interrupted")},
}
_COLUMNS = ("Run", "Outcome", "Entries", "Matches", "New indicators", "Since the run before", "What it says")


def write(archive: Path, found: Runs, batches: Batches) -> None:
    """Write the page whole or not at all, readable by its owner alone."""
    write_whole(archive / INDEX, render(archive, found, batches))


def render(archive: Path, found: Runs, batches: Batches) -> str:
    """Render the page; its links are relative, so that the archive can be copied or served as it is."""
    environment = Environment(loader=FileSystemLoader(_TEMPLATE), autoescape=True)
    environment.filters |= {"line": lambda text: html_text(plain_text(text)), "table": as_html}
    histories = [
        (f"{name} on {server or 'no server'}", _history(archive, name, runs))
        for (server, name), runs in found.by_list.items()
    ]
    return environment.get_template("runs.html.j2").render(
        style=(_TEMPLATE / "style.css").read_text(encoding="utf-8"),
        runs=found.runs,
        unreadable=(*found.unreadable, *batches.unreadable),
        all=_all(archive, found.runs),
        batches=_batches(archive, batches.batches),
        histories=histories,
    )


def since_line(run: Run) -> str:
    """Say what changed since the list's run before, empty where there is none."""
    since = run.since
    if not since:
        return ""
    words = [
        f"{since[field]:,} {what}"
        for field, what in (
            ("entries_added", "entries added"),
            ("entries_removed", "entries removed"),
            ("matches_new", "matches new"),
            ("matches_gone", "matches gone"),
        )
        if since[field]
    ]
    return ", ".join(words) or "nothing changed"


def row(run: Run) -> tuple[str, ...]:
    """Return a run's cells, but for its ID and list."""
    counts = (run.entries, run.matches, run.new_indicators)
    return (
        _SIGNS.get(run.outcome, run.outcome),
        *("" if count is None else f"{count:,}" for count in counts),
        since_line(run),
        run.message,
    )


def _all(archive: Path, runs: Iterable[Run]) -> Table:
    rows = [(_link(archive, run), run.warninglist, *row(run)) for run in runs]
    return table("All runs, the latest first", (_COLUMNS[0], "List", *_COLUMNS[1:]), rows)


def _batches(archive: Path, batches: Iterable[BatchLine]) -> Table:
    rows = [
        (
            _dated(one.started, one.batch_id, one.page.relative_to(archive)),
            _SIGNS.get(one.outcome, one.outcome),
            one.verdict,
            Own(Path(one.file).name),
        )
        for one in batches
    ]
    return table("All batches, the latest first", ("Batch", "Outcome", "Runs", "File"), rows)


def _history(archive: Path, name: str, runs: Sequence[Run]) -> Table:
    return table(f"Runs of {name}", _COLUMNS, [(_link(archive, run), *row(run)) for run in runs])


def _link(archive: Path, run: Run) -> Own:
    page = run.folder / REPORT
    return _dated(run.started, run.run_id, (page if page.is_file() else run.folder / MANIFEST).relative_to(archive))


def _dated(started: str, identity: str, page: Path) -> Own:
    return Own(f"{started[:19].replace('T', ' ')} {identity[-6:]}", page.as_posix())
