"""The summary of a run in Markdown: from what was done, not from what was asked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from misp_playbook_lib.model.modules import Lookups, module_row
from misp_playbook_lib.model.results import Applied, CorrelationResult, LookupResults
from misp_playbook_lib.report import views
from misp_playbook_lib.report.tables import Table, as_markdown, markdown_text, table

SUMMARY_ROWS = 50
"""Rows of a table that the summary holds; the report has more, the archive all."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with lines of text and tables."""

    title: str
    blocks: tuple[views.Block, ...]

    @property
    def markdown(self) -> str:
        """The section in Markdown, escaped."""
        return "\n\n".join([f"### {self.title}", *map(block_markdown, self.blocks)])


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did: `intro` in a sentence or two, then the sections."""

    title: str
    tlp: str
    intro: str
    sections: tuple[Section, ...]

    @property
    def markdown(self) -> str:
        """The whole summary in Markdown."""
        head = f"## {self.title}\n\n**TLP:{self.tlp.upper()}**\n\n{self.intro}"
        return "\n\n".join([head, *(section.markdown for section in self.sections)]) + "\n"


def summarise(
    *,
    title: str,
    tlp: str,
    where: str,
    applied: Applied,
    url: str,
    matches: CorrelationResult,
    lookups: Sequence[LookupResults],
    failures: Sequence[str],
) -> Summary:
    """Put together what was done, found and missed.

    Args:
        title: the playbook's name.
        tlp: the TLP level of the summary.
        where: server, user and organisation in words.
        applied: the list as it was read back.
        url: the list's page in MISP, empty where there is none.
        matches: what the retro-search found.
        lookups: what the modules answered.
        failures: everything that failed or is incomplete, in words.

    """
    sections = []
    if failures:
        sections.append(Section("Failed or incomplete", tuple(failures)))
    sections.append(Section("Warninglist details", (details_table(applied, url, where),)))
    changes = views.plan_view(applied.plan)[1:]
    if changes and not applied.plan.creates:
        sections.append(Section("Changes", tuple(map(shortened, changes))))
    entries = applied.plan.entries
    sections.append(Section("Warninglist values", (views.entries_table(entries, SUMMARY_ROWS),)))
    sections.append(Section("MISP event matches", tuple(_matches(matches))))
    for result in lookups:
        blocks = map(shortened, views.lookups_view(Lookups((result,))))
        sections.append(Section(f"{module_row(result.module).title} lookups", tuple(blocks)))
    return Summary(title, tlp, intro(applied, matches, lookups, failures), tuple(sections))


def intro(
    applied: Applied,
    matches: CorrelationResult,
    lookups: Iterable[LookupResults],
    failures: Sequence[str],
) -> str:
    """Say in a few sentences of Markdown what was done and found, and what was missed."""
    lines = [
        views.done_line(applied),
        views.matches_line(matches),
        *(views.lookups_line(result) for result in lookups),
    ]
    if failures:
        lines.append(f"{len(failures)} failed or incomplete: see below.")
    return " ".join(map(markdown_text, lines))


def details_table(applied: Applied, url: str, where: str) -> Table:
    """Show the list as it was read back."""
    plan, current = applied.plan, applied.warninglist
    rows = [
        ("Name", plan.name),
        ("ID", current.id if current else "none yet"),
        ("Description", plan.description),
        ("Type", plan.type),
        ("Category", plan.category),
        ("Matching attributes", ", ".join(plan.matching_attributes)),
        ("Entries", f"{len(plan.entries):,}"),
        ("Version", current.version if current else "none yet"),
        ("Enabled", views.yes_no(current.enabled) if current else "no"),
        ("Server", where),
        ("Link", url or "none yet"),
    ]
    return table("Warninglist", ("Field", "Value"), rows)


def block_markdown(block: views.Block) -> str:
    """Render a block in Markdown, escaped."""
    return as_markdown(block) if isinstance(block, Table) else markdown_text(block)


def shortened(block: views.Block) -> views.Block:
    """Bound a table to what a summary holds."""
    if isinstance(block, Table) and len(block.rows) > SUMMARY_ROWS:
        return Table(block.caption, block.columns, block.rows[:SUMMARY_ROWS], block.total)
    return block


def _matches(result: CorrelationResult) -> list[views.Block]:
    return list(map(shortened, views.matches_view(result)))
