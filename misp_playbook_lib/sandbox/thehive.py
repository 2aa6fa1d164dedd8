"""A TheHive 5 with one organisation and one user, as far as an alert needs it.

Shapes after the client of TheHive's makers (thehive4py 2.1.0) and TheHive 4's source (AlertSrv.scala: the words of
a repeated alert; StatusCtrl.scala). TheHive 5 is closed: its limits are those of its API documentation and of
reports by others, named beside the constants; its words for a broken limit are put together from such reports.
Of the query language it knows listAlert and getAlert with observables, filter, page and count.
"""

import itertools
import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from misp_playbook_lib.sandbox.server import Request, Response, Service

KEY = "sandbox-thehive-key-0000"
USER = "playbook@sandbox.example"
ORGANISATION = "sandbox"
VERSION = "5.4.0-1"

MAX_LENGTHS = {
    "type": 32,  # also github.com/SEKOIA-IO/automation-library/pull/511
    "source": 64,
    "sourceRef": 128,  # also github.com/LetMeR00t/TA-thehive-cortex/issues/70
    "title": 512,
    "description": 1_048_576,
    "summary": 1_048_576,
    "externalLink": 512,
}
"""The longest value of each text of an alert in characters (docs.strangebee.com/thehive/api-docs, Create Alert)."""
REQUIRED = ("type", "source", "sourceRef", "title", "description")
MAX_TAG = 128  # github.com/LetMeR00t/TA-thehive-cortex/pull/119
MAX_DATA_TYPE = 64
MAX_OBSERVABLE = 4_096  # github.com/TheHive-Project/TheHive4py/issues/329
NUMBERS = {"severity": (1, 4), "tlp": (0, 4), "pap": (0, 3)}
"""The lowest and highest value of each number of an alert; TLP 3 is AMBER+STRICT, 4 is RED."""
DEFAULTS = {"severity": 2, "tlp": 2, "pap": 2}
LABELS = {
    "severity": {1: "LOW", 2: "MEDIUM", 3: "HIGH", 4: "CRITICAL"},
    "tlp": {0: "CLEAR", 1: "GREEN", 2: "AMBER", 3: "AMBER+STRICT", 4: "RED"},
    "pap": {0: "CLEAR", 1: "GREEN", 2: "AMBER", 3: "RED"},
}
DATA_TYPES = frozenset(
    {"autonomous-system", "domain", "file", "filename", "fqdn", "hash", "hostname", "ip", "mail"}
) | {
    *("mail-subject", "other", "regexp", "registry", "uri_path", "url", "user-agent"),
}
"""The types of observables that TheHive starts with; an observable of another type vanishes without a word."""


class _RefusedError(Exception):
    """TheHive refuses; the arguments are the HTTP status, its type of error and its words."""


