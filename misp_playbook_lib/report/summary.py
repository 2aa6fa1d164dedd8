"""The summary of a run: from what was done, not from what was asked; each service renders it within its limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from misp_playbook_lib.model.modules import Lookups, module_row
from misp_playbook_lib.model.results import Applied, AttributeMatch, CorrelationResult, EnrichmentKind, LookupResults
from misp_playbook_lib.model.tlp import above, label, strictest
from misp_playbook_lib.report import correlation, views
from misp_playbook_lib.report.tables import Table, as_markdown, markdown_code, markdown_line, one_line, table
from misp_playbook_lib.report.written import Became

TITLE = "Create a custom MISP warninglist"
MATCHES = "MISP event matches"
SUMMARY_ROWS = 50
"""Rows of a table that the Markdown summary holds; the report has more, the archive all."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with lines of text and tables; `brief` is what stands in their place where there is little room."""

    title: str
    blocks: tuple[views.Block, ...]
    brief: tuple[views.Block, ...] = ()

    @property
    def captioned(self) -> bool:
        """Whether its tables need their captions to be told apart."""
        return sum(isinstance(block, Table) for block in self.blocks) > 1

    def name_of(self, one: Table) -> str:
        """Return the name by which a table of it is told apart: its caption, or the section's title."""
        return one.caption if self.captioned else self.title


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did.

    `lines` say it in sentences, `figures` in names and values, `sections` in full. Every text is as it came and
    escaped where it is rendered. `where` is the server and who we are there, `url` the list's page in MISP, `pointer`
    says where everything is. `tlp` is the strictest level of the run's own, `run_tlp`, and of the matches that are
    shown. `applied` and `matches` are None in the summary of a run that broke off.
    """

    title: str
    tlp: str
    run_id: str
    where: str
    url: str
    pointer: str
    lines: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    failures: tuple[str, ...] = ()
    applied: Applied | None = None
    matches: CorrelationResult | None = None
    run_tlp: str = ""
    archived: bool = True

    @property
    def mark(self) -> str:
        """The TLP label."""
        return label(self.tlp)

    def up_to(self, most: str) -> "Summary":
        """Return the summary without the matches above a TLP level: they are counted, and nothing else is told of them.

        A match that asks for no level has the run's.
        """
        whole = self.matches
        if whole is None:
            return self
        shown: list[AttributeMatch] = []
        withheld: list[AttributeMatch] = []
        for match in whole.matches:
            (withheld if above(match.tlp or self.run_tlp, most) else shown).append(match)
        if not withheld:
            return self
        matches = replace(whole, matches=tuple(shown), withheld=tuple(withheld))
        place = "report" if self.archived else "notebook"
        note = f"{len(withheld):,} matches above {label(most)} are only in the {place}."
        line = correlation.matches_line(whole)
        return replace(
            self,
            tlp=strictest((self.run_tlp, *(one.tlp for one in shown))),
            lines=tuple(f"{one} {note}" if one == line else one for one in self.lines),
            sections=tuple(_matches(matches, note) if one.title == MATCHES else one for one in self.sections),
            matches=matches,
        )

    @property
    def intro(self) -> str:
        """What was done, found and missed in a few sentences of Markdown."""
        return " ".join(map(markdown_line, self.lines))

    @property
    def markdown(self) -> str:
        """The whole summary in Markdown, long tables cut."""
        link = [f"[The list in MISP]({self.url})"] if self.url else []
        parts = [f"**{self.mark}**", f"## {self.title}", self.intro, *link]
        for section in self.sections:
            parts += [f"### {section.title}", *_markdown(section)]
        return "\n\n".join([*parts, f"{markdown_code(one_line(self.where))} {self.pointer}"]) + "\n"


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
    run_id: str = "",
    archived: bool = False,
) -> Summary:
    """Put together what was done, found and missed.

    Args:
        title: the playbook's name.
        tlp: the TLP level of the run, and of the matches that ask for none.
        where: server, user and organisation in words.
        applied: the list as it was read back.
        url: the list's page in MISP, empty where there is none.
        matches: what the retro-search found.
        lookups: what the modules answered.
        failures: everything that failed or is incomplete, in words.
        run_id: the run's ID.
        archived: whether the run leaves a folder behind.

    """
    sections = [_failed(failures)] if failures else []
    sections.append(Section("Warninglist details", (details_table(applied),)))
    changes = views.plan_view(applied.plan)[1:]
    if changes and not applied.plan.creates:
        sections.append(Section("Changes", tuple(map(shortened, changes))))
    sections.append(_matches(matches))
    for result in lookups:
        blocks = views.lookups_view(Lookups((result,)))
        sections.append(Section(f"{module_row(result.module).title} lookups", tuple(blocks)))
    values = views.entries_table(applied.plan.entries, SUMMARY_ROWS)
    sections.append(Section("Warninglist values", (values,)))
    missed = [f"{len(failures):,} failed or incomplete: see below."] if failures else []
    lines = (
        views.done_line(applied),
        correlation.matches_line(matches),
        *(views.lookups_line(result) for result in lookups),
        *missed,
    )
    return Summary(
        title=title,
        tlp=strictest((tlp, *(match.tlp for match in matches.matches))),
        run_id=run_id,
        where=where,
        url=url,
        pointer=_pointer(run_id, archived=archived),
        lines=lines,
        figures=_figures(applied, matches, lookups, failures),
        sections=tuple(sections),
        failures=tuple(failures),
        applied=applied,
        matches=matches,
        run_tlp=tlp,
        archived=archived,
    )


def broken_off(
    *, tlp: str, run_id: str, server: Mapping[str, Any], became: Became, failures: Sequence[str], crash: str
) -> Summary:
    """Say what became of the list in a run that did not come to its end.

    Args:
        tlp: the TLP level of the summary.
        run_id: the run's ID.
        server: the facts of the server.
        became: what became of the list.
        failures: everything that failed or is incomplete, in words.
        crash: what broke the run off, in a line.

    """
    problems = tuple(dict.fromkeys([*failures, *([crash] if crash else [])]))
    return Summary(
        title=f"{TITLE}: broken off",
        tlp=tlp,
        run_id=run_id,
        where=f"{server.get('url', '')} as {server.get('user', '')}",
        url=became.url,
        pointer=_pointer(run_id, archived=True),
        lines=(f"The run broke off. {became.words}", "What follows from the list is incomplete or missing."),
        figures=(("List", became.words), ("Run", "broken off")),
        sections=(_failed(problems),),
        failures=problems,
    )


def details_table(applied: Applied) -> Table:
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
    ]
    return table("Warninglist", ("Field", "Value"), rows)


def shortened(block: views.Block) -> views.Block:
    """Bound a table to what the Markdown summary holds."""
    if isinstance(block, Table) and len(block.rows) > SUMMARY_ROWS:
        return Table(block.caption, block.columns, block.rows[:SUMMARY_ROWS], block.total)
    return block


def _markdown(section: Section) -> Iterator[str]:
    for block in map(shortened, section.blocks):
        if isinstance(block, Table):
            yield f"**{block.caption}**\n\n{as_markdown(block)}" if section.captioned else as_markdown(block)
        else:
            yield markdown_line(block)


def _failed(problems: Sequence[str]) -> Section:
    rows = [(problem,) for problem in problems]
    return Section("Failed or incomplete", (table("Failed or incomplete", ("Problem",), rows),))


def _matches(result: CorrelationResult, note: str = "") -> Section:
    line, *blocks = correlation.matches_view(result)
    line = f"{line} {note}".strip()
    # Where room is short, the matches tell their events.
    rest = [block for block in blocks if not (isinstance(block, Table) and block.caption == correlation.EVENTS)]
    captions = [block.caption if isinstance(block, Table) else "" for block in rest]
    full = list(rest)
    brief: list[views.Block] = [block for block in rest if not isinstance(block, Table)]
    if correlation.MATCHES in captions:
        full[captions.index(correlation.MATCHES)] = correlation.matches_table(result.matches, None)
        brief.append(_brief_matches(result))
    return Section(MATCHES, (line, *full), (line, *brief))


def _brief_matches(result: CorrelationResult) -> Table:
    """Show one row a match, with the columns that a chat has room for."""
    rows = [
        (
            match.entry,
            match.attribute.event.info,
            match.attribute.event.id,
            match.attribute.event.date,
            f"{match.attribute.type}{', to_ids' if match.attribute.to_ids else ''}",
            match.warns,
            label(match.tlp) if match.tlp else "",
            "" if match.attribute.value == match.entry else match.attribute.value,
            match.attribute.comment,
        )
        for match in result.matches
    ]
    columns = (
        "Entry",
        "Event info",
        "Event",
        "Date",
        "Type",
        "MISP warns",
        "TLP",
        "Attribute, if different",
        "Comment",
    )
    return table(correlation.MATCHES, columns, rows)


def _figures(
    applied: Applied,
    matches: CorrelationResult,
    lookups: Sequence[LookupResults],
    failures: Sequence[str],
) -> tuple[tuple[str, str], ...]:
    """Return the key figures, each with its name."""
    plan, current = applied.plan, applied.warninglist
    found = f"{len(matches.matches):,} attributes in {matches.events:,} events"
    figures = [
        ("Warninglist", f"{plan.name} (ID {current.id if current else 'none yet'})"),
        ("List", f"{applied.outcome}, {len(plan.entries):,} entries"),
        ("Matches", f"{found}{', search incomplete' if matches.incomplete else ''}"),
    ]
    for result in lookups:
        indicators = len(result.enrichments([EnrichmentKind.INDICATOR]))
        asked = f"{indicators:,} new indicators, {result.asked:,} of {len(result.lookups):,} asked"
        figures.append((module_row(result.module).title, asked))
    if failures:
        figures.append(("Failed or incomplete", f"{len(failures):,}"))
    return tuple(figures)


def _pointer(run_id: str, *, archived: bool) -> str:
    if archived:
        return f"Everything is in the archived folder of run {run_id}: report.html, matches.csv."
    return "Everything is in the notebook of this interactive run."
