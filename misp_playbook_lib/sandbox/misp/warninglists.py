"""The warninglists of the sandbox's MISP: every endpoint, and the cache that MISP checks values against.

Rules from MISP 2.5's WarninglistsController and Warninglist, and from what a server answered.
"""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters

import json
import sqlite3
import threading
from typing import Any

from misp_playbook_lib.sandbox.misp.answers import (
    BadRequestError,
    InternalError,
    NotFoundError,
    RefusedError,
    ok,
    redirect,
    saved,
)
from misp_playbook_lib.sandbox.misp.entries import (
    PHP_BLANKS,
    parse_entries,
    parse_types,
    problems,
    stored_entries,
)
from misp_playbook_lib.sandbox.misp.filters import like, text, truthy
from misp_playbook_lib.sandbox.misp.lists import (
    counted,
    csv_lines,
    entries_of,
    find,
    insert,
    name_taken,
    rendered_entries,
    rendered_types,
    replace,
    shown,
    types_of,
)
from misp_playbook_lib.sandbox.misp.matcher import EnabledList, Entries, Warnings, lower_ascii
from misp_playbook_lib.sandbox.misp.state import State
from misp_playbook_lib.sandbox.misp.values import load
from misp_playbook_lib.sandbox.server import Response

EDITABLE = ("name", "description", "type", "category", "entries", "matching_attributes")


