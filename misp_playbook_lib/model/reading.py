"""Entries with their comments out of text, CSV and JSON, and back into lines of text.

MISP's own reader of text cuts each line at its first `#`, URLs included, and keeps blank lines as entries that match
everything; this one does neither, and entries go to MISP as JSON, which it stores as it stands.
"""

import csv
import io
import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from misp_playbook_lib.errors import InvalidEntries
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType

_COMMENT = re.compile(r"\s#")
_REGEX_COMMENT = re.compile(r"\s#(?!\S)")
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_VALUE_COLUMNS = ("value", "indicator", "entry")
_COLUMNS = 2
_TOLD = 10
"""How many of many problems are told."""


def parse_line(line: str, list_type: WarninglistType) -> WarninglistEntry | None:
    """Read one line: a value, and after white space and `#` its comment. Blank and comment-only lines are None.

    In a regex list, where `#` may be part of the pattern, the comment's `#` has white space on both sides and stands
    after the closing delimiter.
    """
    value = line.strip()
    if "#" not in value:
        return WarninglistEntry(value) if value else None
    if list_type is WarninglistType.REGEX:
        return _parse_regex_line(value)
    if value[0] == "#":
        return None
    found = _COMMENT.search(value)
    if found is None:
        return WarninglistEntry(value)
    return WarninglistEntry(value[: found.start()].rstrip(), value[found.end() :].strip())


def _parse_regex_line(line: str) -> WarninglistEntry | None:
    if line == "#" or (line[0] == "#" and line[1].isspace() and not _is_delimited(line)):
        return None
    splits = [
        WarninglistEntry(line[: found.start()].rstrip(), line[found.end() :].strip())
        for found in _REGEX_COMMENT.finditer(line)
    ]
    for split in splits:
        if _is_delimited(split.value):
            return split
    return splits[0] if splits and not _is_delimited(line) else WarninglistEntry(line)


def _is_delimited(text: str) -> bool:
    """Whether the text ends as a pattern with PCRE delimiters does: the delimiter, unescaped, and letters for flags."""
    start = text[0]
    body = text.rstrip(string.ascii_letters)
    inside = body[1:-1]
    escaped = (len(inside) - len(inside.rstrip("\\"))) % 2
    return (
        not (start.isalnum() or start == "\\")
        and len(body) > 1
        and body[-1] == _CLOSING.get(start, start)
        and not escaped
    )


def format_line(entry: WarninglistEntry, list_type: WarninglistType) -> str:
    """Write an entry as the line that `parse_line` reads as this entry.

    Raises:
        InvalidEntries: one line cannot hold it (white space at its ends, a line break, a ` #` in the value); JSON can.

    """
    line = f"{entry.value} # {entry.comment}" if entry.comment else entry.value
    if "\n" in line or "\r" in line or parse_line(line, list_type) != entry:
        raise InvalidEntries(f"{entry.value!r} cannot be written as a line of text; write the list as JSON")
    return line


def read_entries(data: bytes, name: str, list_type: WarninglistType) -> tuple[WarninglistEntry, ...]:
    """Read a file's entries: text with `# comments`, CSV (value, comment), JSON, or a misp-warninglists list.json.

    `name` tells the format by its ending (.json, .csv, .tsv); any other file is JSON if it parses as such, CSV if its
    first line names a value column, else text. UTF-8 with or without BOM, UTF-16; any line ending. Equal values become
    one entry: the first stays, with the first comment given.

    Raises:
        InvalidEntries: what cannot be read, with its line.

    """
    text = _decode(data, name)
    ending = name.lower().rpartition(".")[2]
    if ending == "json" or (ending not in {"csv", "tsv"} and _is_json(text)):
        entries = _read_json(text, name)
    elif ending in {"csv", "tsv"} or _has_header(text):
        entries = _read_csv(text, name, "\t" if ending == "tsv" else None)
    else:
        entries = (entry for line in _lines(text) if (entry := parse_line(line, list_type)) is not None)
    return merge_doubles(entries)


def merge_doubles(entries: Iterable[WarninglistEntry]) -> tuple[WarninglistEntry, ...]:
    """Keep each value once, at its first place; a comment wins over none."""
    seen: dict[str, WarninglistEntry] = {}
    for entry in entries:
        first = seen.setdefault(entry.value, entry)
        if first is not entry and entry.comment and not first.comment:
            seen[entry.value] = entry
    return tuple(seen.values())


