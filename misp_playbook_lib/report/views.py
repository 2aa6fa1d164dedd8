"""What an analyst sees of each result: lines of text and tables, for the notebook and the summary alike."""

from collections.abc import Sequence

from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import Lookups, MispServer, ModulesFound, module_row
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.results import (
    Applied,
    ApplyOutcome,
    AttributeMatch,
    CorrelationResult,
    Delivery,
    EnrichmentKind,
    LookupResults,
    LookupStatus,
)
from misp_playbook_lib.model.selection import Selection
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistEntry, WarninglistRows, WarninglistSpec
from misp_playbook_lib.report.tables import Table, table

Block = str | Table

FIRST_ROWS = 200
"""Rows that a notebook or report shows of a long table."""


def server_view(server: MispServer) -> list[Block]:
    """Show which server, user, organisation and role a run works as."""
    rows = [
        ("Server", server.url),
        ("MISP version", server.version),
        ("User", server.user),
        ("Organisation", server.organisation),
        ("Role", server.role),
        ("May edit warninglists", yes_no(server.may_edit_warninglists)),
        ("TLS certificate verified", "yes" if server.verified else "NO: misp_verifycert is False in the vault"),
    ]
    title = "SANDBOX: nothing here reaches a real server" if server.sandbox else "MISP server"
    return [table(title, ("", "Value"), rows)]


def modules_view(found: ModulesFound) -> list[Block]:
    """Show each wanted module with what it takes, or why it is skipped."""
    if not found.modules:
        return ["No module is wanted."]
    rows = [(one.row.name, one.detail, ", ".join(one.accepts)) for one in found.modules]
    blocks: list[Block] = [f"{found.problem} ({found.url})"] if found.problem else []
    return [*blocks, table(f"Modules at {found.url}", ("Module", "Status", "Accepted input"), rows)]


def selection_line(selection: Selection) -> str:
    """Say which list a run works on."""
    near = f" Names like it: {', '.join(selection.near)}." if selection.near else ""
    if selection.current is None:
        return f"A warninglist with the name {selection.name} will be created.{near}"
    return f"The warninglist {selection.name} (ID {selection.current.id}) will be used.{near}"


def selection_view(selection: Selection) -> list[Block]:
    """Show the list found with its details, or that there is none."""
    details = warninglist_view(selection.current) if selection.current else []
    return [selection_line(selection), *details]


def spec_line(spec: WarninglistSpec) -> str:
    """Say which details are given; the others are kept, or defaults."""
    given = [field for field in ("description", "type", "category", "matching_attributes") if getattr(spec, field)]
    return f"Given: {', '.join(given)}." if given else "No details given: they are kept, or defaults for a new list."


def spec_view(spec: WarninglistSpec) -> list[Block]:
    """Show the details wanted."""
    keep = "keep, or the default of a new list"
    rows = [
        ("Description", spec.description or keep),
        ("Type", spec.type or keep),
        ("Category", spec.category or keep),
        ("Matching attributes", ", ".join(spec.matching_attributes or ()) or keep),
    ]
    return [table(f"Details wanted for {spec.name}", ("Field", "Value"), rows)]


def applied_view(applied: Applied) -> list[Block]:
    """Show what became of a plan; the list is as it was read back."""
    return [done_line(applied), *(warninglist_view(applied.warninglist) if applied.warninglist else [])]


def warninglist_view(current: Warninglist) -> list[Block]:
    """Show an existing list's details."""
    kind = "ships with MISP, cannot be edited" if current.default else "custom"
    details = [
        ("ID", current.id),
        ("Name", current.name),
        ("Description", current.description),
        ("Type", current.type),
        ("Category", current.category),
        ("Matching attributes", ", ".join(current.matching_attributes) or "none: the list matches nothing"),
        ("Entries", f"{len(current.entries):,}"),
        ("Version", current.version),
        ("Enabled", yes_no(current.enabled)),
        ("Kind", kind),
    ]
    return [table("The list as it stands in MISP", ("Field", "Value"), details)]


