"""The local misp-modules server: which modules it has, and one question to one of them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from misp_playbook_lib.clients.http import HttpClient, reading
from misp_playbook_lib.errors import ServiceUnavailable, UnexpectedResponse
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import Module
from misp_playbook_lib.model.results import Enrichment, EnrichmentKind

SERVICE = "misp-modules"
LOOKUP_TIMEOUT = 60
"""Seconds that misp-modules gives a lookup (its own default is 300), and we a little more."""


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

    def modules(self) -> tuple[Module, ...]:
        """Return the expansion modules (GET /modules; a third of them have no `mispattributes.input`).

        Raises:
            ServiceError: the server cannot be asked.

        """
        rows = reading(lambda: self._http.json("GET", f"{self.url}/modules", "list the modules"))
        if not isinstance(rows, list):
            raise UnexpectedResponse(
                "the answer is no list of modules; is this address the right one?",
                service=SERVICE,
                operation="list the modules",
            )
        return tuple(
            Module(str(row["name"]), tuple(_inputs(row))) for row in rows if isinstance(row, dict) and "name" in row
        )

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
            answer = self._http.json("POST", f"{self.url}/query", f"ask {module}", json=question)
        except ServiceUnavailable as error:
            if error.status is None:
                raise
            return Answer(error=f"the module server failed ({error.status})")
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
        found = [*_from_attributes(results.get("Attribute") or (), "")]
        for one in results.get("Object") or ():
            found += _from_attributes(one.get("Attribute") or (), str(one.get("name", "")))
        return Answer(error=None, enrichments=_distinct(found, indicator))
    if isinstance(results, list):
        return Answer(error=None, enrichments=_distinct(_from_values(results), indicator))
    raise UnexpectedResponse(
        "the module's answer is of no known shape; look in the module server's log",
        service=SERVICE,
        operation="query",
    )


def _inputs(row: Mapping[str, Any]) -> list[str]:
    attributes = row.get("mispattributes")
    inputs = attributes.get("input") if isinstance(attributes, dict) else None
    return [str(one) for one in inputs] if isinstance(inputs, list) else []


def _from_attributes(rows: Any, object_name: str) -> list[Enrichment]:
    return [
        Enrichment(
            value=str(row["value"]),
            type=str(row.get("type", "")),
            category=str(row.get("category", "")),
            object_name=object_name,
            relation=str(row.get("object_relation") or ""),
            kind=EnrichmentKind.CONTEXT,
        )
        for row in rows
        if isinstance(row, dict) and row.get("value") is not None
    ]


def _from_values(rows: list[Any]) -> list[Enrichment]:
    found = []
    for row in rows:
        values = row.get("values", ()) if isinstance(row, dict) else ()
        types = row.get("types", ()) if isinstance(row, dict) else ()
        type_ = types if isinstance(types, str) else ", ".join(str(one) for one in types)
        texts = [values] if isinstance(values, str) else values
        found += [Enrichment(str(text), type_, "", "", "", EnrichmentKind.CONTEXT) for text in texts]
    return found


def _distinct(found: list[Enrichment], indicator: Indicator) -> tuple[Enrichment, ...]:
    """Keep each value of a type once and say of each what it is to the analyst."""
    kept = {(one.type, one.value): one for one in reversed(found)}
    return tuple(
        Enrichment(one.value, one.type, one.category, one.object_name, one.relation, _kind(one, indicator))
        for one in reversed(kept.values())
    )


def _kind(one: Enrichment, indicator: Indicator) -> EnrichmentKind:
    if one.value.casefold() == indicator.value.casefold():
        return EnrichmentKind.ECHO
    if one.relation == "detection-ratio":
        return EnrichmentKind.DETECTION
    if one.type in _INDICATOR_TYPES:
        return EnrichmentKind.INDICATOR
    return EnrichmentKind.CONTEXT


_INDICATOR_TYPES = frozenset(
    {
        "AS",
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