def _decode(data: bytes, name: str) -> str:
    encoding = next((encoding for bom, encoding in _BOMS if data.startswith(bom)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:2]:
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    if encoding == "utf-32":
        raise InvalidEntries(f"{name}: UTF-32 is not read; save the file as UTF-8")
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "replace").count("\n") + 1
        raise InvalidEntries(
            f"{name}, line {line}: byte 0x{data[error.start]:02X} is not {encoding.upper()}; save the file as UTF-8",
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InvalidEntries(f"{name}, line {line}: a zero byte; this is no text")
    return text


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _is_json(text: str) -> bool:
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] not in {"[]", "{}"}:
        return False
    try:
        json.loads(stripped)
    except ValueError:  # [2001:db8::1], or a regex in braces
        return False
    except RecursionError:
        return True
    return True


def _read_json(text: str, name: str) -> Iterator[WarninglistEntry]:
    try:
        found: Any = json.loads(text, parse_int=str, parse_float=str)  # as written: 1.10 is not 1.1
    except json.JSONDecodeError as error:
        raise InvalidEntries(f"{name}, line {error.lineno}: no valid JSON ({error.msg})") from error
    except RecursionError:
        raise InvalidEntries(f"{name}: nested too deeply for a list of entries") from None
    for key in ("Warninglist", "WarninglistEntry", "list", "entries"):
        if isinstance(found, dict) and isinstance(found.get(key), dict | list):
            found = found[key]
    if isinstance(found, dict):  # MISP's form of a list with comments
        found = [{"value": value, "comment": comment} for value, comment in found.items()]
    if not isinstance(found, list):
        raise InvalidEntries(f"{name}: neither a list of entries nor a misp-warninglists list.json")
    entries, wrong = [], []
    for number, item in enumerate(found, 1):
        entry = _json_entry(item)
        if entry is None:
            wrong.append(f"entry {number} is {json.dumps(item)[:60]}, neither a string nor a value with its comment")
        elif entry.value.strip():
            entries.append(entry)
    _refuse(name, wrong)
    return iter(entries)


def _json_entry(item: object) -> WarninglistEntry | None:
    if isinstance(item, str):
        return WarninglistEntry(item)
    if isinstance(item, Mapping):
        value, comment = item.get("value"), item.get("comment")
        if isinstance(value, str) and isinstance(comment, str | None):
            return WarninglistEntry(value, comment or "")
    return None


def _has_header(text: str) -> bool:
    first = text.split("\n", 1)[0]
    delimiter = _delimiter(first)
    return delimiter in first and first.split(delimiter)[0].strip(' "\r').lower() in _VALUE_COLUMNS


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _read_csv(text: str, name: str, delimiter: str | None) -> Iterator[WarninglistEntry]:
    first = next((line for line in _lines(text) if line.strip() and line[0] != "#"), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(first), strict=True)
    value_at, comment_at, wide = 0, 1, False
    started = False
    entries, wrong = [], []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row) or row[0].startswith("# "):
                continue
            if not started:
                started = True
                columns = [cell.strip().lower() for cell in row]
                named = next((column for column in _VALUE_COLUMNS if column in columns), None)
                if named is not None:
                    wide = True
                    value_at = columns.index(named)
                    comment_at = columns.index("comment") if "comment" in columns else -1
                    continue
            if len(row) <= value_at or (len(row) > _COLUMNS and not wide):
                wrong.append(f"line {reader.line_num} has {len(row)} columns, not value and comment")
            elif value := row[value_at].strip():
                comment = row[comment_at].strip() if 0 <= comment_at < len(row) else ""
                entries.append(WarninglistEntry(value, comment))
    except csv.Error as error:
        raise InvalidEntries(f"{name}, line {reader.line_num}: no valid CSV ({error})") from error
    _refuse(name, wrong)
    return iter(entries)


def _refuse(name: str, wrong: Sequence[str]) -> None:
    if wrong:
        more = f"; and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise InvalidEntries(f"{name}: {'; '.join(wrong[:_TOLD])}{more}")
