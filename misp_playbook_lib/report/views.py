"""What an analyst sees of each result: lines of text and tables, for the notebook and the summary alike."""

from collections.abc import Sequence

from misp_playbook_lib.model.findings import Severity, counted
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import Lookups, MispServer, ModulesFound, module_row
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.results import (
    Applied,
    ApplyOutcome,
    Delivery,
    EnrichmentKind,
    LookupResult,
    LookupResults,
    LookupStatus,
)
from misp_playbook_lib.model.selection import Selection
from misp_playbook_lib.model.values import ValuesRead
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistEntry, WarninglistRows, WarninglistSpec
from misp_playbook_lib.report.correlation import impact_line, named
from misp_playbook_lib.report.tables import Own, Table, table

Block = str | Table

FIRST_ROWS = 200
"""Rows that a notebook or report shows of a long table."""
_FIRST_ABSENT = 5
"""Entries to be removed that are not in the list which are named."""


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
    return [
        table(title, ("What", "Value"), [(name, Own(value, value if name == "Server" else "")) for name, value in rows])
    ]


def modules_view(found: ModulesFound) -> list[Block]:
    """Show each wanted module with what it takes, or why it is skipped."""
    if not found.modules:
        return ["No module is wanted."]
    rows = [(one.row.name, one.detail, ", ".join(one.accepts)) for one in found.modules]
    blocks: list[Block] = [f"{found.problem} ({found.url})"] if found.problem else []
    return [*blocks, table(Own(f"Modules at {found.url}"), ("Module", "Status", "Accepted input"), rows)]


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


def values_line(read: ValuesRead) -> str:
    """Say in one line what was read, corrected and found."""
    found = ", ".join(f"{rule} ({severity}): {count:,}" for (severity, rule), count in counted(read.findings).items())
    return (
        f"{len(read.entries):,} entries read, {len(read.corrections):,} corrected; "
        f"{f'findings: {found}' if found else 'nothing found against them'}."
    )


def values_view(read: ValuesRead) -> list[Block]:
    """Show where entries came from, each correction and each finding with its remedy."""
    blocks: list[Block] = [values_line(read)]
    if any(source.sha256 or source.left_out for source in read.sources):
        rows = [(one.name, f"{one.entries:,}", one.left_out, one.sha256) for one in read.sources]
        blocks.append(table("Where the entries come from", ("Source", "Entries", "Left out", "SHA-256"), rows))
    if read.findings:
        worst_first = sorted(read.findings, key=lambda one: list(Severity).index(one.severity))
        findings = [(one.severity, one.entry, one.rule, one.reason, one.remedy) for one in worst_first]
        columns = ("Severity", "Entry", "Rule", "Reason", "Remedy")
        blocks.append(table("Findings", columns, findings, FIRST_ROWS))
    if read.corrections:
        corrections = [(one.before, one.after, one.reason) for one in read.corrections]
        blocks.append(table("Corrections", ("Given", "Becomes", "Why"), corrections, FIRST_ROWS))
    if read.checked_elsewhere:
        blocks.append(f"{read.checked_elsewhere}.")
    return blocks


def plan_view(plan: WarninglistPlan) -> list[Block]:
    """Show what a plan will do before it is done."""
    blocks: list[Block] = [plan_line(plan), *([impact_line(plan.impact)] if plan.impact else [])]
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
    absent = f" Not in the list, and so not removed: {named(plan.absent, _FIRST_ABSENT)}." if plan.absent else ""
    if not plan.changes:
        kept = f"{len(plan.kept):,} entries"
        return f"Nothing to do: the warninglist {plan.name} already is as wanted ({kept}).{absent}"
    return f"Update the warninglist {plan.name} ({plan.action}): {counts}, {len(plan.fields)} fields changed.{absent}"


def done_line(applied: Applied) -> str:
    """Say what became of the list."""
    plan, current = applied.plan, applied.warninglist
    name = f"{plan.name} (ID {current.id})" if current else plan.name
    others = f" {applied.others}" if applied.others else ""
    match applied.outcome:
        case ApplyOutcome.CREATED:
            return f"The warninglist {name} was created with {len(plan.entries):,} entries.{others}"
        case ApplyOutcome.UPDATED:
            return (
                f"The warninglist {name} was updated: {len(plan.added):,} entries added, "
                f"{len(plan.removed):,} removed, {len(plan.commented):,} comments changed, "
                f"{len(plan.fields):,} fields changed.{others}"
            )
        case ApplyOutcome.UNCHANGED:
            return f"The warninglist {name} already was as wanted; nothing was changed."
        case ApplyOutcome.NOT_WRITTEN:
            return f"Dry run: the warninglist {name} was not written. {plan_line(plan)}"


