"""The local misp-modules server: which modules it has, and one question to one of them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from misp_playbook_lib.clients.failures import MISP_MODULES, Failure, failed, remedy
from misp_playbook_lib.clients.http import HttpClient, once, reading
from misp_playbook_lib.errors import ServiceUnavailable
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import Module
from misp_playbook_lib.model.results import Enrichment, EnrichmentKind

SERVICE = MISP_MODULES
LOOKUP_TIMEOUT = 60
"""Seconds that misp-modules gives a lookup (its own default is 300), and we a little more."""
MAX_ANSWER = 32_000_000
"""Bytes: 130 modules are listed in 160,000, an answer with all relations of a domain takes some megabytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a module said: an error text (may be empty), or what it found."""

    error: str | None
    enrichments: tuple[Enrichment, ...] = ()


class MispModulesClient:
    """Asks one misp-modules server.

    Args:
        url: where it listens.

    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = HttpClient(SERVICE, headers={"Accept": "application/json"}, timeout=LOOKUP_TIMEOUT + 10)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def modules(self) -> tuple[Module, ...]:
        """Return the expansion modules (GET /modules; a third of them have no `mispattributes.input`).

        Raises:
            ServiceError: the server cannot be asked.

        """
        operation = "list the modules"
        rows = reading(lambda: self._http.json("GET", f"{self.url}/modules", operation, limit=MAX_ANSWER))
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "name" in row for row in rows):
            raise failed(Failure.OTHER_SHAPE, SERVICE, operation)
        return tuple(Module(str(row["name"]), tuple(_inputs(row))) for row in rows)

    def query(self, module: str, indicator: Indicator, config: Mapping[str, str]) -> Answer:
        """Put one question to a module (POST /query, which answers 200 for nearly everything that goes wrong).

        Raises:
            ServiceError: the server cannot be asked, or its answer has no known shape.

        """
        question = {
            "module": module,
            "attribute": {"type": indicator.type, "uuid": str(uuid.uuid4()), "value": indicator.value},
            # Modules of the older style read their question here.
            indicator.type: indicator.value,
            "config": dict(config),
            "timeout": LOOKUP_TIMEOUT,
        }
        try:
            answer = once(
                lambda: self._http.json("POST", f"{self.url}/query", f"ask {module}", json=question, limit=MAX_ANSWER)
            )
        except ServiceUnavailable as error:
            if error.status is None:
                raise
            return Answer(error=f"the module server failed ({error.status}); {remedy(Failure.SERVER_ERROR, SERVICE)}")
        return parse_answer(answer, indicator)


def parse_answer(answer: Any, indicator: Indicator) -> Answer:
    """Read either answer style: MISP objects and attributes, or the older list of types and values.

    Raises:
        UnexpectedResponse: it is neither.

    """
    if isinstance(answer, dict) and "error" in answer:
        return Answer(error=str(answer["error"]))
    results = answer.get("results") if isinstance(answer, dict) else None
    if isinstance(results, dict):
        objects = [one for one in _rows(results.get("Object")) if isinstance(one, dict)]
        report = _report_on(indicator, objects)
        found = _from_attributes(results.get("Attribute"), "", indicator)
        for number, one in enumerate(objects):
            name = str(one.get("name", ""))
            found += _from_attributes(one.get("Attribute"), name, indicator, rated=number == report)
        return Answer(error=None, enrichments=_distinct(found))
    if isinstance(results, list):
        return Answer(error=None, enrichments=_distinct(_from_values(results, indicator)))
    raise failed(Failure.OTHER_SHAPE, SERVICE, "query")


def _inputs(row: Mapping[str, Any]) -> list[str]:
    attributes = row.get("mispattributes")
    inputs = attributes.get("input") if isinstance(attributes, dict) else None
    return [str(one) for one in inputs] if isinstance(inputs, list) else []


def _rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _report_on(indicator: Indicator, objects: list[dict[str, Any]]) -> int | None:
    """Find which report is about the question: VirusTotal's modules give one for every related indicator too.

    Its permalink ends in the indicator; a hash may stand there as another one, then it is the first report.
    """
    reports = [number for number, one in enumerate(objects) if one.get("name") == "virustotal-report"]
    for number in reports:
        for attribute in _rows(objects[number].get("Attribute")):
            link = str(attribute.get("value", "")).casefold()
            if attribute.get("object_relation") == "permalink" and f"/{indicator.value.casefold()}" in link:
                return number
    return reports[0] if reports else None


def _from_attributes(rows: Any, object_name: str, indicator: Indicator, *, rated: bool = False) -> list[Enrichment]:
    found = []
    for row in _rows(rows):
        if isinstance(row, dict) and row.get("value") is not None:
            value, type_ = str(row["value"]), str(row.get("type", ""))
            relation = str(row.get("object_relation") or "")
            kind = _kind(value, type_, indicator)
            if rated and relation == "detection-ratio":
                kind = EnrichmentKind.DETECTION
            found.append(Enrichment(value, type_, str(row.get("category", "")), object_name, relation, kind))
    return found


def _from_values(rows: list[Any], indicator: Indicator) -> list[Enrichment]:
    found = []
    for row in rows:
        values = row.get("values", ()) if isinstance(row, dict) else ()
        types = row.get("types", ()) if isinstance(row, dict) else ()
        type_ = types if isinstance(types, str) else ", ".join(str(one) for one in types)
        texts = values if isinstance(values, list | tuple) else [values]
        found += [Enrichment(str(text), type_, "", "", "", _kind(str(text), type_, indicator)) for text in texts]
    return found


def _distinct(found: list[Enrichment]) -> tuple[Enrichment, ...]:
    """Keep each value of a type and kind once, where it stands first."""
    kept = {(one.kind, one.type, one.value): one for one in reversed(found)}
    return tuple(reversed(kept.values()))


def _kind(value: str, type_: str, indicator: Indicator) -> EnrichmentKind:
    """Say what a value is to the analyst: networks and reverse names are no indicators, nor is an AS number."""
    asked = indicator.value.casefold()
    if value.casefold() == asked or value.casefold() in asked.split("|"):
        return EnrichmentKind.ECHO
    if type_ in _INDICATOR_TYPES and not value.endswith(_REVERSE_ZONES) and not _is_network(type_, value):
        return EnrichmentKind.INDICATOR
    return EnrichmentKind.CONTEXT


def _is_network(type_: str, value: str) -> bool:
    return type_.startswith("ip-") and "/" in value


_REVERSE_ZONES = (".in-addr.arpa", ".ip6.arpa")
_INDICATOR_TYPES = frozenset(
    {
        "domain",
        "email",
        "filename",
        "hostname",
        "imphash",
        "ip-dst",
        "ip-src",
        "md5",
        "sha1",
        "sha256",
        "sha512",
        "ssdeep",
        "tlsh",
        "url",
        "vhash",
        "x509-fingerprint-md5",
        "x509-fingerprint-sha1",
        "x509-fingerprint-sha256",
    }
)
