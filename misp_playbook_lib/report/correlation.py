"""What an analyst sees of a retro-search, before and after the list is written."""

from collections.abc import Sequence

from misp_playbook_lib.model.impact import Impact
from misp_playbook_lib.model.results import AttributeMatch, CorrelationResult, Warns
from misp_playbook_lib.model.tlp import label
from misp_playbook_lib.report.tables import Table, table

FIRST_ROWS = 200
"""Rows that a notebook or report shows of a long table."""
EVENTS = "Events that are hit"
MATCHES = "Matches in MISP events"
_FIRST_ENTRIES = 20
"""Entries without a match that are named."""
_FIRST_OF_EVENT = 5
"""Entries that are named of those that hit an event."""


def matches_view(result: CorrelationResult) -> list[str | Table]:
    """Show what a retro-search found, on what MISP warns, and what could not be searched."""
    blocks: list[str | Table] = [matches_line(result)]
    if result.matches:
        blocks += [
            f"By type: {_counts(result.by_type)}.",
            f"By organisation: {_counts(result.by_organisation)}.",
            events_table(result),
            matches_table(result.matches),
            entries_table(result),
        ]
        if unmatched := result.entries_unmatched:
            # Beside withheld matches, the names would tell which of the others they hit.
            names = "" if result.withheld else f": {named(unmatched, _FIRST_ENTRIES)}"
            blocks.append(f"Entries without a match ({len(unmatched):,}){names}.")
    if result.types:
        blocks.append(f"Only attributes of the list's matching types were read: {', '.join(result.types)}.")
    blocks += [f"Incomplete: {reason}" for reason in result.incomplete]
    return blocks


def matches_line(result: CorrelationResult) -> str:
    """Say what a retro-search found in one line."""
    scope = result.scope
    where = f"{scope.published} events" + (f" with the tags {', '.join(scope.tags)}" if scope.tags else "")
    if scope.since:
        where += f", attributes changed since {scope.since:%Y-%m-%d %H:%M} UTC"
    if not result.entries:
        return "Not searched: the list has no entries."
    if result.found:
        found = (
            f"{result.entries_matched:,} of them hit {len(result.found):,} attributes in {result.events:,} events; "
            f"{_warned(result)}"
        )
    else:
        found = "nothing was found in what could be searched" if result.incomplete else "no matches"
    return f"{len(result.entries):,} entries searched in {where}: {found}.{_hidden(result)}"


def matches_table(matches: Sequence[AttributeMatch], first: int | None = FIRST_ROWS) -> Table:
    """Show one row a match."""
    rows = [
        (
            match.entry,
            match.attribute.value,
            f"{match.attribute.category}/{match.attribute.type}",
            "yes" if match.attribute.to_ids else "no",
            match.attribute.comment,
            match.attribute.event.id,
            match.attribute.event.info,
            match.attribute.event.date,
            match.attribute.event.organisation,
            "yes" if match.attribute.event.published else "no",
            ", ".join(match.attribute.event.tags),
            label(match.tlp) if match.tlp else "",
            match.part,
            match.warns if match.silence is None else f"{match.warns}: {match.silence}",
            match.attribute.uuid,
            match.attribute.event.uuid,
        )
        for match in matches[:first]
    ]
    columns = (
        "Entry",
        "Attribute",
        "Category/type",
        "to_ids",
        "Comment",
        "Event",
        "Event info",
        "Date",
        "Organisation",
        "Published",
        "Tags",
        "TLP",
        "Hit",
        "MISP warns",
        "Attribute UUID",
        "Event UUID",
    )
    shown = table(MATCHES, columns, rows)
    return Table(shown.caption, shown.columns, shown.rows, len(matches))


def events_table(result: CorrelationResult, first: int | None = FIRST_ROWS) -> Table:
    """Show one row an event that is hit, those with most matches first."""
    of_event: dict[int, list[AttributeMatch]] = {}
    for match in result.matches:
        of_event.setdefault(match.attribute.event.id, []).append(match)
    rows = []
    for found in sorted(of_event.values(), key=len, reverse=True):
        event = found[0].attribute.event
        rows.append(
            (
                event.id,
                event.info,
                event.date,
                event.organisation,
                "yes" if event.published else "no",
                ", ".join(event.tags),
                f"{len(found):,}",
                f"{sum(match.warns is Warns.YES for match in found):,}",
                named(tuple(dict.fromkeys(match.entry for match in found)), _FIRST_OF_EVENT),
            )
        )
    columns = ("Event", "Event info", "Date", "Organisation", "Published", "Tags", "Attributes", "Warned on", "Entries")
    return table(EVENTS, columns, rows, first)


def entries_table(result: CorrelationResult, first: int | None = FIRST_ROWS) -> Table:
    """Show what each entry hits, and when it was seen."""
    rows = [
        (one.entry, f"{one.attributes:,}", f"{one.events:,}", one.first_seen, one.last_seen) for one in result.by_entry
    ]
    return table("Entries that hit", ("Entry", "Attributes", "Events", "First seen", "Last seen"), rows, first)


def impact_line(impact: Impact) -> str:
    """Say what the entries that a plan adds would do."""
    if not impact.entries:
        return "No entry is added: nothing more would be warned on."
    if not impact.attributes and not impact.incomplete:
        return f"Once enabled, the {impact.entries:,} added entries would warn on no attribute that MISP holds."
    most = "at least " if impact.incomplete else ""
    line = (
        f"Once enabled, the {impact.entries:,} added entries would warn on {most}{impact.attributes:,} attributes "
        f"in {impact.events:,} events"
    )
    if impact.busiest and impact.attributes > 1:
        line += f"; the entry {impact.busiest[0]} alone on {impact.busiest[1]:,} of them"
    return f"{line}. Not all could be looked at: {impact.incomplete}." if impact.incomplete else f"{line}."


def named(texts: Sequence[str], first: int) -> str:
    """Name the first of many, and say how many more there are."""
    more = f" and {len(texts) - first:,} more" if len(texts) > first else ""
    return ", ".join(texts[:first]) + more


def _warned(result: CorrelationResult) -> str:
    words = {Warns.YES: "MISP warns on {:,}", Warns.NO: "stays silent on {:,}", Warns.UNKNOWN: "may warn on {:,}"}
    return ", ".join(text.format(count) for warns, text in words.items() if (count := result.count(warns)))


def _hidden(result: CorrelationResult) -> str:
    if result.hidden is None:
        return ""
    least = "" if result.hidden.complete else "at least "
    names = " and ".join(("match_published", "match_tags") if result.scope.tags else ("match_published",))
    return f" {names} {'hide' if result.scope.tags else 'hides'} {least}{result.hidden.attributes:,} more attributes."


def _counts(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name or 'unknown'} {count:,}" for name, count in counts)
