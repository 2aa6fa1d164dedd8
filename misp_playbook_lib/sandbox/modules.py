"""A light misp-modules: the shapes, words and failures of misp-modules 3.1.0, without a network behind it.

VirusTotal and Shodan answer for the original demo's three indicators. The key of a lookup says how it goes:
"bad", "quota", "forbidden", "e204" and "e500" fail as the real modules do then, any other key works.

    sandbox.modules.answers["hashlookup", "md5", "…"] = {"results": {"Object": […]}}    # one more answer
    sandbox.modules.calls_left["good"] = 4                                              # a key's quota, in API calls

| module | answers | left out |
| --- | --- | --- |
| virustotal_public, virustotal | the demo's indicators; "not found" for every other value | proxies, event_limit |
| shodan | the demo's address and 8.8.8.8; its one sentence for every other value, and for a bad key | |
| countrycode | the top-level domains it knows itself | the country table that it fetches |
| hashlookup, cve, html_to_markdown, csvimport | what a test puts into `answers`; else as without a network | |
"""

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from misp_playbook_lib.sandbox.server import Request, Response, Service

HTML = "text/html; charset=UTF-8"
"""What tornado says of every answer, JSON included."""
VERSION = "3.1.0"

WENT_WRONG = "Something went wrong, look in the server logs for details"
NO_ATTRIBUTE = (
    'This module requires an "attribute" field as input, which should contain at least a type, a value and an uuid.'
)
UNSUPPORTED_TYPE = "Unsupported attribute type."
NO_KEY = {
    "virustotal_public": "A VirusTotal api key is required for this module.",
    "virustotal": "A VirusTotal api key is required for this module.",
    "shodan": "Shodan authentication is missing",
}
"""The modules that need a key, and what they say without one."""
FAILING_KEYS = {
    "bad": "Wrong API key",
    "quota": "Quota exceeded",
    "forbidden": "You are not authorized to perform the requested operation",
    "e204": "",
    "e500": "<html>oops</html>",
}
"""VirusTotal's words by key; Shodan's are always WENT_WRONG."""

HASHES = frozenset({"md5", "sha1", "sha256"})
HOSTS = frozenset({"hostname", "domain"})
CALLS = {
    "virustotal_public": {"hash": 4, "host": 6, "ip": 2, "url": 1},
    "virustotal": {"hash": 5, "host": 8, "ip": 3, "url": 4},
}
"""API calls of one answered lookup by kind of value, counted in the modules; an unknown value costs one."""

COUNTRIES = {
    "com": "Commercial (Worldwide)",
    "edu": "Education (Usually USA)",
    "gov": "Government (USA)",
    "int": "International (Worldwide)",
    "net": "Network (Worldwide)",
    "org": "Organisation (Worldwide)",
}
"""What countrycode answers without a network."""
NO_COUNTRIES = "http://www.geognos.com/api/en/countries/info/all.json not reachable"

DATA = Path(__file__).parent / "data"

Attribute = Mapping[str, Any]
Answer = Any
"""The JSON body of an answer, or a function that makes it from the attribute asked."""


class _NoAnswerError(Exception):
    """A module ends with an error; the first argument has its words."""


