"""The sandbox's MISP as a service: who asks, for what, in which form; and what tests may do to it directly."""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters

import gzip
import json
import uuid as uuids
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from misp_playbook_lib.sandbox.misp import accounts
from misp_playbook_lib.sandbox.misp.accounts import Account
from misp_playbook_lib.sandbox.misp.answers import (
    HTML,
    ForbiddenError,
    MispError,
    NotAllowedError,
    RefusedError,
    error,
    redirect,
    refused,
)
from misp_playbook_lib.sandbox.misp.events import Events, insert_event, remove_event
from misp_playbook_lib.sandbox.misp.feeds import Feeds
from misp_playbook_lib.sandbox.misp.generate import fill
from misp_playbook_lib.sandbox.misp.lists import insert
from misp_playbook_lib.sandbox.misp.routes import Call, answer
from misp_playbook_lib.sandbox.misp.state import State
from misp_playbook_lib.sandbox.misp.values import load
from misp_playbook_lib.sandbox.misp.warninglists import Warninglists
from misp_playbook_lib.sandbox.server import Request, Response, Service

NO_KEY = (
    "Authentication failed. Please make sure you pass the API key of an API enabled user along in the"
    " Authorization header."
)
MALFORMED = (
    "Invalid JSON input. Make sure that the JSON input is a correctly formatted JSON string."
    " This request has been blocked to avoid an unfiltered request."
)


