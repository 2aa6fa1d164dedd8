"""Attributes and their events as MISP's attributes/restSearch answers them."""

from datetime import UTC, datetime

import msgspec

from misp_playbook_lib.clients.failures import MISP, Failure, failed
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.model.results import Attribute, Event
from misp_playbook_lib.model.tlp import asked_for

SERVICE = MISP
SEARCH = "attributes/restSearch"
_DAY = len("2024-01-31")


class Row(msgspec.Struct, frozen=True, gc=False):
    """An attribute as it came, cheap to make: event and tags are read only where an entry hits.

    A distribution that is not told counts as the narrowest.
    """

    id: int
    event_id: int
    uuid: str
    type: str
    category: str
    value: str
    to_ids: bool
    timestamp: int
    event: msgspec.Raw = msgspec.field(name="Event")
    tags: msgspec.Raw = msgspec.field(name="Tag", default_factory=lambda: msgspec.Raw(b"[]"))
    distribution: int = 0
    comment: str | None = None
    first_seen: str | None = None
    last_seen: str | None = None


class _Attributes(msgspec.Struct):
    rows: list[Row] = msgspec.field(name="Attribute")


class _Answer(msgspec.Struct):
    response: _Attributes


class _Tag(msgspec.Struct):
    name: str


class _Organisation(msgspec.Struct):
    name: str


class _Event(msgspec.Struct):
    id: int
    uuid: str
    info: str
    distribution: int = 0
    date: str = ""
    published: bool = False
    tags: list[_Tag] = msgspec.field(name="Tag", default_factory=list)
    organisation: _Organisation | None = msgspec.field(name="Orgc", default=None)


# MISP writes numbers as texts: not strict, they are numbers all the same.
_ANSWER = msgspec.json.Decoder(_Answer, strict=False)
_EVENT = msgspec.json.Decoder(_Event, strict=False)
_TAGS = msgspec.json.Decoder(list[_Tag])


def rows(answer: bytes) -> list[Row]:
    """Return the attributes of an answer.

    Raises:
        UnexpectedResponse: it is not JSON, or of another shape.

    """
    try:
        return _ANSWER.decode(answer).response.rows
    except msgspec.ValidationError as error:
        raise unexpected(SEARCH) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise failed(Failure.NOT_JSON, SERVICE, SEARCH) from error


def parse_event(row: Row) -> Event:
    """Read the event beside an attribute; organisation, date, publication and tags come with includeContext alone.

    Without them its TLP level is red: its tags may ask for any.

    Raises:
        UnexpectedResponse: it is of another shape.

    """
    try:
        event = _EVENT.decode(row.event)
    except msgspec.DecodeError as error:
        raise unexpected(SEARCH) from error
    tags = tuple(tag.name for tag in event.tags)
    return Event(
        id=event.id,
        uuid=event.uuid,
        info=event.info,
        date=event.date,
        organisation=event.organisation.name if event.organisation else "",
        published=event.published,
        tags=tags,
        tlp=asked_for(tags, event.distribution) if event.organisation else "red",
    )


def parse_attribute(row: Row, event: Event) -> Attribute:
    """Read an attribute that stands in `event`.

    Raises:
        UnexpectedResponse: it is of another shape.

    """
    try:
        tags = tuple(tag.name for tag in _TAGS.decode(row.tags))
        return Attribute(
            id=row.id,
            uuid=row.uuid,
            type=row.type,
            category=row.category,
            value=row.value,
            to_ids=row.to_ids,
            comment=row.comment or "",
            timestamp=datetime.fromtimestamp(row.timestamp, UTC),
            first_seen=(row.first_seen or "")[:_DAY],
            last_seen=(row.last_seen or "")[:_DAY],
            tags=tags,
            event=event,
            tlp=asked_for(tags, row.distribution),
        )
    except (msgspec.DecodeError, ValueError, OverflowError, OSError) as error:
        raise unexpected(SEARCH) from error


def unexpected(operation: str) -> ServiceError:
    """Say that an answer is not MISP's."""
    return failed(Failure.OTHER_SHAPE, SERVICE, operation)
