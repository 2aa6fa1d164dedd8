"""The MISP server, through PyMISP: what is asked of it, and its answers as values."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

from misp_playbook_lib.clients import http
from misp_playbook_lib.clients.deadline import uncut
from misp_playbook_lib.clients.failures import Failure, failed
from misp_playbook_lib.clients.misp_attributes import SEARCH, SERVICE, Row, rows
from misp_playbook_lib.clients.misp_attributes import unexpected as _unexpected
from misp_playbook_lib.clients.misp_connection import connect
from misp_playbook_lib.errors import PermissionDenied, RequestRejected, UnexpectedResponse, WarninglistError
from misp_playbook_lib.model.modules import MispServer
from misp_playbook_lib.model.values import EventAttribute
from misp_playbook_lib.model.warninglist import (
    Warninglist,
    WarninglistCategory,
    WarninglistEntry,
    WarninglistRow,
    WarninglistType,
)
from misp_playbook_lib.settings import Settings


class MispClient:
    """Asks one MISP server.

    Args:
        settings: where it is and with which key.

    Raises:
        ServiceError: it cannot be reached, or does not accept the key.

    """

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("pymisp").setLevel(logging.CRITICAL + 1)  # it logs whole requests; we raise instead
        self.pymisp = http.reading(lambda: connect(settings))
        self.server = self._server(settings)

    def _server(self, settings: Settings) -> MispServer:
        version = self._get("servers/getVersion")
        me = self._get("users/view/me")
        try:
            return MispServer(
                url=settings.misp_url,
                version=str(version["version"]),
                user=str(me["User"]["email"]),
                organisation=str(me.get("Organisation", {}).get("name", "")),
                role=str(me["Role"]["name"]),
                may_edit_warninglists=bool(me["Role"].get("perm_warninglist")),
                verified=settings.misp_verifycert is not False,
                sandbox=settings.sandbox,
            )
        except (KeyError, TypeError) as error:
            raise _unexpected("users/view/me") from error

    def warninglists(self) -> tuple[WarninglistRow, ...]:
        """Return every list of the server, without entries (GET warninglists/index)."""
        answer = self._get("warninglists/index")
        try:
            rows = [row["Warninglist"] for row in answer["Warninglists"]]
            return tuple(
                WarninglistRow(
                    id=int(row["id"]),
                    name=str(row["name"]),
                    type=str(row["type"]),
                    category=str(row["category"]),
                    entry_count=int(row["warninglist_entry_count"] or 0),
                    version=int(row["version"]),
                    enabled=bool(row["enabled"]),
                    default=bool(row["default"]),
                )
                for row in rows
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unexpected("warninglists/index") from error

    def warninglist(self, list_id: int) -> Warninglist:
        """Return a list with its entries in MISP's order (GET warninglists/view/<id>).

        Raises:
            WarninglistError: there is no such list.
            ServiceError: it could not be asked.

        """
        found = self.find_warninglist(list_id)
        if found is None:
            raise WarninglistError(
                f"There is no warninglist with the ID {list_id} on {self.server.url}: "
                "check warninglist_id, or give a warninglist_name instead."
            )
        return found

    def find_warninglist(self, list_id: int) -> Warninglist | None:
        """Return a list as `warninglist` does, None where MISP answers 404.

        Raises:
            ServiceError: it could not be asked.

        """
        try:
            answer = self._get(f"warninglists/view/{list_id}")
        except RequestRejected as error:
            if error.status == requests.codes.not_found:
                return None
            raise
        return parse_warninglist(answer)

    def add_warninglist(self, fields: Mapping[str, Any]) -> int:
        """Create a list and return its ID (POST warninglists/add)."""
        return _list_id(self._write("warninglists/add", fields))

    def edit_warninglist(self, list_id: int, fields: Mapping[str, Any]) -> int:
        """Change the fields given, keep what is omitted, and return the version (POST warninglists/edit/<id>)."""
        operation = f"warninglists/edit/{list_id}"
        answer = self._write(operation, fields)
        try:
            return int(answer["Warninglist"]["version"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unexpected(operation) from error

    def set_warninglist_enabled(self, list_id: int, *, enabled: bool) -> None:
        """Enable or disable a list (POST warninglists/toggleEnable: always 200, and `saved` says what happened)."""
        operation = "warninglists/toggleEnable"
        with uncut():  # it may be repeated as a read may: it says what is to be, not what to change
            answer = self._read(operation, {"id": [str(list_id)], "enabled": enabled})
        if not isinstance(answer, dict) or answer.get("saved") is not True:
            words = str(answer.get("errors", "")) if isinstance(answer, dict) else ""
            raise failed(Failure.REFUSED, SERVICE, operation, words or "saved is not true", status=200)

    def delete_warninglist(self, list_id: int) -> None:
        """Ask for a list's deletion (POST warninglists/delete/<id>, a redirect whether or not it was there).

        The answer says nothing: only `warninglist` tells whether the list is gone.
        """
        try:
            http.writing(lambda: self.pymisp.direct_call(f"warninglists/delete/{list_id}", {}))
        except UnexpectedResponse as error:
            if error.status != requests.codes.found:
                raise

    def attributes(self, filters: Mapping[str, Any]) -> list[Row]:
        """Return the attributes that `filters` let through (POST attributes/restSearch); safe to call in threads."""
        return http.reading(lambda: rows(self.pymisp.search_attributes({**filters, "returnFormat": "json"})))

    def count_attributes(self, filters: Mapping[str, Any]) -> int:
        """Count the attributes that `filters` let through."""
        unlimited = {name: value for name, value in filters.items() if name not in {"limit", "page"}}
        try:
            return int(self._read(SEARCH, {**unlimited, "returnFormat": "count"}))
        except (TypeError, ValueError) as error:
            raise _unexpected(SEARCH) from error

    def warning_for_all(self) -> bool | None:
        """Return MISP.warning_for_all, by which MISP warns without to_ids too; None: only a site admin may read it."""
        try:
            return bool(self._get("servers/getSetting/MISP.warning_for_all")["value"])
        except (PermissionDenied, RequestRejected):
            return None
        except (KeyError, TypeError) as error:
            raise _unexpected("servers/getSetting") from error

    def server_time(self) -> float:
        """Return the time by the server's clock, as its latest answer told it, in seconds since 1970."""
        return time.time() + self.pymisp.ahead

    @property
    def attribute_types(self) -> frozenset[str]:
        """The attribute types that the server knows (attributes/describeTypes, asked by PyMISP's constructor)."""
        return frozenset(self.pymisp.types)

    def listed(self, values: Sequence[str]) -> dict[str, list[dict[str, str]]]:
        """Return the enabled lists that hold a value, by value (POST warninglists/checkValue; no hit is `[]`)."""
        operation = "warninglists/checkValue"
        answer = self._read(operation, [*values]) if values else {}
        found = {} if answer == [] else answer
        if not isinstance(found, dict) or not all(map(_is_rows, found.values())):
            raise _unexpected(operation)
        return found

    def event_attributes(self, event: str) -> tuple[EventAttribute, ...]:
        """Return an event's attributes, those of its objects included (GET events/view/<ID or UUID>).

        Raises:
            WarninglistError: there is no such event, or it may not be seen.
            ServiceError: it could not be asked.

        """
        path = f"events/view/{quote(event, safe='')}"
        try:
            answer = self._get(path)
        except RequestRejected as error:
            if error.status == requests.codes.not_found:
                raise WarninglistError(
                    f"There is no event {event} on {self.server.url}: check warninglist_values_event."
                ) from None
            raise
        try:
            found = answer["Event"]
            objects = (row for one in found.get("Object", ()) for row in one.get("Attribute", ()))
            return tuple(
                EventAttribute(
                    type=str(row["type"]),
                    value=str(row["value"]),
                    to_ids=bool(row["to_ids"]),
                    comment=str(row.get("comment") or ""),
                    uuid=str(row.get("uuid") or ""),
                )
                for row in (*found.get("Attribute", ()), *objects)
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise _unexpected(path) from error

    def require_warninglist_permission(self) -> None:
        """Refuse before asking where the user's role lacks perm_warninglist.

        Raises:
            PermissionDenied: naming the user, its role and what to ask for.

        """
        if not self.server.may_edit_warninglists:
            raise PermissionDenied(
                f"{self.server.user} (role {self.server.role}) may not edit warninglists; "
                "ask an administrator for a role with the permission Warninglist Editor",
                service=SERVICE,
                operation="warninglists/edit",
            )

    def _get(self, path: str) -> Any:
        return http.reading(lambda: self.pymisp.direct_call(path))

    def _read(self, path: str, data: Any) -> Any:
        return http.reading(lambda: self.pymisp.direct_call(path, data))

    def _write(self, path: str, fields: Mapping[str, Any]) -> Any:
        return http.writing(lambda: self.pymisp.direct_call(path, {"Warninglist": dict(fields)}))


def parse_warninglist(answer: Any) -> Warninglist:
    """Read a list from either of MISP's shapes: `view` nests entries and types, `edit` has them beside.

    Raises:
        UnexpectedResponse: it is neither.

    """
    try:
        row = answer["Warninglist"]
        entries = row.get("WarninglistEntry", answer.get("WarninglistEntry", ()))
        types = row.get("WarninglistType", answer.get("WarninglistType", ()))
        return Warninglist(
            id=int(row["id"]),
            name=str(row["name"]),
            description=str(row["description"]),
            type=WarninglistType(row["type"]),
            category=WarninglistCategory(row["category"]),
            matching_attributes=tuple(str(one["type"]) for one in types),
            entries=tuple(WarninglistEntry(str(one["value"]), str(one.get("comment") or "")) for one in entries),
            version=int(row["version"]),
            enabled=bool(row["enabled"]),
            default=bool(row["default"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unexpected("warninglists/view") from error


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _list_id(answer: Any) -> int:
    try:
        return int(answer["Warninglist"]["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise _unexpected("warninglists") from error
