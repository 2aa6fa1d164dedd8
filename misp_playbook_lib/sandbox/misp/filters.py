"""The filters of attributes/restSearch as conditions in SQL, with MISP's odd readings of them.

Rules from MISP 2.5's AppModel::convert_filters, generic_add_filter, resolveTimeDelta and
MispAttribute::set_filter_*, and from what a server answered.
"""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters

import datetime as dt
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from misp_playbook_lib.sandbox.misp.answers import InternalError
from misp_playbook_lib.sandbox.misp.values import fold, normal_address

MAX_PACKET = 16 * 1024 * 1024
"""MariaDB's max_allowed_packet: a longer statement is an internal error."""


@dataclass(slots=True)
class Conditions:
    """SQL conditions on `attributes a`, all of which must hold, and their parameters."""

    sql: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def add(self, sql: str, *parameters: Any) -> None:
        """Require `sql` too."""
        self.sql.append(sql)
        self.parameters += parameters


def truthy(value: Any) -> bool:
    """Read a value as PHP does where it wants a boolean: "0" and "" are false, "false" is true."""
    return value not in (None, False, 0, "", "0", [], {})


def text(value: Any) -> str:
    """Read a value as PHP's strval does."""
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, list | dict):
        return "Array"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def operators(given: Any) -> dict[str, list[Any]]:
    """Sort what a filter was given into OR, AND and NOT (AppModel::convert_filters)."""
    if isinstance(given, dict) and given.keys() & {"OR", "AND", "NOT"}:
        return {name: part if isinstance(part, list) else [part] for name, part in given.items()}
    if not isinstance(given, list | dict):
        given = [part for part in text(given).split("&&") if part]
    sorted_: dict[str, list[Any]] = {}
    for part in given.values() if isinstance(given, dict) else given:
        if part is None:
            continue
        if isinstance(part, int) and not isinstance(part, bool):
            sorted_.setdefault("OR", []).append(part)
        elif text(part).startswith("!"):
            sorted_.setdefault("NOT", []).append(text(part)[1:])
        else:
            sorted_.setdefault("OR", []).append(text(part))
    return sorted_


def is_pattern(value: Any) -> bool:
    """Say whether MISP searches for it with LIKE: a text with % at its beginning or end."""
    return isinstance(value, str) and (value.startswith("%") or value.endswith("%"))


def like(column: str) -> str:
    """Return MySQL's LIKE in SQLite's words."""
    return f"{column} LIKE ? ESCAPE '\\'"


def value_filter(conditions: Conditions, given: Any) -> None:
    """Filter by value: either half of a composite, without case and accents; NOT loses a further character."""
    for operator, wanted in operators(given).items():
        if operator == "NOT":
            _without_values(conditions, [text(value)[1:] for value in wanted])
            continue
        strings = [text(value) for value in wanted if not isinstance(value, int)]
        if 2 * sum(len(value.encode()) + 4 for value in strings) > MAX_PACKET:
            raise InternalError  # the list stands twice in the statement
        exact = [fold(normal_address(value)) for value in strings]
        either: list[str] = []
        parameters: list[Any] = []
        if exact:
            chosen = "(SELECT value FROM json_each(?))"
            firsts = f"SELECT id FROM attributes WHERE key1 IN {chosen}"
            seconds = f"SELECT id FROM attributes WHERE key2 != '' AND key2 IN {chosen}"
            either.append(f"a.id IN ({firsts} UNION ALL {seconds})")
            parameters += [json.dumps(exact)] * 2
        if "" in exact:
            either.append("a.key2 = ''")
        for pattern in filter(is_pattern, strings):
            either += [like("a.key1"), like("a.key2")]
            parameters += [fold(pattern)] * 2
        for number in (value for value in wanted if isinstance(value, int)):
            either += ["CAST(a.value1 AS REAL) = ?", "CAST(a.value2 AS REAL) = ?"]  # MySQL compares text as a number
            parameters += [number] * 2
        if either:
            conditions.add(f"({' OR '.join(either)})", *parameters)


