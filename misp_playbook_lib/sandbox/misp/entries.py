"""What a caller may write into a warninglist: parsing of entries and types, validation, the limits of the columns.

Rules from MISP 2.5's WarninglistsController::add and edit, Warninglist::parseFreetext and beforeValidate.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from misp_playbook_lib.sandbox.misp.answers import InternalError
from misp_playbook_lib.sandbox.misp.filters import MAX_PACKET, text, truthy
from misp_playbook_lib.sandbox.misp.matcher import compiled, parse_network

TYPES = ("cidr", "hostname", "string", "substring", "regex")
CATEGORIES = ("false_positive", "known")
BLANK = "This field cannot be left blank"
PHP_BLANKS = " \t\n\r\0\x0b"
MAX_NAME = 255
MAX_TEXT = 65_535
"""Bytes in a TEXT column."""
ROW_SYNTAX = 20
"""Bytes of an entry's row in the INSERT beside value and comment."""

Entry = dict[str, Any]


def parse_entries(given: Any) -> list[Entry]:
    """Read entries: text line by line with comments after the first #, or a list that is stored verbatim.

    Raises:
        InternalError: an entry without a value, or one that is null or a boolean.

    """
    if isinstance(given, list | dict):
        return [_listed(part) for part in (given.values() if isinstance(given, dict) else given)]
    whole = text(given).strip(PHP_BLANKS)
    if not truthy(whole):
        return []
    entries: list[Entry] = []
    for line in whole.split("\n"):
        value, hash_, comment = line.partition("#")
        entries.append({"value": value.strip(PHP_BLANKS), "comment": comment.strip(PHP_BLANKS) if hash_ else None})
    return entries


def _listed(part: Any) -> Entry:
    if isinstance(part, dict):
        if "value" not in part:
            raise InternalError
        return part
    return {"value": part}


def stored_entries(entries: Iterable[Entry]) -> list[tuple[str, str | None]]:
    """Return values and comments as the columns hold them.

    Raises:
        InternalError: what the columns or one statement cannot hold.

    """
    stored: list[tuple[str, str | None]] = []
    size = 0
    for entry in entries:
        value, comment = entry["value"], entry.get("comment")
        if value is None or isinstance(value, bool | list | dict):
            raise InternalError
        row = (text(value), None if comment is None else text(comment))
        for part in row:
            check_column(part or "")
        size += len(row[0].encode()) + len((row[1] or "NULL").encode()) + ROW_SYNTAX
        stored.append(row)
    if size > MAX_PACKET:
        raise InternalError
    return stored


def check_column(words: str) -> None:
    """Refuse what MySQL's utf8mb3 TEXT cannot hold: 4-byte characters, more than 65,535 bytes.

    Raises:
        InternalError: it cannot.

    """
    if not words.isascii() and max(words) > "\uffff":
        raise InternalError
    if len(words) > MAX_TEXT // 3 and len(words.encode("utf-8", "surrogatepass")) > MAX_TEXT:
        raise InternalError


def parse_types(given: Any) -> list[str]:
    """Read matching_attributes: one empty name or a plain text, and none is saved.

    Raises:
        InternalError: objects in place of names.

    """
    if not isinstance(given, list | dict):
        return []
    names = list(given.values() if isinstance(given, dict) else given)
    if any(isinstance(name, list | dict) for name in names):
        raise InternalError
    types = [text(name) for name in names]
    return [] if "" in types else types


def problems(fields: dict[str, Any], entries: Sequence[Entry] | None, *, name_taken: bool) -> dict[str, list[str]]:
    """Return MISP's words by field for what it refuses in `fields`; entries None means that none were given."""
    list_type = fields.get("type", "string")
    bad = _bad_entries(list_type, entries or ())
    if bad:
        return {"entries": bad}
    found: dict[str, list[str]] = {}
    if "name" in fields and not text(fields["name"]).strip(PHP_BLANKS):
        found["name"] = ["Name cannot be empty."]
    elif name_taken:
        found["name"] = ["Warninglist with same name already exists."]
    if "description" in fields and not text(fields["description"]).strip(PHP_BLANKS):
        found["description"] = ["Description cannot be empty."]
    if "version" in fields and not _numeric(fields["version"]):
        found["version"] = [BLANK]
    if list_type not in TYPES:
        found["type"] = [BLANK]
    if fields.get("category", CATEGORIES[0]) not in CATEGORIES:
        found["category"] = [BLANK]
    if entries is not None and not entries:
        found["entries"] = ["Entries cannot be empty."]
    return found


def _bad_entries(list_type: Any, entries: Iterable[Entry]) -> list[str]:
    values = (text(entry["value"]) for entry in entries)
    if list_type == "cidr":
        return [f"`{value}` is not valid CIDR" for value in values if parse_network(value) is None]
    if list_type == "regex":
        return [f"`{value}` is not valid regular expression" for value in values if compiled(value) is None]
    return []


def _numeric(given: Any) -> bool:
    try:
        float(given)
    except (TypeError, ValueError):
        return False
    return not isinstance(given, bool)