class Modules(Service):
    """misp-modules on loopback.

    Args:
        port: the port to take, 0 for a free one.

    Raises:
        OSError: the port is taken.

    """

    name = "misp-modules"

    def __init__(self, port: int = 0) -> None:
        self.modules: list[dict[str, Any]] = json.loads((DATA / "modules.json").read_text(encoding="utf-8"))
        """What GET /modules answers: a test may append a module, and answers for it."""
        self.answers: dict[tuple[str, str, str], Answer] = _demo_answers()
        """The whole body of an answer by module, type and value."""
        self.calls_left: dict[str, int] = {}
        """API calls that VirusTotal still grants a key; a key that is not here has no limit."""
        self._quota = threading.Lock()
        super().__init__(port)

    def handle(self, request: Request) -> Response:
        """Answer as tornado routes: a known path with another method is a 405, an unknown path a 404."""
        known: dict[str, tuple[str, Callable[[Request], Response]]] = {
            "/healthcheck": ("GET", lambda _: _json({"status": True})),
            "/version": ("GET", lambda _: _json({"version": VERSION})),
            "/modules": ("GET", lambda _: _json(self.modules)),
            "/query": ("POST", self._query),
        }
        if request.route not in known:
            return _page(404, "Not Found")
        method, answer = known[request.route]
        return answer(request) if request.method == method else _page(405, "Method Not Allowed")

    def _query(self, request: Request) -> Response:
        try:
            asked = json.loads(request.body, parse_constant=_refuse)
            timeout = int(asked.get("timeout", 300))
        except (
            ValueError,
            TypeError,
            AttributeError,
            OverflowError,
        ):  # no JSON, no object, a timeout that is no number
            return _page(500, "Internal Server Error")
        names = {module["name"]: module for module in self.modules}
        module = asked.get("module")
        if not isinstance(module, str) or module not in names:
            return _json({"error": WENT_WRONG})
        if timeout <= 0:
            return _json({"error": "Timeout."})
        try:
            return _json(self._ask(names[module], asked))
        except _NoAnswerError as error:
            return _json({"error": error.args[0]})

    def _ask(self, module: Mapping[str, Any], asked: Mapping[str, Any]) -> Any:
        """Answer one lookup, checking in the order in which the real modules check."""
        name = module["name"]
        takes = module["mispattributes"].get("input", [])
        key = _key(name, asked.get("config", {}))
        if module["mispattributes"].get("format") != "misp_standard":
            return self._ask_old_style(name, takes, asked)
        attribute = asked.get("attribute")
        if not isinstance(attribute, Mapping) or not attribute.keys() >= {"type", "uuid", "value"}:
            raise _NoAnswerError(NO_ATTRIBUTE)
        if attribute["type"] not in takes:
            raise _NoAnswerError(UNSUPPORTED_TYPE)
        kind, value = attribute["type"].removesuffix("|port"), str(attribute["value"])
        if kind != attribute["type"]:
            value = value.partition("|")[0]
        answer = self._answer(name, kind, value, attribute)
        if name in CALLS:
            self._debit(key, name, kind, known=answer is not None)
            if answer is None:
                raise _NoAnswerError(_not_found(kind, value))
        if answer is None:
            raise _NoAnswerError(WENT_WRONG)
        return answer

    def _ask_old_style(self, name: str, takes: list[str], asked: Mapping[str, Any]) -> Any:
        """Answer a module that takes its value under the name of its type."""
        for kind in takes:
            if kind in asked:
                value = str(asked[kind])
                answer = self._answer(name, kind, value, {"type": kind, "value": value})
                if answer is not None:
                    return answer
                if name == "countrycode":
                    country = COUNTRIES.get(value.rpartition(".")[2], NO_COUNTRIES)
                    return {"results": [{"types": ["text"], "values": [country]}]}
                raise _NoAnswerError(WENT_WRONG)
        if name == "html_to_markdown":
            return False
        raise _NoAnswerError(WENT_WRONG)

    def _answer(self, name: str, kind: str, value: str, attribute: Attribute) -> Any:
        """Return what is known of a value; hashes and host names are known in any case. None: nothing."""
        if kind in HASHES | HOSTS:
            value = value.lower()
        answer = self.answers.get((name, kind, value))
        return answer(attribute) if callable(answer) else answer

    def _debit(self, key: str, name: str, kind: str, *, known: bool) -> None:
        """Take a lookup's API calls from its key's quota; the calls before the refused one are spent too."""
        calls = CALLS[name][_kind_of_value(kind)] if known else 1
        with self._quota:
            left = self.calls_left.get(key)
            if left is None:
                return
            self.calls_left[key] = max(0, left - calls)
        if left < calls:
            raise _NoAnswerError(FAILING_KEYS["quota"])