def _without_values(conditions: Conditions, values: Iterable[str]) -> None:
    for value in values:
        for column in ("a.key1", "a.key2"):
            if is_pattern(value):
                conditions.add(f"NOT {like(column)}", fold(value))
            else:
                conditions.add(f"{column} != ?", fold(value))


def column_filter(column: str) -> Callable[[Conditions, Any], None]:
    """Return a filter on a column of text: a list is any of it, !x is not x, % is a pattern."""

    def apply(conditions: Conditions, given: Any) -> None:
        for operator, wanted in operators(given).items():
            exact = [text(value) for value in wanted if not is_pattern(value)]
            either = [f"{column} IN (SELECT value FROM json_each(?))"] if exact else []
            either += [like(column) for value in wanted if is_pattern(value)]
            parameters = [json.dumps(exact)] * bool(exact) + [value for value in wanted if is_pattern(value)]
            if either:
                conditions.add(f"{'NOT ' if operator == 'NOT' else ''}({' OR '.join(either)})", *parameters)

    return apply


def event_filter(conditions: Conditions, given: Any) -> None:
    """Filter by the event's id or uuid."""
    for operator, wanted in operators(given).items():
        chosen = json.dumps([text(value) for value in wanted])
        events = "SELECT id FROM events WHERE CAST(id AS TEXT) IN (SELECT value FROM json_each(?))"
        events += " OR uuid IN (SELECT value FROM json_each(?))"
        if operator == "NOT":
            conditions.add(f"a.event_id NOT IN ({events})", chosen, chosen)
        else:
            conditions.add(f"a.id IN (SELECT id FROM attributes WHERE event_id IN ({events}))", chosen, chosen)


def published_filter(conditions: Conditions, given: Any) -> None:
    """Filter by the event's publication: false is no filter, 0 is unpublished, the text "false" is published."""
    wanted = {truthy(value) for value in given} if isinstance(given, list) else {truthy(given)}
    if given is not False and len(wanted) == 1:
        conditions.add("a.event_id IN (SELECT id FROM events WHERE published = ?)", wanted.pop())


def deleted_filter(conditions: Conditions, given: Any) -> None:
    """Filter by deletion: nothing deleted unless asked for; "only" is 1."""
    wanted = {value in (1, "1", "only") for value in (given if isinstance(given, list) else [given])}
    if len(wanted) == 1:
        conditions.add("a.deleted = ?", wanted.pop())


def to_ids_filter(conditions: Conditions, given: Any) -> None:
    """Filter by the IDS flag."""
    listed = given if isinstance(given, list) else [given]
    wanted = {truthy(value) and value != "exclude" for value in listed}
    if len(wanted) == 1:
        conditions.add("a.to_ids = ?", wanted.pop())


def tag_filter(conditions: Conditions, given: Any) -> None:
    """Filter by tags of attribute or event; an unknown tag that is asked for leaves nothing."""
    asked = given.split("&&") if isinstance(given, str) else given
    if isinstance(asked, dict) and asked.keys() & {"OR", "AND", "NOT"}:
        sorted_ = {name: part if isinstance(part, list) else [part] for name, part in asked.items() if part}
    else:
        parts = [text(part) for part in (asked.values() if isinstance(asked, dict) else asked)]
        sorted_ = {"OR": [part for part in parts if not part.startswith("!")]}
        sorted_["NOT"] = [part[1:] for part in parts if part.startswith("!")]
    for operator, names in sorted_.items():
        if not names:
            continue
        patterns = [text(name) for name in names]
        tags = f"SELECT id FROM tags WHERE {' OR '.join([like('name')] * len(patterns))}"
        carried = (
            f"(a.event_id IN (SELECT event_id FROM event_tags WHERE tag_id IN ({tags}))"
            f" OR a.id IN (SELECT attribute_id FROM attribute_tags WHERE tag_id IN ({tags})))"
        )
        if operator == "AND":
            # MISP wants as many tags as names: a pattern that stands for two leaves nothing
            conditions.add(f"(SELECT count(*) FROM ({tags})) = ?", *patterns, len(patterns))
            one = carried.replace(tags, f"SELECT id FROM tags WHERE {like('name')}")
            for pattern in patterns:
                conditions.add(one, pattern, pattern)
        else:
            conditions.add(f"{'NOT ' if operator == 'NOT' else ''}{carried}", *patterns, *patterns)


