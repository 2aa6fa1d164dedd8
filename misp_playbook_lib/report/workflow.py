"""A playbook's workflow picture, marked with what became of each step."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

_SVG = "http://www.w3.org/2000/svg"
_CODE = re.compile(r"[A-Z]{2}:[0-9]")
_MARKS = {
    "done": ("✓", "#1a6b36"),
    "skipped": ("○", "#5a6572"),
    "incomplete": ("!", "#8a4b00"),
    "failed": ("✗", "#a3201d"),
    "running": ("✗", "#a3201d"),
    "not reached": ("·", "#5a6572"),
}
_WORST_FIRST = ("failed", "running", "incomplete", "done", "skipped")

NOT_REACHED = "not reached"


def status_of(code: str, statuses: Mapping[str, str]) -> str:
    """Return the worst status of a step's parts: `EN:2` has one for each service; none: it was not reached."""
    parts = {status for part, status in statuses.items() if part.split()[0] == code}
    return next((status for status in _WORST_FIRST if status in parts), NOT_REACHED)


def marked(picture: str, statuses: Mapping[str, str]) -> tuple[str, str]:
    """Mark each text of an SVG that begins with a step's code, and return the picture and what it says in words.

    Args:
        picture: the SVG of the project's own; a step is a text element `XX:N title`.
        statuses: each step's status by its code; a code may have a part behind it (`EN:2 Slack`).

    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(picture)  # noqa: S314 - a file of the playbook's folder, as trusted as its notebook
    told = []
    for text in root.iter(f"{{{_SVG}}}text"):
        words = text.text or ""
        found = _CODE.match(words)
        if found is None:
            continue
        status = status_of(found[0], statuses)
        sign, colour = _MARKS[status]
        text.text = f"{sign} {words}"
        text.set("fill", colour)
        told.append(f"{words}: {status}")
    return ET.tostring(root, encoding="unicode"), "; ".join(told)
