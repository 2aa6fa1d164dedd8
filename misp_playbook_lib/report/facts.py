"""The figures of a run, as run.json keeps them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from misp_playbook_lib.model.findings import counted
from misp_playbook_lib.model.results import (
    Applied,
    CorrelationResult,
    EnrichmentKind,
    LookupResults,
    LookupStatus,
    Warns,
)
from misp_playbook_lib.model.tlp import strictest
from misp_playbook_lib.model.values import ValuesRead

_KEPT = 1_000
"""Findings and corrections that run.json lists one by one; beyond, it counts them."""


def warninglist(applied: Applied, url: str) -> dict[str, Any]:
    """Return the list as it was read back, and what was changed."""
    planned, current = applied.plan, applied.warninglist
    return {
        "name": planned.name,
        "outcome": applied.outcome.value,
        "id": current.id if current else None,
        "url": url,
        "type": planned.type.value,
        "category": planned.category.value,
        "matching_attributes": list(planned.matching_attributes),
        "version": current.version if current else None,
        "enabled": current.enabled if current else False,
        "entries": len(planned.entries),
        "added": len(planned.added),
        "removed": len(planned.removed),
        "commented": len(planned.commented),
    }


def values(read: ValuesRead) -> dict[str, Any]:
    """Return where the entries came from, what was corrected and what the check found."""
    return {
        "entries": len(read.entries),
        "sources": [asdict(source) for source in read.sources],
        "corrections": [asdict(correction) for correction in read.corrections[:_KEPT]],
        "corrected": len(read.corrections),
        "findings": [asdict(finding) for finding in read.findings[:_KEPT]],
        "found": {f"{severity} {rule}": count for (severity, rule), count in counted(read.findings).items()},
    }


def matches(result: CorrelationResult) -> dict[str, Any]:
    """Return how much was hit, and the strictest TLP level that it asks for, empty if none."""
    tlp = strictest(match.tlp for match in result.matches)
    return {"attributes": len(result.matches), "events": result.events, "tlp": tlp}


def tlp(parameters: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the TLP level of a run: the strictest of its parameter and of what it found."""
    return strictest((parameters["tlp"], facts.get("matches", {}).get("tlp", "")))


def search(result: CorrelationResult) -> dict[str, Any]:
    """Return what a retro-search found, beside the attributes and events it counts."""
    return {
        "entries": len(result.entries),
        "entries_matched": result.entries_matched,
        "warned": {warns.value: result.count(warns) for warns in Warns},
        "by_type": dict(result.by_type),
        "by_organisation": dict(result.by_organisation),
        "hidden": asdict(result.hidden) if result.hidden else None,
        "complete": not result.incomplete,
    }


def lookups(result: LookupResults) -> dict[str, Any]:
    """Return how many questions were put to a module, and what came of them."""
    return {
        "asked": result.asked,
        "cached": result.cached,
        "calls": result.calls,
        "new_indicators": len(result.enrichments([EnrichmentKind.INDICATOR])),
        "statuses": {status.value: count for status in LookupStatus if (count := result.count(status))},
    }