class Warninglists:
    """The endpoints of one MISP's warninglists.

    Args:
        state: where the lists are kept; the built-in lists are added to an empty one.

    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.warning_for_all = False
        self.told: set[tuple[str, str]] = set()
        """Types and values whose warnings an event's view has already shown since the lists last changed."""
        self._caching = threading.Lock()
        self._enabled: list[EnabledList] | None = None

    def warnings(self) -> Warnings:
        """Return what the cache knows of the enabled lists."""
        if self._enabled is None:
            self.regenerate()
        return Warnings(self._enabled or (), self.warning_for_all)

    def regenerate(self, *ids: int) -> None:
        """Read the enabled lists again, and the entries of those with `ids` or of all; MISP does so after every write.

        A deletion is no write here: a deleted list that was enabled stays in the cache until the next one.
        """
        with self._caching, self.state.read() as db:
            enabled = db.execute("SELECT * FROM warninglists WHERE enabled ORDER BY id").fetchall()
            known = {one.id: one.entries for one in self._enabled or () if ids and one.id not in ids}
            self._enabled = [self._cached(db, row, known.get(row["id"])) for row in enabled]
        self.told.clear()

    @staticmethod
    def _cached(db: sqlite3.Connection, row: sqlite3.Row, entries: Entries | None) -> EnabledList:
        if entries is None:
            values = db.execute("SELECT value FROM warninglist_entries WHERE warninglist_id = ? ORDER BY id", row[:1])
            entries = Entries(row["type"], (value for (value,) in values))
        kinds = db.execute("SELECT type FROM warninglist_types WHERE warninglist_id = ?", row[:1])
        return EnabledList(row["id"], row["name"], row["category"], frozenset(kind for (kind,) in kinds), entries)

    def index(self, filters: dict[str, Any]) -> Response:
        """List the lists; `value` searches name and description, and is a type."""
        where, parameters = ["1"], list[Any]()
        if truthy(filters.get("value")):
            wanted = lower_ascii(text(filters["value"]))
            where.append(f"({like('lower_text(name)')} OR {like('lower_text(description)')} OR type = ?)")
            parameters += [f"%{wanted}%", f"%{wanted}%", wanted]
        if filters.get("enabled") is not None:
            where.append("enabled = ?")
            parameters.append(truthy(filters["enabled"]))
        with self.state.read() as db:
            found = db.execute(f"SELECT * FROM warninglists WHERE {' AND '.join(where)} ORDER BY id DESC", parameters)
            return ok({"Warninglists": [{"Warninglist": shown(row) | counted(db, row["id"])} for row in found]})

    def view(self, given: str | None, *, csv: bool) -> Response:
        """Show one list with its entries and types, or its entries alone as CSV.

        Raises:
            InternalError: no id.
            NotFoundError: no such list.

        """
        if given is None:
            raise InternalError
        if not given.isdecimal():
            raise NotFoundError("Invalid ID.")
        with self.state.read() as db:
            row = find(db, given, "Warninglist not found.")
            if csv:
                return Response(200, csv_lines(db, row["id"]), {}, "text/csv; charset=UTF-8")
            head = json.dumps(shown(row), ensure_ascii=False)[:-1]
            entries, types = rendered_entries(db, row["id"]), rendered_types(db, row["id"])
            body = f'{{"Warninglist":{head},"WarninglistEntry":{entries},"WarninglistType":{types}}}}}'
            return ok(body.encode("utf-8", "surrogatepass"))

    def add(self, body: Any) -> Response:
        """Save a list.

        Raises:
            RefusedError: what MISP validates.
            InternalError: what it does not: a missing name, values that the columns cannot hold.

        """
        given = body if isinstance(body, dict) else {}
        fields = given["Warninglist"] if truthy(given.get("Warninglist")) else given
        wrapped = given if fields is not given else {}
        entries = parse_entries(fields["entries"]) if fields.get("entries") is not None else None
        if entries is None:
            entries = [part for part in wrapped.get("WarninglistEntry") or [] if "value" in part]
        types = fields.get("matching_attributes")
        if types is None:
            types = [part.get("type") for part in wrapped.get("WarninglistType") or []]
        kinds = ["ALL"] if types == [] else parse_types(types)
        with self.state.write() as db:
            found = problems(fields, entries, name_taken=name_taken(db, fields.get("name"), 0))
            if found:
                raise RefusedError("Could not add warninglist", "/warninglists/add", found)
            if fields.get("name") is None or fields.get("description") is None:
                raise InternalError
            row = {
                "name": text(fields["name"]),
                "type": fields.get("type", "string"),
                "description": text(fields["description"]),
                "version": int(float(fields.get("version", 1))),
                "enabled": truthy(fields.get("enabled")),
                "builtin": False,
                "category": fields.get("category", "false_positive"),
            }
            list_id = insert(db, row, stored_entries(entries), kinds)
        self.regenerate(list_id)
        return ok({"Warninglist": shown({"id": list_id, **row})})

    def edit(self, given: str | None, body: Any) -> Response:
        """Change what is given of a list, keep the rest, raise its version.

        Raises:
            InternalError: no id, or values that the columns cannot hold.
            NotFoundError: no such list, or a built-in one.
            RefusedError: what MISP validates.

        """
        if given is None or not given.isdecimal():
            raise InternalError
        offered = body if isinstance(body, dict) else {}
        offered = offered["Warninglist"] if truthy(offered.get("Warninglist")) else offered
        fields = {name: offered[name] for name in EDITABLE if offered.get(name) is not None}
        kinds = parse_types(fields["matching_attributes"]) if "matching_attributes" in fields else None
        with self.state.write() as db:
            row = dict(find(db, given, "Invalid Warninglist.", "AND NOT builtin"))
            entries = parse_entries(fields["entries"]) if "entries" in fields else entries_of(db, row["id"])
            changed = row | {name: fields[name] for name in EDITABLE[:4] if name in fields}
            found = problems(changed, entries, name_taken=name_taken(db, fields.get("name"), row["id"]))
            if found:
                raise RefusedError("Could not edit warninglist", "/warninglists/edit", found)
            changed |= {name: text(changed[name]) for name in ("name", "description")}
            changed["version"] = row["version"] + 1
            types = types_of(db, row["id"]) if kinds is None else [{"type": kind} for kind in kinds]
            replace(db, changed, stored_entries(entries), kinds)
        self.regenerate(row["id"])
        told = shown(changed) | {"version": changed["version"]}
        if "matching_attributes" in fields:
            told["matching_attributes"] = fields["matching_attributes"]
        return ok({"Warninglist": told, "WarninglistEntry": entries, "WarninglistType": types})

    def toggle(self, body: Any) -> Response:
        """Enable, disable or turn over lists by id or by name."""
        given = body if isinstance(body, dict) else {}
        with self.state.write() as db:
            ids: list[str] = []
            if truthy(given.get("id")):
                ids = [text(one) for one in (given["id"] if isinstance(given["id"], list) else [given["id"]])]
            elif truthy(given.get("name")):
                names = given["name"] if isinstance(given["name"], list) else [given["name"]]
                where = " OR ".join([like("lower_text(name)")] * len(names))
                patterns = [lower_ascii(text(name)) for name in names]
                ids = [str(one) for (one,) in db.execute(f"SELECT id FROM warninglists WHERE {where}", patterns)]
            if not ids:
                return ok({"saved": False, "errors": "Warninglist not found."})
            found = "SELECT id, enabled FROM warninglists WHERE CAST(id AS TEXT) IN (SELECT value FROM json_each(?))"
            lists = db.execute(found, [json.dumps(ids)]).fetchall()
            if not lists:
                return ok({"saved": False, "errors": "Warninglist(s) not found."})
            wanted = given.get("enabled")
            for row in lists:
                enabled = not row["enabled"] if wanted is None else truthy(wanted)
                db.execute("UPDATE warninglists SET enabled = ? WHERE id = ?", (enabled, row["id"]))
            words = "toggled" if wanted is None and len(lists) > 1 else "enabled" if enabled else "disabled"
        self.regenerate(*(row["id"] for row in lists))
        return ok({"saved": True, "success": f"{len(lists)} warninglist(s) {words}"})

    def check(self, body: Any) -> Response:
        """Say which enabled lists hold which values.

        Raises:
            NotFoundError: nothing was asked.
            InternalError: a value that is a list.

        """
        if not truthy(body):
            raise NotFoundError("No valid data received.")
        data = body.get("Warninglist", body) if isinstance(body, dict) else body
        data = data.get("[]", data) if isinstance(data, dict) else data
        asked = data.values() if isinstance(data, dict) else data if isinstance(data, list) else [data]
        hits: dict[str, list[dict[str, str]]] = {}
        warnings = self.warnings()
        for one in asked:
            if isinstance(one, list | dict):
                raise InternalError
            value = text(one).strip(PHP_BLANKS)
            found = warnings.check(value)
            if found:
                hits.setdefault(value, []).extend(found)
        return ok(hits or [])

    def delete(self, given: str | None, address: str) -> Response:
        """Delete a list, built-in or not, and say nothing; the cache keeps an enabled one.

        Raises:
            InternalError: no id.

        """
        if given is None:
            raise InternalError
        with self.state.write() as db:
            for table, column in (("entries", "warninglist_id"), ("types", "warninglist_id")):
                db.execute(f"DELETE FROM warninglist_{table} WHERE {column} = ?", [given])
            db.execute("DELETE FROM warninglists WHERE id = ?", [given])
        return redirect(address, "application/json; charset=UTF-8")

    def export(self, given: str | None) -> Response:
        """Show a list without comments and category.

        Raises:
            NotFoundError: no such list.

        """
        with self.state.read() as db:
            row = find(db, given or "0", "Warninglist not found.")
            return ok(
                {
                    "name": row["name"],
                    "type": row["type"],
                    "version": str(row["version"]),
                    "description": row["description"],
                    "matching_attributes": [part["type"] for part in types_of(db, row["id"])],
                    "list": [part["value"] for part in entries_of(db, row["id"])],
                }
            )

    def import_list(self, body: Any) -> Response:
        """Take an exported list, over a custom one of the same name where there is one; entries are not validated.

        Raises:
            BadRequestError: a missing field.
            RefusedError: a built-in list's name, an unknown type.

        """
        if not truthy(body):
            raise BadRequestError("No valid data received.")
        for name in ("name", "type", "version", "description", "matching_attributes", "list"):
            if not isinstance(body, dict) or body.get(name) is None:
                raise BadRequestError(f"No valid data received: field `{name}` is missing.")
        if not isinstance(body["list"], list | dict):
            raise BadRequestError("No valid data received: `list` field is not array")
        pairs = body["list"].items() if isinstance(body["list"], dict) else ((value, None) for value in body["list"])
        entries = [
            (text(value), None if comment is None else text(comment)) for value, comment in pairs if truthy(value)
        ]
        with self.state.write() as db:
            row = db.execute("SELECT * FROM warninglists WHERE name = ?", [text(body["name"])]).fetchone()
            if row is not None and row["builtin"]:
                raise RefusedError(
                    "Could not import Warninglist",
                    "/warninglists/import",
                    "It is not possible to modify default warninglist.",
                )
            fields = {name: body[name] for name in ("name", "type", "version", "description")}
            found = problems(fields, None, name_taken=False)
            if found:
                words = json.dumps(found, separators=(",", ":"))
                words = f"Could not save warninglist because of validation errors: {words}"
                raise RefusedError("Could not import Warninglist", "/warninglists/import", words)
            new = {"enabled": False, "builtin": False, "category": "false_positive"}
            changed = (dict(row) if row is not None else new) | fields | {"version": int(float(fields["version"]))}
            kinds = parse_types(body["matching_attributes"]) if truthy(body["matching_attributes"]) else ["ALL"]
            if row is None:
                list_id = insert(db, changed, entries, kinds)
            else:
                list_id = int(row["id"])
                replace(db, changed, entries, kinds)
        self.regenerate(list_id)
        return saved("Warninglist imported", f"/warninglists/import/{list_id}", id=list_id)

    def update(self) -> Response:
        """Bring back the built-in lists that are missing, each with a new id."""
        with self.state.write() as db:
            there = {name for (name,) in db.execute("SELECT name FROM warninglists WHERE builtin")}
            missing = [one for one in load("warninglists") if one["name"] not in there]
            for one in missing:
                fields = {"enabled": False, "builtin": True, "category": "false_positive"}
                insert(db, one | fields, ((value, None) for value in one["list"]), one["matching_attributes"])
        if not missing:
            return saved("All warninglists are up to date already.", "/warninglists/update")
        self.regenerate()
        return saved(f"Successfully updated {len(missing)} warninglists.", "/warninglists/update")
