"""The figures of a run, as run.json keeps them."""

from typing import Any

from misp_playbook_lib.model.results import Applied, EnrichmentKind, LookupResults, LookupStatus


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


def lookups(result: LookupResults) -> dict[str, Any]:
    """Return how many questions were put to a module, and what came of them."""
    return {
        "asked": result.asked,
        "new_indicators": len(result.enrichments([EnrichmentKind.INDICATOR])),
        "statuses": {status.value: count for status in LookupStatus if (count := result.count(status))},
    }
