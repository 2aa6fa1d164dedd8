"""What a run leaves for machines: its tables as CSV, the list as misp-warninglists keeps it."""

import json
from collections.abc import Iterable
from typing import Any

from misp_playbook_lib.model.results import AttributeMatch, LookupResults
from misp_playbook_lib.model.values import ValuesRead
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistRow
from misp_playbook_lib.report.tables import as_csv

MATCHES = "matches.csv"
ENRICHMENTS = "enrichments.csv"
VALUES = "values.csv"
WARNINGLIST = "warninglist.json"
WARNINGLISTS = "warninglists.csv"

_MATCH_COLUMNS = (
    *("entry", "part", "attribute_uuid", "attribute_id", "type", "category", "value", "to_ids", "comment", "timestamp"),
    *("first_seen", "last_seen", "attribute_tags", "event_uuid", "event_id", "event_info", "event_date"),
    *("organisation", "published", "event_tags", "misp_warns", "why_not", "tlp"),
)
_ENRICHMENT_COLUMNS = (
    *("module", "entry", "asked_as", "status", "detail", "kind", "value", "type", "category", "object", "relation"),
)


def matches(found: Iterable[AttributeMatch]) -> str:
    """Write one row a match."""
    return as_csv(_MATCH_COLUMNS, map(_match, found))


def enrichments(results: Iterable[LookupResults]) -> str:
    """Write one row an answer, and one for each question that got none."""
    return as_csv(_ENRICHMENT_COLUMNS, (row for result in results for row in _answers(result)))


def values(read: ValuesRead) -> str:
    """Write one row a finding, and one a correction."""
    columns = ("what", "entry", "becomes", "severity", "rule", "reason", "remedy")
    findings = [("finding", one.entry, "", one.severity, one.rule, one.reason, one.remedy) for one in read.findings]
    corrections = [("correction", one.before, one.after, "", "", one.reason, "") for one in read.corrections]
    return as_csv(columns, [*findings, *corrections])


def warninglists(rows: Iterable[WarninglistRow]) -> str:
    """Write one row a list of the server."""
    columns = ("id", "name", "type", "category", "entries", "enabled", "built_in")
    return as_csv(
        columns,
        ((row.id, row.name, row.type, row.category, row.entry_count, row.enabled, row.default) for row in rows),
    )


def warninglist(one: Warninglist) -> str:
    """Write a list as the misp-warninglists repository keeps it: entries once each, sorted (its schema.json)."""
    data: dict[str, Any] = {
        "description": one.description,
        "list": sorted({entry.value for entry in one.entries}),
        "matching_attributes": sorted(set(one.matching_attributes)),
        "name": one.name,
        "type": one.type.value,
        "version": one.version,
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _match(match: AttributeMatch) -> tuple[object, ...]:
    attribute, event = match.attribute, match.attribute.event
    return (
        match.entry,
        match.part,
        attribute.uuid,
        attribute.id,
        attribute.type,
        attribute.category,
        attribute.value,
        attribute.to_ids,
        attribute.comment,
        attribute.timestamp.isoformat(),
        attribute.first_seen,
        attribute.last_seen,
        ", ".join(attribute.tags),
        event.uuid,
        event.id,
        event.info,
        event.date,
        event.organisation,
        event.published,
        ", ".join(event.tags),
        match.warns,
        match.silence or "",
        match.tlp,
    )


def _answers(result: LookupResults) -> Iterable[tuple[object, ...]]:
    for lookup in result.lookups:
        asked = lookup.indicator.type if lookup.indicator else ""
        question = (result.module, lookup.entry, asked, lookup.status, lookup.detail)
        for one in lookup.enrichments:
            yield (*question, one.kind, one.value, one.type, one.category, one.object_name, one.relation)
        if not lookup.enrichments:
            yield (*question, *[""] * 6)