def entries_table(entries: Sequence[WarninglistEntry], first: int | None = FIRST_ROWS) -> Table:
    """Show entries with their comments."""
    rows = [(entry.value, entry.comment) for entry in entries]
    return table("Entries", ("Entry", "Comment"), rows, first)


def lookups_view(found: Lookups) -> list[Block]:
    """Show what modules answered, each answer beside the entry that asked, and what became of every question."""
    blocks: list[Block] = []
    for result in found.results:
        title = module_row(result.module).title
        blocks.append(lookups_line(result))
        answers = enrichments_table(result, title)
        if answers.total:
            blocks.append(answers)
        told = [one for one in result.lookups if one.indicator or one.status is not LookupStatus.NOT_ASKED]
        if told:
            blocks.append(statuses_table(told, title))
    return blocks


def lookups_line(result: LookupResults) -> str:
    """Say in one line how many were asked and what came of it; new indicators and detections are told apart."""
    title = module_row(result.module).title
    if not result.lookups:
        return f"{title}: no entry to ask about."
    if result.count(LookupStatus.NOT_ASKED) == len(result.lookups) and result.note:
        return f"{title}: {result.note}"
    states = ", ".join(f"{status}: {count:,}" for status in LookupStatus if (count := result.count(status)))
    indicators = len(result.enrichments([EnrichmentKind.INDICATOR]))
    ratios = [lookup.detections for lookup in result.lookups if lookup.detections]
    detected = sum(not ratio.startswith(("0/", "-/")) for ratio in ratios)
    cached = f", {result.cached:,} from the cache" if result.cached else ""
    line = (
        f"{title}: {result.asked:,} of {len(result.lookups):,} entries asked{cached} ({states}); "
        f"new indicators: {indicators:,}, called malicious: {detected:,} of {len(ratios):,} with a detection ratio."
    )
    return f"{line} {result.note}".strip()


def lookup_problems(result: LookupResults) -> list[str]:
    """Say in one line for each status what could not be asked, however many entries it befell."""
    title = module_row(result.module).title
    problems = []
    for status in LookupStatus:
        befallen = [lookup for lookup in result.could_not_ask if lookup.status is status]
        if befallen:
            told = [lookup for lookup in befallen if lookup.asked] or befallen
            reasons = list(dict.fromkeys(lookup.detail for lookup in told))
            more = f" and {len(reasons) - 1:,} other reasons" if len(reasons) > 1 else ""
            which = f"entry {befallen[0].entry}" if len(befallen) == 1 else f"{len(befallen):,} entries"
            problems.append(f"{title}: {status} for {which} ({reasons[0]}{more})")
    if result.interrupted:
        problems.append(f"{title}: interrupted, {result.count(LookupStatus.NOT_ASKED):,} entries were not asked about")
    return problems


def statuses_table(lookups: Sequence[LookupResult], title: str) -> Table:
    """Show one row an entry: what became of the question, detections as a ratio, how much is new."""
    rows = [
        (
            lookup.entry,
            _indicator(lookup.indicator),
            f"{lookup.status}{_age(lookup.age)}",
            lookup.detections,
            len(lookup.indicators) or "",
            lookup.calls or "",
            lookup.detail,
        )
        for lookup in lookups
    ]
    columns = ("Entry", "Asked as", "Status", "Detections", "New indicators", "API calls", "Detail")
    return table(f"{title}: what became of each entry", columns, rows, FIRST_ROWS)


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
    """Say whether a message was delivered, and where it is seen."""
    line = f"{delivery.service}: {delivery.status}. {delivery.detail}"
    return [line, *([Own(f"See it in {delivery.service}", delivery.url)] if delivery.url else [])]


def yes_no(flag: bool) -> str:
    """Write a flag as a word."""
    return "yes" if flag else "no"


def _field(value: str | tuple[str, ...] | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else ", ".join(value)


def _indicator(indicator: Indicator | None) -> str:
    return indicator.type if indicator else ""


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    return f", from cache ({minutes // 60} h {minutes % 60} min old)"


def _place(object_name: str, relation: str) -> str:
    return f"{object_name}.{relation}".strip(".")