class Misp(Service):
    """An embedded MISP 2.5.1.

    Args:
        port: the port to take, 0 for a free one.
        data: the SQLite file that keeps its state, None for memory.
        demo: whether an empty one gets the events of the demo.
        attributes: how many attributes are generated in an empty one.
        seed: the number from which they are generated.
        default_event_distribution: MISP's setting of that name; 0, your organisation only, is that of a fresh install.

    Raises:
        OSError: the port is taken.
        sqlite3.Error: the file is no database of the sandbox.

    """

    name = "misp"
    lists: Warninglists
    events: Events
    feeds: Feeds

    def __init__(
        self,
        port: int = 0,
        data: Path | str | None = None,
        *,
        demo: bool = True,
        attributes: int = 0,
        seed: int = 1,
        default_event_distribution: int = 0,
    ) -> None:
        self.state = State(data)
        self.lists = Warninglists(self.state)
        self.events = Events(self.lists, default_event_distribution)
        self.feeds = Feeds()
        self.live = True
        """MISP.live: False is maintenance, in which only site admins are let in."""
        self._path: ContextVar[str | None] = ContextVar("path", default=None)
        self.state.deadlocks = self._deadlocks
        with self.state.write() as db:
            fresh = db.execute("SELECT 1 FROM settings").fetchone() is None
            for name in ("key", "plain_key", "readonly_key", "restricted_key", "uuid"):
                value = str(uuids.uuid4()) if name == "uuid" else accounts.new_key()
                db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, value))
            db.execute("INSERT OR IGNORE INTO organisations VALUES (1, 'ORGNAME', ?)", [str(uuids.uuid4())])
            settings: dict[str, str] = dict(db.execute("SELECT name, value FROM settings").fetchall())
        self.key = settings["key"]
        self.plain_key = settings["plain_key"]
        self.readonly_key = settings["readonly_key"]
        self.restricted_key = settings["restricted_key"]
        self.uuid = settings["uuid"]
        self._accounts = {
            account.key: account
            for account in (
                Account(self.key, accounts.ADMIN_ROLE),
                Account(self.plain_key, accounts.PLAIN_ROLE),
                Account(self.readonly_key, accounts.ADMIN_ROLE, read_only=True),
                Account(self.restricted_key, accounts.ADMIN_ROLE, elsewhere=True),
            )
        }
        if fresh:
            self.lists.update()
            if demo:
                for event in load("demo"):
                    self.add_event(**event)
            if attributes:
                fill(self.state, attributes, seed)
        super().__init__(port)

    def close(self) -> None:
        """Stop for good: what is in memory is gone."""
        self.stop()
        self.state.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    # what tests do directly

    @property
    def warning_for_all(self) -> bool:
        """MISP.warning_for_all: warnings for attributes without the IDS flag too."""
        return self.lists.warning_for_all

    @warning_for_all.setter
    def warning_for_all(self, value: bool) -> None:
        self.lists.warning_for_all = value

    def add_event(
        self,
        info: str,
        attributes: Iterable[dict[str, Any]] = (),
        tags: Iterable[str] = (),
        *,
        published: bool = True,
        id: int | None = None,  # noqa: A002 - MISP's word
        org: str = "ORGNAME",
        **fields: Any,
    ) -> int:
        """Add an event and return its id.

        Args:
            info: its title.
            attributes: each with `type` and `value`, and whatever else of MISP's fields; `tags` by name.
            tags: names of tags of the event.
            published: whether it is published.
            id: its id, None for the next free one.
            org: the name of the organisation that created it.
            fields: `date`, `timestamp`, `distribution`, … of MISP's event.

        Raises:
            RefusedError: what MISP would not save.

        """
        inside = [{**one, "Tag": [{"name": name} for name in one.get("tags", ())]} for one in attributes]
        given = {
            "info": info,
            "published": published,
            "distribution": self.events.default_distribution,
            "Attribute": inside,
            "Tag": [{"name": name} for name in tags],
        }
        with self.state.write() as db:
            db.execute("INSERT OR IGNORE INTO organisations (name, uuid) VALUES (?, ?)", (org, str(uuids.uuid4())))
            (org_id,) = db.execute("SELECT id FROM organisations WHERE name = ?", [org]).fetchone()
            return insert_event(db, given | fields, event_id=id, org_id=org_id)

    def remove_event(self, event_id: int) -> None:
        """Take an event away."""
        with self.state.write() as db:
            remove_event(db, event_id)

    def add_warninglist(
        self,
        name: str,
        type: str = "string",  # noqa: A002 - MISP's word
        category: str = "false_positive",
        entries: Iterable[tuple[str, str | None]] = (),
        matching_attributes: Sequence[str] = ("ALL",),
        *,
        enabled: bool = True,
        default: bool = False,
        description: str = "",
        version: int = 1,
    ) -> int:
        """Add a warninglist and return its id.

        `entries` are values with comments; `default` makes it a built-in list.
        """
        row = {
            "name": name,
            "type": type,
            "category": category,
            "enabled": enabled,
            "builtin": default,
            "version": version,
        }
        with self.state.write() as db:
            list_id = insert(db, row | {"description": description or name}, entries, matching_attributes)
        self.lists.regenerate(list_id)
        return list_id

    def add_feed(self, name: str, values: Iterable[str]) -> int:
        """Add a cached feed and return its id."""
        feed_id = len(self.feeds.names) + 1
        self.feeds.names[feed_id] = name
        self.feeds.values[feed_id] = frozenset(value.lower() for value in values)
        return feed_id

    def warninglist(self, id_or_name: int | str) -> dict[str, Any] | None:
        """Return a list as it is kept, None where there is none.

        `entries` are values with comments in order; `matching_attributes` the types.
        """
        column = "id" if isinstance(id_or_name, int) else "name"
        with self.state.read() as db:
            row = db.execute(f"SELECT * FROM warninglists WHERE {column} = ?", [id_or_name]).fetchone()
            if row is None:
                return None
            its = "WHERE warninglist_id = ? ORDER BY id"
            entries = db.execute(f"SELECT value, comment FROM warninglist_entries {its}", row[:1]).fetchall()
            types = db.execute(f"SELECT type FROM warninglist_types {its}", row[:1]).fetchall()
        found = dict(row)
        found["default"] = bool(found.pop("builtin"))
        found["enabled"] = bool(found["enabled"])
        return found | {"entries": [tuple(e) for e in entries], "matching_attributes": [kind for (kind,) in types]}

    # what callers ask

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self._path.set(request.path)
        path, suffix = _suffix(request.route)
        parts = [part for part in path.split("/") if part]
        controller = parts[0] if parts else ""
        action = parts[1] if len(parts) > 1 else "index"
        accepted = suffix or _accepted(request)
        if not accepted and action != "restSearch":
            return redirect(f"{self.url}/users/login")
        try:
            account = self._account(request)
            if not self.live and not account.admin:
                return redirect(f"{self.url}/users/login")
            call = Call(
                account=account,
                method=request.method,
                arguments=tuple(part for part in parts[2:] if ":" not in part),
                named=dict(part.split(":", 1) for part in parts[2:] if ":" in part),
                body=_body(request) if request.method != "GET" else None,
                csv=accepted == "csv",
            )
            return answer(self, controller, action, call)
        except MispError as problem:
            if not accepted:
                return Response(problem.status, f"<!DOCTYPE html>\n<h2>{problem.words}</h2>\n", {}, HTML)
            return error(problem, request.route)
        except RefusedError as problem:
            return refused(problem)

    def _deadlocks(self) -> bool:
        path = self._path.get()
        return path is not None and self.faults.take(path, deadlock=True) is not None

    def _account(self, request: Request) -> Account:
        account = self._accounts.get(request.headers.get("authorization", "").strip())
        if account is None:
            raise ForbiddenError(NO_KEY)
        if account.elsewhere:
            raise ForbiddenError("It is not possible to use this Auth key from your IP address")
        return account


def _suffix(route: str) -> tuple[str, str]:
    """Split the path and the format that its ending asks for."""
    for suffix in ("json", "csv"):
        if route.endswith(f".{suffix}"):
            return route.removesuffix(f".{suffix}"), suffix
    return route, ""


def _accepted(request: Request) -> str:
    """Return the format that the Accept header prefers, "" where it is none of the API's."""
    preferred = request.headers.get("accept", "").split(",")[0].split(";")[0].strip()
    return {"application/json": "json", "text/csv": "csv"}.get(preferred, "")


def _body(request: Request) -> Any:
    """Read the body: JSON or a form by its Content-Type; whatever else is ignored.

    Raises:
        NotAllowedError: JSON that is none.

    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip()
    packed = request.headers.get("content-encoding") == "gzip"
    body = gzip.decompress(request.body) if packed else request.body
    if content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if content_type != "application/json" or not body:
        return {}
    try:
        return json.loads(body)
    except ValueError as problem:
        raise NotAllowedError(MALFORMED) from problem
