"""Check a file of entries without a server, each finding with the line it is about."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.given import read_given
from misp_playbook_lib.model.corrections import normalise_entry
from misp_playbook_lib.model.findings import Finding
from misp_playbook_lib.model.lint import lint
from misp_playbook_lib.model.reading import parse_line
from misp_playbook_lib.model.warninglist import ALL_ATTRIBUTES, WarninglistType
from misp_playbook_lib.steps.entries import read_file
from misp_playbook_lib.untrusted import visible

Placed = tuple[int, Finding]
"""A finding with the number of the line it is about; 0 where the file is not text with a value a line."""


def check_file(path: Path, list_type: str) -> list[Placed]:
    """Read, correct and check a file's entries.

    Raises:
        ParameterError: there is no such type.
        InvalidEntries: the file cannot be read.

    """
    if list_type not in tuple(WarninglistType):
        raise ParameterError([f"--type {list_type} is none of {', '.join(WarninglistType)}"])
    kind = WarninglistType(list_type)
    entries, _ = read_file(path, kind)
    corrected = [normalise_entry(entry, kind)[0] for entry in entries]
    lines = _lines(path, kind)
    numbers = {new.value: lines.get(old.value, 0) for old, new in zip(entries, corrected, strict=True)}
    return [(numbers.get(found.entry, 0), found) for found in lint(corrected, kind, [ALL_ATTRIBUTES])]


def render(path: Path, findings: Sequence[Placed], *, as_json: bool) -> str:
    """Write a finding a line, as compilers do, or all as JSON."""
    if as_json:
        return json.dumps([{"line": line, **asdict(found)} for line, found in findings], indent=2)
    return "\n".join(
        f"{path}:{line or 1}: {found.severity}: {visible(f'{found.entry}: {found.reason}; {found.remedy}')}"
        for line, found in findings
    )


def _lines(path: Path, kind: WarninglistType) -> dict[str, int]:
    """Find the line that each value first stands on."""
    numbers: dict[str, int] = {}
    for number, line in enumerate(read_given(path).decode(errors="replace").splitlines(), 1):
        entry = parse_line(line.removeprefix("\ufeff"), kind)
        if entry is not None:
            numbers.setdefault(entry.value, number)
    return numbers
