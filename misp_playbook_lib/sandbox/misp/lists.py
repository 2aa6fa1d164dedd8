"""How warninglists are kept in the database, and how one is shown."""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from misp_playbook_lib.sandbox.misp import rows
from misp_playbook_lib.sandbox.misp.answers import InternalError, NotFoundError
from misp_playbook_lib.sandbox.misp.entries import MAX_NAME, check_column
from misp_playbook_lib.sandbox.misp.filters import text


def insert(
    db: sqlite3.Connection, row: dict[str, Any], entries: Iterable[tuple[str, str | None]], kinds: Iterable[str]
) -> int:
    """Save a list and return its id; `entries` are values with comments.

    Raises:
        InternalError: a name or description that the columns cannot hold.

    """
    _check_row(row)
    columns = "(name, type, description, version, enabled, builtin, category)"
    values = "(:name, :type, :description, :version, :enabled, :builtin, :category)"
    list_id = db.execute(f"INSERT INTO warninglists {columns} VALUES {values}", row).lastrowid
    _fill(db, list_id, entries)
    _fill_types(db, list_id, kinds)
    return int(list_id or 0)


def replace(
    db: sqlite3.Connection,
    row: dict[str, Any],
    entries: Iterable[tuple[str, str | None]],
    kinds: Iterable[str] | None,
) -> None:
    """Save a list anew under its id; its entries get ids of their own again, its types only where they are given."""
    _check_row(row)
    columns = ("name", "type", "description", "version", "category")
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    db.execute(f"UPDATE warninglists SET {changes} WHERE id = :id", row)
    db.execute("DELETE FROM warninglist_entries WHERE warninglist_id = :id", row)
    _fill(db, row["id"], entries)
    if kinds is not None:
        db.execute("DELETE FROM warninglist_types WHERE warninglist_id = :id", row)
        _fill_types(db, row["id"], kinds)


def _check_row(row: dict[str, Any]) -> None:
    check_column(row["name"])
    check_column(row["description"])
    if len(row["name"]) > MAX_NAME:
        raise InternalError


def _fill(db: sqlite3.Connection, list_id: int | None, entries: Iterable[tuple[str, str | None]]) -> None:
    statement = "INSERT INTO warninglist_entries (warninglist_id, value, comment) VALUES (?, ?, ?)"
    db.executemany(statement, ((list_id, value, comment) for value, comment in entries))


def _fill_types(db: sqlite3.Connection, list_id: int | None, kinds: Iterable[str]) -> None:
    db.executemany("INSERT INTO warninglist_types (warninglist_id, type) VALUES (?, ?)", ((list_id, k) for k in kinds))


def find(db: sqlite3.Connection, given: str, words: str, more: str = "") -> sqlite3.Row:
    """Find a list by id; `more` is a further condition.

    Raises:
        NotFoundError: there is none; `words` say so.

    """
    row: sqlite3.Row | None = db.execute(f"SELECT * FROM warninglists WHERE id = ? {more}", [given]).fetchone()
    if row is None:
        raise NotFoundError(words)
    return row


def name_taken(db: sqlite3.Connection, name: Any, own: int) -> bool:
    """Say whether another list has the name; MySQL's comparison ignores trailing spaces, not case."""
    other = "SELECT 1 FROM warninglists WHERE rtrim(name, ' ') = rtrim(?, ' ') AND id != ?"
    return name is not None and db.execute(other, (text(name), own)).fetchone() is not None


def shown(row: Any) -> dict[str, Any]:
    """Return a list's own fields as the API shows them."""
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "type": row["type"],
        "description": row["description"],
        "version": str(row["version"]),
        "enabled": bool(row["enabled"]),
        "default": bool(row["builtin"]),
        "category": row["category"],
    }


def counted(db: sqlite3.Connection, list_id: int) -> dict[str, str]:
    """Return what the index adds: how many entries, and the types in one text."""
    (count,) = db.execute("SELECT count(*) FROM warninglist_entries WHERE warninglist_id = ?", [list_id]).fetchone()
    kinds = ", ".join(part["type"] for part in types_of(db, list_id))
    return {"warninglist_entry_count": str(count), "valid_attributes": kinds}


def _rendered(shape: str, table: str) -> str:
    rows_in_order = f"SELECT * FROM {table} WHERE warninglist_id = ? ORDER BY id"
    return f"SELECT '[' || coalesce(group_concat({shape}, ','), '') || ']' FROM ({rows_in_order})"


def rendered_entries(db: sqlite3.Connection, list_id: int) -> str:
    """Return a list's entries as JSON."""
    return str(db.execute(_rendered(rows.ENTRY, "warninglist_entries"), [list_id]).fetchone()[0])


def rendered_types(db: sqlite3.Connection, list_id: int) -> str:
    """Return a list's types as JSON."""
    return str(db.execute(_rendered(rows.TYPE, "warninglist_types"), [list_id]).fetchone()[0])


def entries_of(db: sqlite3.Connection, list_id: int) -> list[dict[str, Any]]:
    """Return a list's entries as view shows them."""
    found: list[dict[str, Any]] = json.loads(rendered_entries(db, list_id))
    return found


def types_of(db: sqlite3.Connection, list_id: int) -> list[dict[str, Any]]:
    """Return a list's types as view shows them."""
    found: list[dict[str, Any]] = json.loads(rendered_types(db, list_id))
    return found


def csv_lines(db: sqlite3.Connection, list_id: int) -> str:
    """Return a list's entries line by line, each with its comment after a semicolon."""
    lines = (f"{e['value']};{e['comment']}" if e["comment"] else e["value"] for e in entries_of(db, list_id))
    return "\n".join(lines)