class TheHive(Service):
    """TheHive on loopback; `alerts` has the alerts it took, `observables` those of an alert by its `_id`.

    Args:
        port: the port to take, 0 for a free one.

    Raises:
        OSError: the port is taken.

    """

    name = "thehive"

    def __init__(self, port: int = 0) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.observables: dict[str, list[dict[str, Any]]] = {}
        self._ids = itertools.count(32_912, 8_192)
        self._writing = threading.Lock()
        super().__init__(port)

    def handle(self, request: Request) -> Response:
        """Answer the alert, query, status and user endpoints of /api/v1; status needs no key."""
        try:
            if (request.method, request.route) == ("GET", "/api/v1/status"):
                return Response(200, _status())
            return self._routed(request)
        except _RefusedError as refused:
            status, kind, message = refused.args
            return Response(status, {"type": kind, "message": message})

    def _routed(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise _RefusedError(401, "AuthenticationError", "Authentication failure")
        match request.method, request.route.split("/")[1:]:
            case "POST", ["api", "v1", "alert"]:
                return Response(201, self._create(_body(request)))
            case "GET", ["api", "v1", "alert", identifier]:
                return Response(200, self._alert(identifier))
            case "POST", ["api", "v1", "query"]:
                return Response(200, self._query(_body(request).get("query")))
            case "GET", ["api", "v1", "user", "current"]:
                return Response(200, {"_id": "~8344", "_type": "User", "login": USER, "organisation": ORGANISATION})
        raise _RefusedError(404, "NotFound", f"{request.method} {request.route}")

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        _check(asked)
        with self._writing:
            for alert in self.alerts:
                if all(alert[field] == asked[field] for field in ("type", "source", "sourceRef")):
                    name = f"{asked['type']}:{asked['source']}:{asked['sourceRef']}"
                    words = f"Alert {name} already exist in organisation {ORGANISATION}"
                    raise _RefusedError(400, "CreateError", words)
            alert = self._made("Alert") | {
                **{field: asked[field] for field in MAX_LENGTHS if field in asked},
                **_numbers(asked, DEFAULTS),
                "date": asked.get("date", _now()),
                "tags": list(asked.get("tags") or ()),
                "follow": True,
                "customFields": [],
                "status": "New",
                "stage": "New",
                "extraData": {},
                "newDate": _now(),
                "timeToDetect": 0,
            }
            observables = [
                self._made("Observable") | _observable(given, value, alert)
                for given in asked.get("observables") or ()
                if given["dataType"] in DATA_TYPES
                for value in (given["data"] if isinstance(given["data"], list) else [given["data"]])
            ]
            alert["observableCount"] = len(observables)
            self.observables[alert["_id"]] = observables
            self.alerts.append(alert)
        return alert

    def _made(self, kind: str) -> dict[str, Any]:
        return {"_id": f"~{next(self._ids)}", "_type": kind, "_createdBy": USER, "_createdAt": _now()}

    def _alert(self, identifier: str) -> dict[str, Any]:
        for alert in self.alerts:
            if alert["_id"] == identifier:
                return alert
        raise _RefusedError(404, "NotFoundError", "Alert not found")

    def _query(self, steps: Any) -> Any:
        """Run a query: its first step names what to list, each further one works on what is there."""
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise _invalid("query", "is no list of steps")
        rows: list[dict[str, Any]] = []
        for step in steps:
            match step.get("_name"):
                case "listAlert":
                    rows = list(self.alerts)
                case "getAlert":
                    rows = [self._alert(step.get("idOrName", ""))]
                case "observables":
                    rows = [each for alert in rows for each in self.observables[alert["_id"]]]
                case "filter":
                    rows = [row for row in rows if _passes(row, {key: step[key] for key in step if key != "_name"})]
                case "page":
                    rows = rows[step.get("from", 0) : step.get("to")]
                case "count":
                    return len(rows)
                case other:
                    raise _RefusedError(400, "BadRequest", f"Unknown query step {other}")
        return rows


def _body(request: Request) -> dict[str, Any]:
    try:
        body = request.json
    except ValueError as error:
        raise _RefusedError(400, "BadRequest", "Invalid json") from error
    if not isinstance(body, dict):
        raise _RefusedError(400, "BadRequest", "Invalid json")
    return body


def _check(asked: Mapping[str, Any]) -> None:
    """Hold an alert to what TheHive takes."""
    for field in REQUIRED:
        if field not in asked:
            raise _invalid(field, "is missing")
    for field, longest in MAX_LENGTHS.items():
        if field in asked:
            _check_text(field, asked[field], longest, shortest=1 if field in REQUIRED else 0)
    _check_numbers(asked, "")
    for tag in _listed(asked, "tags"):
        _check_text("tags", tag, MAX_TAG)
    for observable in _listed(asked, "observables"):
        if not isinstance(observable, dict) or not observable.keys() >= {"dataType", "data"}:
            raise _invalid("observables", "has no dataType or no data")
        _check_text("observables.dataType", observable["dataType"], MAX_DATA_TYPE, shortest=1)
        values = observable["data"] if isinstance(observable["data"], list) else [observable["data"]]
        for value in values:
            _check_text("observables.data", value, MAX_OBSERVABLE, shortest=1)
        for tag in _listed(observable, "tags"):
            _check_text("observables.tags", tag, MAX_TAG)
        _check_numbers(observable, "observables.")


def _check_text(field: str, value: Any, longest: int, shortest: int = 0) -> None:
    if not isinstance(value, str):
        raise _invalid(field, "is no string")
    length = len(value)
    if not shortest <= length <= longest:
        raise _invalid(field, f"Predicate (!({length} < {shortest}) && !({length} > {longest})) failed")


def _check_numbers(given: Mapping[str, Any], prefix: str) -> None:
    for field, (lowest, highest) in NUMBERS.items():
        value = given.get(field, lowest)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise _invalid(prefix + field, f"{value} is not between {lowest} and {highest}")


def _listed(given: Mapping[str, Any], field: str) -> list[Any]:
    listed = given.get(field) or []
    if not isinstance(listed, list):
        raise _invalid(field, "is no list")
    return listed


def _numbers(given: Mapping[str, Any], defaults: Mapping[str, int]) -> dict[str, Any]:
    """Return the numbers with their labels, those that are not given by default."""
    numbers = {field: given.get(field, default) for field, default in defaults.items()}
    return numbers | {f"{field}Label": LABELS[field][number] for field, number in numbers.items()}


def _observable(given: Mapping[str, Any], value: str, alert: Mapping[str, Any]) -> dict[str, Any]:
    """Return an observable as stored; TLP and PAP are the alert's where it has none."""
    return {
        "dataType": given["dataType"],
        "data": value,
        "startDate": _now(),
        **_numbers(given, {field: alert[field] for field in ("tlp", "pap")}),
        "tags": list(given.get("tags") or ()),
        "ioc": bool(given.get("ioc", False)),
        "sighted": bool(given.get("sighted", False)),
        "reports": {},
        **({"message": given["message"]} if "message" in given else {}),
        "extraData": {},
        "ignoreSimilarity": bool(given.get("ignoreSimilarity", False)),
    }


def _passes(row: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Say whether a row fulfils a filter: _eq, _in, _and, _or, _not."""
    match dict(condition):
        case {"_and": conditions}:
            return all(_passes(row, each) for each in conditions)
        case {"_or": conditions}:
            return any(_passes(row, each) for each in conditions)
        case {"_not": refused}:
            return not _passes(row, refused)
        case {"_eq": {"_field": field, "_value": value}}:
            return bool(row.get(field) == value)
        case {"_in": {"_field": field, "_values": values}}:
            return row.get(field) in values
    raise _RefusedError(400, "BadRequest", f"Invalid filter {json.dumps(condition)}")


def _invalid(field: str, problem: str) -> _RefusedError:
    return _RefusedError(400, "BadRequest", f"Invalid json: {field}: {problem}")


def _status() -> dict[str, Any]:
    versions = {"Scalligraph": VERSION, "TheHive": VERSION, "Play": "2.9.5"}
    config = {"protectDownloadsWith": "malware", "authType": ["local", "key"], "capabilities": ["authByKey"]}
    return {"versions": versions, "connectors": {}, "config": config}


def _now() -> int:
    """Return the time in milliseconds, as TheHive writes it."""
    return time.time_ns() // 1_000_000