def _key(name: str, config: Any) -> str:
    """Return the key of a module that needs one, unless it makes the lookup fail."""
    if name not in NO_KEY:
        return ""
    if name != "shodan" and not config:
        raise _NoAnswerError(NO_KEY[name])
    if not isinstance(config, Mapping):
        raise _NoAnswerError(WENT_WRONG)
    key = str(config.get("apikey") or "")
    if not key:
        raise _NoAnswerError(NO_KEY[name])
    if key not in FAILING_KEYS:
        return key
    if name == "shodan":
        raise _NoAnswerError(WENT_WRONG)
    raise _NoAnswerError("ForbiddenError" if (name, key) == ("virustotal", "forbidden") else FAILING_KEYS[key])


def _kind_of_value(kind: str) -> str:
    if kind in HASHES:
        return "hash"
    if kind in HOSTS:
        return "host"
    return "url" if kind == "url" else "ip"


def _not_found(kind: str, value: str) -> str:
    """Return VirusTotal's words for a value that it does not know."""
    names = {"hash": "File", "host": "Domain", "ip": "IP address"}
    name = names.get(_kind_of_value(kind))
    return f'{name} "{value}" not found' if name else "URL not found"


def _demo_answers() -> dict[tuple[str, str, str], Answer]:
    """Read the answers for the demo's indicators."""
    data = json.loads((DATA / "enrichments.json").read_text(encoding="utf-8"))
    return {
        (module, kind, value): partial(_results, data["templates"], answer["Object"], echo=module == "shodan")
        for answer in data["answers"]
        for module in answer["modules"]
        for kind, value in answer["ask"]
    }


def _results(
    templates: Mapping[str, Any], objects: list[dict[str, Any]], attribute: Attribute, *, echo: bool
) -> dict[str, Any]:
    """Make an answer of the newer style: MISP objects with ids of their own, each time others."""
    results: dict[str, Any] = {}
    if echo:
        field = {"category": "Network activity", "to_ids": True, "disable_correlation": False}
        results["Attribute"] = [{key: attribute[key] for key in ("uuid", "type", "value")} | field]
    results["Object"] = [_object(templates[each["name"]], each, attribute) for each in objects]
    return {"results": results}


def _object(template: Mapping[str, Any], described: Mapping[str, Any], attribute: Attribute) -> dict[str, Any]:
    made: dict[str, Any] = {"name": described["name"], **template, "uuid": str(uuid.uuid4())}
    if "relationship_type" in described:
        reference = {
            "uuid": str(uuid.uuid4()),
            "object_uuid": made["uuid"],
            "referenced_uuid": attribute["uuid"],
            "relationship_type": described["relationship_type"],
        }
        made["ObjectReference"] = [reference]
    made["Attribute"] = [{"uuid": str(uuid.uuid4()), **_as_asked(each, attribute)} for each in described["Attribute"]]
    return made | {"distribution": "5", "sharing_group_id": "0"}


def _as_asked(described: Mapping[str, Any], attribute: Attribute) -> dict[str, Any]:
    """Name the address and its ports by the type asked: an ip-dst has dst-ports."""
    made = dict(described)
    if attribute["type"] == "ip-dst" and made["object_relation"] in {"ip-src", "src-port"}:
        made["object_relation"] = made["object_relation"].replace("src", "dst")
        made["type"] = made["type"].replace("ip-src", "ip-dst")
    return made


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader takes and the real one does not."""
    raise ValueError(constant)


def _json(body: Any) -> Response:
    return Response(200, json.dumps(body, ensure_ascii=False, separators=(",", ":")), content_type=HTML)


def _page(status: int, words: str) -> Response:
    page = f"<html><title>{status}: {words}</title><body>{status}: {words}</body></html>"
    return Response(status, page, content_type=HTML)
