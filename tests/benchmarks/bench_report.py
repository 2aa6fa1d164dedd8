"""A report of 10,000 matches and 5,000 enrichments, an archive of 2,000 runs: seconds and bytes beside their limits."""

import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from playwright.sync_api import sync_playwright

from misp_playbook_lib.model.modules import Lookups
from misp_playbook_lib.model.results import (
    Attribute,
    AttributeMatch,
    CorrelationResult,
    Enrichment,
    EnrichmentKind,
    Event,
    LookupResult,
    LookupResults,
    LookupStatus,
    Published,
    Scope,
)
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report import batches, charts, correlation, display, exports, html, index, runs, views

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "playbooks" / "create_custom_misp_warninglist.ipynb"
MATCHES, ENRICHMENTS, RUNS = 10_000, 5_000, 2_000
CHROMIUM = "/usr/bin/chromium"


class Row(NamedTuple):
    """One figure; `peer` is the limit it must keep below."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def run() -> list[Row]:
    """Measure, in seconds and megabytes."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        found, lookups = matches(), enrichments()
        written, _ = timed(lambda: (exports.matches(found.matches), exports.enrichments(lookups.results)))
        rows.append(Row("write matches.csv and enrichments.csv, seconds", written))
        shown, outputs = timed(lambda: cells(found, lookups))
        rows.append(limited("show both in the notebook, seconds", shown, 3))
        node = nbformat.read(NOTEBOOK, as_version=4)
        node.cells += outputs
        nbformat.write(node, place / "run.ipynb")
        rendered, page = timed(lambda: html.render(place / "run.ipynb", manifest(0), NOTEBOOK.parent))
        rows.append(limited("render the page, seconds; peer: the limit", rendered, 3))
        (place / "report.html").write_text(page)
        rows.append(limited("the page, MB; peer: the limit", len(page.encode()) / 1e6, 3))
        rows.append(limited("open it in chromium, seconds; peer: the limit", opened(place / "report.html"), 2))
        archive = place / "reports"
        for number in range(RUNS):
            data = manifest(number)
            one = archive / data["started"][:10] / data["run_id"]
            one.mkdir(parents=True)
            (one / "run.json").write_text(json.dumps(data, indent=2))
        indexed, _ = timed(lambda: index.write(archive, runs.read(archive), batches.read(archive)))
        rows.append(limited("index 2,000 runs, seconds; peer: the limit", indexed, 5))
        rows.append(Row("the index, MB", (archive / "index.html").stat().st_size / 1e6))
    return rows


def limited(what: str, figure: float, limit: float) -> Row:
    """Compare a figure with its limit."""
    return Row(what, figure, limit, figure / limit)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long it took and what came of it."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def opened(page: Path) -> float:
    """Open a page and wait until it is laid out."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        seconds, _ = timed(lambda: (tab.goto(f"file://{page}"), tab.evaluate("document.body.offsetHeight")))
        browser.close()
    return seconds


def matches() -> CorrelationResult:
    """Make matches of many entries in many events."""
    found = tuple(match(number) for number in range(MATCHES))
    return CorrelationResult(found, tuple(one.entry for one in found), Scope(Published.BOTH))


def match(number: int) -> AttributeMatch:
    """Make a match whose texts are as long as they are in life."""
    value = f"https://host{number}.example.net/path/{number:032x}/index.php?id={number}"
    day = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=number % 2000)
    event = Event(
        id=number // 5,
        uuid=f"{number:036}",
        info=f"OSINT - A campaign of many hosts, part {number}",
        date=f"{day:%Y-%m-%d}",
        organisation=f"CERT {number % 40}",
        published=True,
        tags=("tlp:green", 'misp-galaxy:threat-actor="Somebody"'),
    )
    attribute = Attribute(
        id=number,
        uuid=f"{number:036}",
        type="url",
        category="Network activity",
        value=value,
        to_ids=True,
        comment="seen in the wild",
        timestamp=day,
        first_seen="",
        last_seen="",
        tags=(),
        event=event,
    )
    return AttributeMatch(value, value, attribute, None)


def enrichments() -> Lookups:
    """Make lookups with five answers each."""
    kinds = (EnrichmentKind.DETECTION, *[EnrichmentKind.INDICATOR] * 4)
    lookups = tuple(
        LookupResult(
            f"host{number}.example.net",
            "virustotal_public",
            LookupStatus.ANSWERED,
            enrichments=tuple(
                Enrichment("55/70" if place == 0 else f"198.51.100.{place}", "ip-dst", "Network", "report", "ip", kind)
                for place, kind in enumerate(kinds)
            ),
        )
        for number in range(ENRICHMENTS // len(kinds))
    )
    return Lookups((LookupResults("virustotal_public", lookups),))


def cells(found: CorrelationResult, lookups: Lookups) -> list[Any]:
    """Show both results as cells of a notebook do."""
    results = (
        ([*correlation.matches_view(found), *charts.of_matches(found.matches)], exports.MATCHES),
        ([*views.lookups_view(lookups), *charts.of_lookups(lookups)], exports.ENRICHMENTS),
    )
    shown = [display.html_of(blocks, "https://misp.example.org", file) for blocks, file in results]
    return [
        nbformat.v4.new_code_cell(
            "result", outputs=[nbformat.v4.new_output("execute_result", {"text/html": one}, execution_count=1)]
        )
        for one in shown
    ]


def manifest(number: int) -> dict[str, Any]:
    """Make the manifest of one of many runs, with 200 values each."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    values = [f"host{value}.example.net" for value in range(200)]
    parameters = PlaybookParameters.from_text({"warninglist_name": f"List {number % 50}", "warninglist_values": values})
    return {
        "schema": runs.SCHEMA,
        "run_id": f"{moment:%Y%m%dT%H%M%SZ}-{number:06x}",
        "playbook": NOTEBOOK.stem,
        "warninglist": f"List {number % 50}",
        "outcome": "success",
        "exit_code": 0,
        "message": f"The warninglist List {number % 50} (ID 7) was updated: 2 entries added.",
        "sandbox": False,
        "started": moment.isoformat(),
        "finished": moment.isoformat(),
        "seconds": 12.0,
        "parameters": parameters.model_dump(),
        "facts": {
            "server": {"url": "https://misp.example.org", "user": "a", "organisation": "b", "role": "c"},
            "warninglist": {"outcome": "updated", "entries": 200, "added": 2, "removed": 0},
            "matches": {"attributes": 10, "events": 7},
            "lookups": {"virustotal_public": {"asked": 20, "new_indicators": 30}},
        },
        "steps": [
            {"step": f"IN:{step}", "title": "A step", "status": "done", "summary": "x", "problems": [], "seconds": 0.1}
            for step in range(1, 8)
        ],
        "problems": [],
        "since": {"run_id": "x", "entries_added": 2, "entries_removed": 0, "matches_new": 3, "matches_gone": 1},
        "version": "0.1.0",
    }