def warninglists_view(lists: WarninglistRows) -> list[Block]:
    """Show the server's lists at a glance: custom ones first."""
    rows = lists.rows
    enabled = sum(row.enabled for row in rows)
    custom = sum(not row.default for row in rows)
    ordered = sorted(rows, key=lambda row: (row.default, row.name.casefold(), row.id))
    cells = [
        (
            row.id,
            row.name,
            row.type,
            row.category,
            f"{row.entry_count:,}",
            yes_no(row.enabled),
            "built in" if row.default else "custom",
        )
        for row in ordered
    ]
    columns = ("ID", "Name", "Type", "Category", "Entries", "Enabled", "Kind")
    return [
        f"{len(rows)} warninglists, {enabled} of them enabled, {custom} custom.",
        table("Warninglists on the server", columns, cells, FIRST_ROWS),
    ]


def plan_view(plan: WarninglistPlan) -> list[Block]:
    """Show what a plan will do before it is done."""
    blocks: list[Block] = [plan_line(plan)]
    if plan.creates or plan.fields:
        rows = [(change.field, _field(change.before), _field(change.after)) for change in plan.fields]
        blocks.append(table("Fields that change", ("Field", "Before", "After"), rows))
    changed = [
        *(("add", entry.value, entry.comment) for entry in plan.added),
        *(("remove", entry.value, entry.comment) for entry in plan.removed),
        *(
            ("comment", change.value, f"{change.before or 'none'} → {change.after or 'none'}")
            for change in plan.commented
        ),
    ]
    if changed:
        blocks.append(table("Entries that change", ("Change", "Entry", "Comment"), changed, FIRST_ROWS))
    return blocks


def plan_review(plan: WarninglistPlan) -> list[Block]:
    """Show a plan as tables, and once more as a diff."""
    return [*plan_view(plan), *([plan_diff(plan)] if plan.changes else [])]


def plan_diff(plan: WarninglistPlan) -> Table:
    """Show every change as a line of a diff."""
    return table("The same as a diff", ("Line",), [(line,) for line in plan.diff], FIRST_ROWS)


def plan_line(plan: WarninglistPlan) -> str:
    """Say a plan in one line."""
    counts = (
        f"{len(plan.added):,} entries added, {len(plan.removed):,} removed, "
        f"{len(plan.commented):,} comments changed, {len(plan.kept):,} kept"
    )
    if plan.creates:
        return f"Create the warninglist {plan.name}: {counts}."
    absent = f" Not in the list, and so not removed: {_some(plan.absent)}." if plan.absent else ""
    if not plan.changes:
        kept = f"{len(plan.kept):,} entries"
        return f"Nothing to do: the warninglist {plan.name} already is as wanted ({kept}).{absent}"
    return f"Update the warninglist {plan.name} ({plan.action}): {counts}, {len(plan.fields)} fields changed.{absent}"


def done_line(applied: Applied) -> str:
    """Say what became of the list."""
    plan, current = applied.plan, applied.warninglist
    name = f"{plan.name} (ID {current.id})" if current else plan.name
    match applied.outcome:
        case ApplyOutcome.CREATED:
            return f"The warninglist {name} was created with {len(plan.entries):,} entries."
        case ApplyOutcome.UPDATED:
            return (
                f"The warninglist {name} was updated: {len(plan.added):,} entries added, "
                f"{len(plan.removed):,} removed, {len(plan.commented):,} comments changed, "
                f"{len(plan.fields):,} fields changed."
            )
        case ApplyOutcome.UNCHANGED:
            return f"The warninglist {name} already was as wanted; nothing was changed."
        case ApplyOutcome.NOT_WRITTEN:
            return f"Dry run: the warninglist {name} was not written. {plan_line(plan)}"


def entries_table(entries: Sequence[WarninglistEntry], first: int | None = FIRST_ROWS) -> Table:
    """Show entries with their comments."""
    rows = [(entry.value, entry.comment) for entry in entries]
    return table("Entries", ("Entry", "Comment"), rows, first)


def matches_view(result: CorrelationResult) -> list[Block]:
    """Show what a retro-search found, and what it could not search."""
    blocks: list[Block] = [matches_line(result)]
    if result.matches:
        blocks.append(matches_table(result.matches))
    blocks += [f"Incomplete: {reason}" for reason in result.incomplete]
    return blocks


