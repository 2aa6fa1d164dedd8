"""What a batch leaves behind: batch.json after every run, a page and a table at the end."""

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from misp_playbook_lib.batch_file import Batch, ParameterSet
from misp_playbook_lib.batch_run import RunFigures
from misp_playbook_lib.given import read_given
from misp_playbook_lib.report.archive import MANIFEST, REPORT, write_whole
from misp_playbook_lib.report.batches import BATCHES, PAGE, RESULTS
from misp_playbook_lib.report.tables import as_text, html_text, table
from misp_playbook_lib.state import Outcome
from misp_playbook_lib.terminal import say

logger = logging.getLogger(__name__)
DONE_BEFORE = "done before"
NOT_RUN = "not run"
COLUMNS = ("List", "Outcome", "Entries", "Matches", "Failures", "Report")
_WORST_FIRST = (Outcome.CRASHED, Outcome.FAILED, Outcome.PARTIAL, Outcome.SUCCESS)
_STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { border-bottom: 1px solid #8888; padding: .35rem .6rem; text-align: left; vertical-align: top; }
"""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """What became of one set of parameters; `digest` says what was asked, of which server, with which playbook."""

    number: int
    line: int
    warninglist: str
    digest: str
    outcome: str = NOT_RUN
    message: str = ""
    figures: RunFigures | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as texts, but for the report."""
        ran = self.figures
        change = f", {ran.change}" if ran and ran.change and self.outcome != DONE_BEFORE else ""
        figures = (ran.entries, ran.matches, ran.failures) if ran else (None, None, None)
        return (
            self.warninglist,
            f"{self.outcome}{change}",
            *("" if figure is None else f"{figure:,}" for figure in figures),
        )


@dataclass(slots=True)
class BatchRecord:
    """A batch on its way: a row a set, in the file's order."""

    archive: Path
    folder: Path
    batch: Batch
    where: str
    rows: list[BatchRow]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def worst(self) -> Outcome:
        """How the worst run ended: a crash, then a failure, then an incomplete run; what was cut short is a crash."""
        outcomes = {row.outcome for row in self.rows}
        if outcomes & {NOT_RUN, Outcome.INTERRUPTED}:
            return Outcome.CRASHED
        return next((worst for worst in _WORST_FIRST if worst in outcomes), Outcome.SUCCESS)

    @property
    def verdict(self) -> str:
        """How many runs ended how, in a line."""
        outcomes = [row.outcome for row in self.rows]
        words = (*(outcome.value for outcome in Outcome), DONE_BEFORE, NOT_RUN)
        return ", ".join(f"{outcomes.count(word):,} {word}" for word in words if word in outcomes)

    @property
    def not_run(self) -> list[str]:
        """What was not run, a set a line: where the file speaks of it, and its list."""
        return [f"{row.line}: {row.warninglist}" for row in self.rows if row.outcome == NOT_RUN]

    def save(self, *, finished: bool = False) -> None:
        """Write batch.json whole or not at all, and the page once the batch is over."""
        finish = datetime.now(UTC)
        data = {
            "batch_id": self.folder.name,
            "file": str(self.batch.path),
            "playbook": self.batch.notebook.stem,
            "server": self.where,
            "started": self.started.isoformat(timespec="seconds"),
            "finished": finish.isoformat(timespec="seconds") if finished else None,
            "seconds": round((finish - self.started).total_seconds(), 1),
            "outcome": self.worst.value if finished else None,
            "exit_code": self.worst.exit_code if finished else None,
            "verdict": self.verdict,
            "version": metadata.version("misp-playbook"),
            "runs": self.rows,
        }
        # Written after every run: json would take as long over 10,000 rows as a run itself.
        write_whole(self.folder / RESULTS, msgspec.json.format(msgspec.json.encode(data), indent=1))
        if finished:
            write_whole(self.folder / PAGE, self.page())

    def text(self) -> str:
        """Render the table for a terminal."""
        rows = [(*row.cells, self._report(row)) for row in self.rows]
        return as_text(table(f"Batch {self.folder.name}: {self.verdict}", COLUMNS, rows))

    def _report(self, row: BatchRow) -> str:
        ran = row.figures
        return str(self.archive / ran.folder / (REPORT if ran.report else MANIFEST)) if ran else row.message

    def page(self) -> str:
        """Render the page: the table, each row with a link to its report."""
        head = "".join(f'<th scope="col">{column}</th>' for column in (*COLUMNS, "What happened"))
        body = "".join(self._page_row(row) for row in self.rows)
        title = html_text(f"Batch {self.folder.name}")
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head>"
            f"<body><main><h1>{title}</h1><p>{html_text(self.verdict)}</p>"
            f"<p>{html_text(f'{self.batch.path.name} · {self.batch.notebook.stem} · {self.where}')}</p>"
            f"<table><caption>Runs</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            "</main></body></html>\n"
        )

    def _page_row(self, row: BatchRow) -> str:
        cells = [html_text(cell) for cell in row.cells]
        ran = row.figures
        if ran:
            target = html_text(f"../../{ran.folder}/{REPORT if ran.report else MANIFEST}")
            cells.append(f'<a href="{target}">{html_text(ran.run_id)}</a>')
        else:
            cells.append("")
        cells.append(html_text(row.message))
        return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def digest(one: ParameterSet, notebook: Path, where: str) -> str:
    """Name what a run is about: playbook, parameters, the file of values they name, and the server."""
    values = b""
    if file := one.parameters.warninglist_values_file:
        with suppress(OSError):  # the run says that it cannot be read
            values = read_given(Path(file))
    parts = [
        hashlib.sha256(notebook.read_bytes()).hexdigest(),
        hashlib.sha256(values).hexdigest(),
        where,
        one.parameters.model_dump(mode="json"),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()


def done_before(archive: Path, digests: Iterable[str]) -> dict[str, RunFigures]:
    """Return what of `digests` earlier batches did with success and the archive still holds, by digest."""
    wanted = set(digests)
    found: dict[str, RunFigures] = {}
    for path in sorted(archive.glob(f"{BATCHES}/*/{RESULTS}")):
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["runs"]
            settled = {row["digest"]: _figures(row["figures"]) for row in rows if row["digest"] in wanted}
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read (%s): it is skipped.", path, error)
            continue
        found |= {name: figures for name, figures in settled.items() if figures and _still_done(archive, figures)}
    return found


@contextmanager
def shown_results(total: int) -> Iterator[Callable[[BatchRow], None]]:
    """Print a line for each row as it is settled, over a progress bar where somebody watches."""
    with tqdm(total=total, unit="run", disable=not (sys.stderr and sys.stderr.isatty())) as bar:

        def tell(row: BatchRow) -> None:
            bar.update()
            with tqdm.external_write_mode():
                say(" ".join(filter(None, [f"{row.outcome:<11}", f"{row.warninglist}:", row.message])))

        yield tell


def _still_done(archive: Path, figures: RunFigures) -> bool:
    return figures.outcome == Outcome.SUCCESS and (archive / figures.folder / MANIFEST).is_file()


def _figures(data: Mapping[str, Any] | None) -> RunFigures | None:
    return RunFigures(**{**data, "died": tuple(data["died"])}) if data else None
