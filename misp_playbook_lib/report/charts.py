"""Pictures of results as static SVG, each with a text that says the same; pygal is loaded when one is drawn."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, tostring

from misp_playbook_lib.model.modules import Lookups, module_row
from misp_playbook_lib.model.results import AttributeMatch, EnrichmentKind
from misp_playbook_lib.report.tables import Table, html_text, plain_text, table
from misp_playbook_lib.report.tables import as_html as table_as_html

MOST_BARS = 12
"""Bars that a picture by name has; what is beyond is added up."""
MOST_MONTHS = 36
"""Months that a picture over time has; a longer time is drawn in years."""

_LABEL = 28
_DARK = """
@media (prefers-color-scheme: dark) {
  svg, .graph > .background, .plot > .background { background: #16191d !important; fill: #16191d !important }
  .axis text, .axis text.major, .text-overlay text { fill: #e6e9ed !important }
  .series rect { fill: #2f5f9a !important; stroke: #2f5f9a !important }
}
"""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture as SVG, `alt` as what it says in a sentence, `twin` as all it says in a table."""

    svg: str
    alt: str
    twin: Table


def of_matches(matches: Sequence[AttributeMatch]) -> tuple[Chart, ...]:
    """Draw matches over the time of their events, by attribute type and by organisation; nothing of nothing.

    Date and organisation of an event are empty where MISP could not be asked for them.
    """
    if not matches:
        return ()
    times = _over_time(date for match in matches if (date := match.attribute.event.date))
    types = Counter(match.attribute.type for match in matches)
    organisations = Counter(match.attribute.event.organisation or "unknown" for match in matches)
    return (
        *([_bars("Matches over time, by date of the event", "When", times, upright=True)] if times else []),
        _bars("Matches by attribute type", "Type", _most(types)),
        _bars("Matches by organisation", "Organisation", _most(organisations)),
    )


def of_lookups(found: Lookups) -> tuple[Chart, ...]:
    """Draw how many of a hundred engines call each entry malicious, for each module that says so."""
    charts = []
    for result in found.results:
        shares = {
            lookup.entry: share
            for lookup in result.lookups
            for one in lookup.enrichments
            if one.kind is EnrichmentKind.DETECTION and (share := _percent(one.value)) is not None
        }
        if shares:
            worst = dict(sorted(shares.items(), key=lambda one: -one[1])[:MOST_BARS])
            title = f"{module_row(result.module).title}: engines that call an entry malicious, in percent"
            charts.append(_bars(title, "Entry", worst))
    return tuple(charts)


def as_html(chart: Chart) -> str:
    """Render as a picture with its text behind it; the picture is closed off from the page as an image."""
    data = base64.b64encode(chart.svg.encode()).decode()
    caption = html_text(chart.twin.caption)
    return (
        f"<figure><figcaption>{caption}</figcaption>"
        f'<img src="data:image/svg+xml;base64,{data}" alt="{html_text(chart.alt)}">'
        f"<details><summary>The figures</summary>{table_as_html(chart.twin)}</details></figure>"
    )


def _bars(title: str, names: str, figures: Mapping[str, int | float], *, upright: bool = False) -> Chart:
    from pygal import Bar, Config, HorizontalBar  # noqa: PLC0415 - only a run with something to draw pays for it
    from pygal.style import Style  # noqa: PLC0415

    style = Style(
        background="#ffffff",
        plot_background="#ffffff",
        foreground="#1b1f24",
        foreground_strong="#1b1f24",
        colors=("#a8caf0",),
        value_colors=("#1b1f24",),
        opacity="1",
        font_family="sans-serif",
        value_font_family="sans-serif",
        label_font_size=14,
        major_label_font_size=14,
        value_font_size=14,
    )
    config = Config(
        css=("file://style.css", "file://graph.css", f"inline:{_DARK}"),
        js=(),
        disable_xml_declaration=True,
        show_legend=False,
        show_x_labels=upright,
        show_y_labels=not upright,
        show_x_guides=False,
        show_y_guides=False,
        print_values=True,
        width=640,
        height=260 if upright else 40 + 30 * len(figures),
        margin=8,
        margin_left=24,
        spacing=6,
        x_label_rotation=45 if upright and len(figures) > MOST_BARS else 0,
        value_formatter=lambda value: f"{value:,.0f}",
        include_x_axis=True,
        style=style,
    )
    ordered = figures if upright else dict(reversed(list(figures.items())))
    chart = (Bar if upright else HorizontalBar)(config)
    chart.x_labels = [_label(name) for name in ordered]
    chart.add(title, list(ordered.values()))
    rows = [(name, f"{figure:,.0f}") for name, figure in figures.items()]
    told = "; ".join(f"{_label(name)} {figure}" for name, figure in rows[:MOST_BARS])
    more = f"; and {len(rows) - MOST_BARS} more" if len(rows) > MOST_BARS else ""
    svg = tostring(_without_scripts(chart.render_tree()), encoding="unicode")
    return Chart(svg, f"{title}: {told}{more}.", table(title, (names, "Figure"), rows))


def _label(name: str) -> str:
    text = plain_text(name) or "(none)"
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _without_scripts(root: Element) -> Element:
    """Take out the scripts and comments that pygal brings: nothing in a report runs."""
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag.rpartition("}")[2] == "script":
                parent.remove(child)
    return root


def _over_time(dates: Iterable[str]) -> dict[str, int]:
    """Count dates (YYYY-MM-DD) by month, or by year where the months would be too many; gaps count 0."""
    months = Counter(date[:7] for date in dates)
    if not months:
        return {}
    (first_year, first_month), (last_year, last_month) = (
        (int(month[:4]), int(month[5:7])) for month in (min(months), max(months))
    )
    span = (last_year - first_year) * 12 + last_month - first_month + 1
    if span > MOST_MONTHS:
        years = Counter[str]()
        for month, count in months.items():
            years[month[:4]] += count
        return {str(year): years[str(year)] for year in range(first_year, last_year + 1)}
    every = (divmod(first_year * 12 + first_month - 1 + number, 12) for number in range(span))
    return {month: months[month] for year, before in every if (month := f"{year:04}-{before + 1:02}")}


def _most(counts: Counter[str]) -> dict[str, int]:
    most = dict(counts.most_common(MOST_BARS))
    others = counts.total() - sum(most.values())
    return {**most, f"{len(counts) - MOST_BARS} others": others} if others else most


def _percent(ratio: str) -> float | None:
    found, _, of = ratio.partition("/")
    return 100 * int(found) / int(of) if found.isdecimal() and of.isdecimal() and int(of) else None