def matches_line(result: CorrelationResult) -> str:
    """Say what a retro-search found in one line."""
    where = f"{result.published} events" + (f" with the tags {', '.join(result.tags)}" if result.tags else "")
    if not result.entries_searched:
        return "Not searched: the list has no entries."
    if not result.matches:
        found = "nothing was found in what could be searched" if result.incomplete else "no matches"
        return f"{result.entries_searched:,} entries searched in {where}: {found}."
    return (
        f"{result.entries_searched:,} entries searched in {where}: {result.entries_matched:,} of them hit "
        f"{len(result.matches):,} attributes in {result.events:,} events."
    )


def matches_table(matches: Sequence[AttributeMatch], first: int | None = FIRST_ROWS) -> Table:
    """Show one row a match."""
    rows = [
        (
            match.entry,
            match.attribute.value,
            f"{match.attribute.category}/{match.attribute.type}",
            yes_no(match.attribute.to_ids),
            match.attribute.comment,
            match.attribute.event.id,
            match.attribute.event.info,
            match.attribute.event.date,
            match.attribute.event.organisation,
            yes_no(match.attribute.event.published),
            ", ".join(match.attribute.event.tags),
        )
        for match in matches
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
    )
    return table("Matches in MISP events", columns, rows, first)


def lookups_view(found: Lookups) -> list[Block]:
    """Show what modules answered, each answer beside the entry that asked, and what became of every question."""
    blocks: list[Block] = []
    for result in found.results:
        title = module_row(result.module).title
        blocks.append(lookups_line(result))
        answers = enrichments_table(result, title)
        if answers.total:
            blocks.append(answers)
        rest = [
            (lookup.entry, _indicator(lookup.indicator), lookup.status, lookup.detail)
            for lookup in result.lookups
            if lookup.status is not LookupStatus.ANSWERED
        ]
        if rest:
            columns = ("Entry", "Asked as", "Status", "Detail")
            blocks.append(table(f"{title}: entries without an answer", columns, rest, FIRST_ROWS))
    return blocks


def lookups_line(result: LookupResults) -> str:
    """Say in one line how many were asked and what came of it; new indicators and detections are told apart."""
    title = module_row(result.module).title
    if not result.lookups:
        return f"{title}: no entry to ask about."
    states = ", ".join(f"{status}: {count:,}" for status in LookupStatus if (count := result.count(status)))
    indicators = len(result.enrichments([EnrichmentKind.INDICATOR]))
    detections = len(result.enrichments([EnrichmentKind.DETECTION]))
    return (
        f"{title}: {result.asked:,} of {len(result.lookups):,} entries asked ({states}); "
        f"new indicators: {indicators:,}, detection ratios: {detections:,}."
    )


def enrichments_table(result: LookupResults, title: str, first: int | None = FIRST_ROWS) -> Table:
    """Show one row an answer, beside the entry that asked."""
    rows = [
        (lookup.entry, one.value, f"{one.category}/{one.type}", _place(one.object_name, one.relation), one.kind)
        for lookup in result.lookups
        for one in lookup.enrichments
    ]
    columns = ("Entry", "Answer", "Category/type", "Object and relation", "Kind")
    return table(f"{title}: answers", columns, rows, first)


def delivery_view(delivery: Delivery) -> list[Block]:
    """Say whether a message was delivered."""
    return [f"{delivery.service}: {delivery.status}. {delivery.detail}"]


def yes_no(flag: bool) -> str:
    """Write a flag as a word."""
    return "yes" if flag else "no"


def _some(texts: Sequence[str], first: int = 5) -> str:
    """Name the first of many."""
    more = f" and {len(texts) - first:,} more" if len(texts) > first else ""
    return ", ".join(texts[:first]) + more


def _field(value: str | tuple[str, ...] | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else ", ".join(value)


def _indicator(indicator: Indicator | None) -> str:
    return indicator.type if indicator else ""


def _place(object_name: str, relation: str) -> str:
    return f"{object_name}.{relation}".strip(".")
