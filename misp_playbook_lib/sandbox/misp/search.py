"""attributes/restSearch: a page of attributes in the format that was asked for."""

import json
import re
import sqlite3
from collections.abc import Iterable
from typing import Any

from misp_playbook_lib.sandbox.misp import rows
from misp_playbook_lib.sandbox.misp.answers import JSON, InternalError, NotFoundError
from misp_playbook_lib.sandbox.misp.filters import conditions_of, truthy
from misp_playbook_lib.sandbox.misp.matcher import Warnings
from misp_playbook_lib.sandbox.server import Response

FORMATS = {
    "json": (JSON, "json"),
    "text": ("text/plain; charset=UTF-8", "txt"),
    "count": ("text/plain; charset=UTF-8", "txt"),
}
FORMATS["csv"] = ("text/csv; charset=UTF-8", "csv")
CSV_COLUMNS = {
    "id": "a.id",
    "uuid": "a.uuid",
    "event_id": "a.event_id",
    "category": "a.category",
    "type": "a.type",
    "value": rows.VALUE,
    "comment": "a.comment",
    "to_ids": "a.to_ids",
    "timestamp": "a.timestamp",
}
ORDER = re.compile(r"(?:Attribute\.)?(id|timestamp|event_id|type|category)(?: +(asc|desc))?", re.IGNORECASE)


def rest_search(db: sqlite3.Connection, filters: dict[str, Any], warnings: Warnings) -> Response:
    """Answer a search.

    Raises:
        NotFoundError: a format that MISP does not have.
        InternalError: a limit or page that is no number, more values than a statement holds.

    """
    name = str(filters.get("returnFormat") or "json")
    if name not in FORMATS:
        raise NotFoundError("Invalid output format.")
    limited = truthy(filters.get("limit"))
    event = rows.CONTEXT if truthy(filters.get("includeContext")) else rows.EVENT
    query = _Query(db, filters, event)
    skipped = 0
    if name == "json":
        tail = rows.tail(event_uuid=truthy(filters.get("includeEventUuid")))
        if truthy(filters.get("includeWarninglistHits")) or truthy(filters.get("enforceWarninglist")):
            found = query.run(
                f"a.type AS type, {rows.VALUE} AS value, a.to_ids AS to_ids, {rows.ATTRIBUTE} AS head, {tail} AS tail"
            )
            kept = list(_warned(found, warnings, enforce=truthy(filters.get("enforceWarninglist"))))
            count, skipped = len(found), len(found) - len(kept)
            joined = ",".join(kept).encode()
        else:
            whole = f"coalesce(group_concat({rows.ATTRIBUTE} || {tail}, ','), '')"
            ((count, joined),) = query.run(f"count(*), CAST({whole} AS BLOB)")  # bytes, so that Python decodes nothing
        body = b'{"response":{"Attribute":[' + joined + b"]}}"
    elif name == "text":
        values = dict.fromkeys(row[0] for row in query.run(rows.VALUE))
        count = len(values)
        body = "".join(f"{value}\n" for value in values).encode()
    elif name == "csv":
        count, body = _csv(query, filters.get("requested_attributes"))
    else:
        count = query.run("count(*)")[0][0]
        body = str(count).encode()
    content_type, suffix = FORMATS[name]
    headers = {
        "X-Result-Count": str(count + limited),  # a page counts one more than it has
        "X-Export-Module-Used": name,
        "X-Response-Format": suffix,
        "X-Skipped-Elements-Count": str(skipped),
    }
    return Response(200, body, headers, content_type)


class _Query:
    """One search, to be asked for whatever columns the format needs."""

    def __init__(self, db: sqlite3.Connection, filters: dict[str, Any], event: str) -> None:
        self.db = db
        conditions = conditions_of(filters)
        limit = _number(filters.get("limit"))
        page = max(_number(filters.get("page")), 1)
        self.parameters = [*conditions.parameters, limit if limit > 0 else -1, limit * (page - 1) if limit > 0 else 0]
        order = ORDER.fullmatch(str(filters.get("order") or ""))
        self.parts = {
            "where": " AND ".join(conditions.sql) or "1",
            "order": f"a.{order[1].lower()} {(order[2] or 'asc').upper()}, a.id" if order else "a.id",
            "event": event,
            "inherit": "1"
            if truthy(filters.get("includeEventTags")) or truthy(filters.get("includeDecayScore"))
            else "0",
        }

    def run(self, columns: str) -> list[sqlite3.Row]:
        """Return the page's rows."""
        return self.db.execute(rows.page(columns, **self.parts), self.parameters).fetchall()


def _number(given: Any) -> int:
    if not truthy(given):
        return 0
    try:
        return int(given)
    except (TypeError, ValueError) as error:
        raise InternalError from error


def _warned(found: Iterable[sqlite3.Row], warnings: Warnings, *, enforce: bool) -> Iterable[str]:
    """Render rows with their warnings, or leave out the rows that any list matches."""
    for row in found:
        if enforce and warnings.matches(row["type"], row["value"]):
            continue
        hits = [] if enforce else warnings.of(row["type"], row["value"], to_ids=bool(row["to_ids"]))
        shown = f',"warnings":{json.dumps(hits, ensure_ascii=False)}' if hits else ""
        yield f"{row['head']}{shown}{row['tail']}"


def _csv(query: _Query, requested: Any) -> tuple[int, bytes]:
    columns = [name for name in requested or CSV_COLUMNS if name in CSV_COLUMNS]
    found = query.run(", ".join(CSV_COLUMNS[name] for name in columns))
    lines = [",".join(columns), *(",".join(_quoted(cell) for cell in row) for row in found)]
    return len(found), ("\n".join(lines) + "\n\n").encode()


def _quoted(cell: Any) -> str:
    return str(cell) if isinstance(cell, int) else '"{}"'.format(cell.replace('"', '""'))