def organisation_filter(conditions: Conditions, given: Any) -> None:
    """Filter by the organisation that created the event, by name or id."""
    for operator, wanted in operators(given).items():
        chosen = json.dumps([text(value) for value in wanted])
        events = (
            "SELECT e.id FROM events e JOIN organisations o ON o.id = e.org_id"
            " WHERE o.name IN (SELECT value FROM json_each(?))"
            " OR CAST(o.id AS TEXT) IN (SELECT value FROM json_each(?))"
        )
        conditions.add(f"a.event_id {'NOT ' if operator == 'NOT' else ''}IN ({events})", chosen, chosen)


def moment(given: Any) -> int:
    """Read a time: an epoch, a span back from the present (`5d`, `1h`), or a date (AppModel::resolveTimeDelta)."""
    words = text(given).strip()
    present = int(time.time())
    if words.lstrip("-").isdigit():
        return int(words)
    spans = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    number, unit = words[:-1], words[-1:].lower()
    if unit in spans:
        try:
            return present - int(float(number) * spans[unit])
        except ValueError:
            return present + 1
    try:
        read = dt.datetime.fromisoformat(words)
    except ValueError:
        return present + 1
    return int((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp())


def window(given: Any) -> tuple[int, int | None]:
    """Read a time filter: from, and to where a pair was given, in either order.

    Raises:
        InternalError: a list that is no pair.

    """
    if not isinstance(given, list):
        return moment(given), None
    if len(given) != 2:  # noqa: PLR2004 - a pair
        raise InternalError
    start, end = sorted(moment(part) for part in given)
    return start, end


def time_filter(conditions: Conditions, given: Any) -> None:
    """Filter by the attribute's own time."""
    start, end = window(given)
    bound = "" if end is None else " AND timestamp <= ?"
    parameters = [start] if end is None else [start, end]
    conditions.add(f"a.id IN (SELECT id FROM attributes WHERE timestamp >= ?{bound})", *parameters)


def event_time_filter(column: str) -> Callable[[Conditions, Any], None]:
    """Return a filter on a time of the event; one that was never published has a publication time of 0."""

    def apply(conditions: Conditions, given: Any) -> None:
        start, end = window(given)
        bound = "" if end is None else f" AND {column} <= ?"
        parameters = [start] if end is None else [start, end]
        conditions.add(f"a.event_id IN (SELECT id FROM events WHERE {column} >= ?{bound})", *parameters)

    return apply


def date_filter(sign: str) -> Callable[[Conditions, Any], None]:
    """Return a filter on the event's date."""

    def apply(conditions: Conditions, given: Any) -> None:
        conditions.add(f"a.event_id IN (SELECT id FROM events WHERE date {sign} ?)", text(given))

    return apply


FILTERS: dict[str, Callable[[Conditions, Any], None]] = {
    "value": value_filter,
    "type": column_filter("a.type"),
    "category": column_filter("a.category"),
    "uuid": column_filter("a.uuid"),
    "comment": column_filter("a.comment"),
    "eventid": event_filter,
    "tags": tag_filter,
    "tag": tag_filter,
    "org": organisation_filter,
    "timestamp": time_filter,
    "attribute_timestamp": time_filter,
    "event_timestamp": event_time_filter("timestamp"),
    "publish_timestamp": event_time_filter("publish_timestamp"),
    "last": event_time_filter("publish_timestamp"),
    "from": date_filter(">="),
    "to": date_filter("<="),
}


def conditions_of(filters: dict[str, Any]) -> Conditions:
    """Read a search's filters; what is empty is no filter, and neither is what MISP does not know."""
    conditions = Conditions()
    for name, apply in FILTERS.items():
        if truthy(filters.get(name)):
            apply(conditions, filters[name])
    if filters.get("published") is not None:
        published_filter(conditions, filters["published"])
    if filters.get("to_ids") is not None:
        to_ids_filter(conditions, filters["to_ids"])
    deleted_filter(conditions, filters.get("deleted"))
    return conditions
