"""Which cells of a table link, and where: an event to its page in MISP, a permalink of VirusTotal to itself."""

import re
from dataclasses import replace

from misp_playbook_lib.report.tables import Own, Table

EVENT_COLUMNS = ("Event", "Event ID")
_PERMALINK = re.compile(r"https://www\.virustotal\.com/gui/[0-9A-Za-z/_.-]+")


def linked(one: Table, misp_url: str) -> Table:
    """Link what may be linked; a cell that only looks like it stays text, since answers come from outside."""
    events = {place for place, column in enumerate(one.columns) if column in EVENT_COLUMNS}
    rows = tuple(
        tuple(_cell(text, misp_url, event=place in events) for place, text in enumerate(row)) for row in one.rows
    )
    return replace(one, rows=rows)


def _cell(text: str, misp_url: str, *, event: bool) -> str:
    if event and text.isascii() and text.isdigit():
        return Own(text, f"{misp_url}/events/view/{text}")
    return Own(text, text) if _PERMALINK.fullmatch(text) else text
