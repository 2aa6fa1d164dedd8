"""Attributes and their events as MISP's attributes/restSearch answers them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from misp_playbook_lib.errors import UnexpectedResponse
from misp_playbook_lib.model.results import Attribute, Event

SERVICE = "MISP"
SEARCH = "attributes/restSearch"
Row = Mapping[str, Any]
"""An attribute as it came; as a `Row` it costs nothing that JSON did not cost."""
_DAY = len("2024-01-31")


def rows(answer: Any) -> list[Row]:
    """Return the attributes of an answer, each with the fields that matching needs.

    Raises:
        UnexpectedResponse: it is of another shape.

    """
    found = answer.get("Attribute") if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(_usable(row) for row in found):
        raise unexpected(SEARCH)
    return found


def _usable(row: Any) -> bool:
    try:
        return type(row["type"]) is type(row["value"]) is str and int(row["id"]) > 0 <= int(row["timestamp"])
    except (KeyError, TypeError, ValueError):
        return False


def parse_event(row: Row) -> Event:
    """Read the event beside an attribute; organisation, date, publication and tags come with includeContext alone.

    Raises:
        UnexpectedResponse: it is of another shape.

    """
    try:
        return Event(
            id=int(row["id"]),
            uuid=str(row["uuid"]),
            info=str(row["info"]),
            date=str(row.get("date", "")),
            organisation=str((row.get("Orgc") or {}).get("name", "")),
            published=bool(row.get("published")),
            tags=_tags(row.get("Tag", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unexpected(SEARCH) from error


def parse_attribute(row: Row, event: Event) -> Attribute:
    """Read an attribute that stands in `event`.

    Raises:
        UnexpectedResponse: it is of another shape.

    """
    try:
        return Attribute(
            id=int(row["id"]),
            uuid=str(row["uuid"]),
            type=str(row["type"]),
            category=str(row["category"]),
            value=str(row["value"]),
            to_ids=bool(row["to_ids"]),
            comment=str(row.get("comment") or ""),
            timestamp=datetime.fromtimestamp(int(row["timestamp"]), UTC),
            first_seen=str(row.get("first_seen") or "")[:_DAY],
            last_seen=str(row.get("last_seen") or "")[:_DAY],
            tags=_tags(row.get("Tag", ())),
            event=event,
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise unexpected(SEARCH) from error


def unexpected(operation: str) -> UnexpectedResponse:
    """Say that an answer is not MISP's."""
    return UnexpectedResponse(
        f"the answer is not of the promised shape ({operation}); is this a supported MISP?",
        service=SERVICE,
        operation=operation,
    )


def _tags(tags: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(tag["name"]) for tag in tags)
