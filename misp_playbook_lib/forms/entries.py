"""Give the list's values: paste, upload or name a file, and see at once how each is understood."""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]

from misp_playbook_lib.errors import PlaybookError
from misp_playbook_lib.forms.form import Control, Form, control, lines, look, names_of, show
from misp_playbook_lib.model.corrections import correct
from misp_playbook_lib.model.findings import Finding, Severity
from misp_playbook_lib.model.indicators import Indicators
from misp_playbook_lib.model.lint import lint
from misp_playbook_lib.model.plan import WarninglistAction
from misp_playbook_lib.model.reading import parse_line
from misp_playbook_lib.model.selection import Selection
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec, WarninglistType
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.report.display import View, html_of
from misp_playbook_lib.report.tables import table
from misp_playbook_lib.report.views import FIRST_ROWS, Block
from misp_playbook_lib.steps.entries import read_file

PAUSE = 0.1
"""Seconds without a keystroke after which the table is made again."""
UPLOADS = Path("uploads")
"""Where uploaded files are kept, beside the notebook, so that the run can be repeated with them."""


def values(run: Playbook, selection: Selection, details: WarninglistSpec) -> Form | View:
    """IN:4. The values, with a live table of how they are understood, corrected and checked."""
    return show(run, names_of("IN:4"), lambda: _Values(run, selection, details))


class _Values(Form):
    def __init__(self, run: Playbook, selection: Selection, details: WarninglistSpec) -> None:
        current = selection.current
        self._type = details.type or (current.type if current else WarninglistType.STRING)
        self._matching = details.matching_attributes or (current.matching_attributes if current else ())
        self._table = widgets.HTML()
        self._later = _Later(self._render)
        text = widgets.Textarea(
            "\n".join(run.parameters.warninglist_values),
            placeholder="one value a line, with an optional comment behind ' # '",
            rows=8,
            **look("warninglist_values"),
        )
        upload = widgets.FileUpload(description="Upload a file of values", accept=".txt,.csv,.tsv,.json")
        upload.layout.width = "17em"
        upload.observe(self._upload, "value")
        controls = [
            Control("warninglist_values", text, lines),
            control(run, "warninglist_values_file"),
            control(run, "warninglist_values_event"),
            control(run, "warninglist_values_action", [(str(action), str(action)) for action in WarninglistAction]),
        ]
        super().__init__(run, "IN:4", controls, [upload, self._table], self._later.soon)
        self._render()

    def _upload(self, change: dict[str, Any]) -> None:
        for uploaded in change["new"]:
            self.controls["warninglist_values_file"].widget.value = str(
                _keep(uploaded["name"], bytes(uploaded["content"]))
            )

    def _render(self) -> None:
        wanted = self._run.parameters
        given = [entry for line in wanted.warninglist_values if (entry := parse_line(line, self._type))]
        blocks: list[Block] = []
        if wanted.warninglist_values_file:
            try:
                given += read_file(Path(wanted.warninglist_values_file), self._type)[0]
            except PlaybookError as error:
                blocks.append(str(error))
        if wanted.warninglist_values_event:
            blocks.append(
                f"The attributes of event {wanted.warninglist_values_event} are read when the cell of IN:4 runs."
            )
        if wanted.warninglist_values_action == WarninglistAction.REMOVE:
            blocks.append(f"{len(given):,} values to remove; they are taken as they stand.")
        else:
            blocks += understood(given, self._type, self._matching, self._run.misp.attribute_types)
        self._table.value = html_of(blocks)


def understood(
    given: Sequence[WarninglistEntry],
    list_type: WarninglistType,
    matching_attributes: Sequence[str],
    known_types: frozenset[str],
) -> list[Block]:
    """Say how entries are understood: their types, corrections and findings; the worst stand first in the table."""
    indicators = Indicators()
    entries, corrections = correct(given, list_type, indicators)
    findings = lint(entries, list_type, matching_attributes, known_types, indicators)
    regex = list_type is WarninglistType.REGEX
    kinds = Counter("pattern" if regex else _kind(indicators, entry.value) for entry in entries)
    severities = Counter(found.severity for found in findings)
    by_entry: dict[str, Finding] = {}
    for found in sorted(findings, key=_rank):
        by_entry.setdefault(found.entry, found)
    before = {one.after: one for one in corrections}
    worst_first = sorted(entries, key=lambda entry: _order(by_entry.get(entry.value), entry.value in before))
    rows = [
        (
            entry.value,
            "pattern" if regex else _kind(indicators, entry.value),
            f"{before[entry.value].before}: {before[entry.value].reason}" if entry.value in before else "",
            _words(by_entry.get(entry.value)),
            entry.comment,
        )
        for entry in worst_first[:FIRST_ROWS]
    ]
    counts = ", ".join(f"{severity}: {severities[severity]:,}" for severity in Severity if severities[severity])
    types = ", ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common())
    read = f"{len(entries):,} entries of a {list_type} list. Types: {types or 'none'}."
    blocks: list[Block] = [f"{read} Corrected: {len(corrections):,}. Findings: {counts or 'none'}."]
    blocks += [f"{one.severity}: {one.reason}; {one.remedy}" for one in findings if one.entry in matching_attributes]
    if rows:
        shown = table("How the values are understood", ("Entry", "Type", "Corrected from", "Finding", "Comment"), rows)
        blocks.append(shown)
        if len(entries) > len(rows):
            blocks.append(f"{len(entries) - len(rows):,} more entries are not shown; those with findings come first.")
    return blocks


class _Later:
    """Calls once a while nothing has happened; at once where no event loop runs."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._waiting: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        try:
            self._waiting = asyncio.get_running_loop().call_later(PAUSE, self._call)
        except RuntimeError:
            self._call()


def _keep(name: str, data: bytes) -> Path:
    """Write an uploaded file beside the notebook, readable by its owner alone; another of its name stays."""
    path = UPLOADS / (Path(name.replace("\\", "/")).name or "values.txt")
    UPLOADS.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.read_bytes() != data:
        path = path.with_stem(f"{path.stem}-{hashlib.sha256(data).hexdigest()[:8]}")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return path


def _kind(indicators: Indicators, value: str) -> str:
    found = indicators[value]
    return found.type if found else "no type recognised"


def _rank(found: Finding) -> int:
    return list(Severity).index(found.severity)


def _order(found: Finding | None, corrected: bool) -> tuple[int, bool]:
    return (_rank(found) if found else len(Severity), not corrected)


def _words(found: Finding | None) -> str:
    return f"{found.severity}: {found.reason}; {found.remedy}" if found else ""
