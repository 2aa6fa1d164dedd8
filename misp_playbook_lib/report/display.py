"""Registers how a notebook shows the model's types; the model itself knows no HTML."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from misp_playbook_lib.errors import StepOrderError
from misp_playbook_lib.model.modules import Lookups, MispServer, ModulesFound
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.results import Applied, CorrelationResult, Delivery
from misp_playbook_lib.model.selection import Selection
from misp_playbook_lib.model.values import ValuesRead
from misp_playbook_lib.model.warninglist import WarninglistRows, WarninglistSpec
from misp_playbook_lib.report import charts, correlation, exports, undo, views
from misp_playbook_lib.report.charts import Chart
from misp_playbook_lib.report.links import linked
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.report.tables import Own, Table, as_html, as_text, html_link, html_text, plain_text
from misp_playbook_lib.untrusted import visible

Block = views.Block | Chart


@dataclass(frozen=True, slots=True)
class View:
    """Blocks to be shown as the result of a cell."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link to be shown as the result of a cell."""

    url: str
    text: str


def as_view(blocks: Iterable[Block]) -> View:
    """Make blocks the result of a cell."""
    return View(tuple(blocks))


_VIEWS: dict[type, Callable[[Any], Iterable[Block]]] = {
    Applied: views.applied_view,
    CorrelationResult: lambda found: [*correlation.matches_view(found), *charts.of_matches(found.matches)],
    Delivery: views.delivery_view,
    Lookups: lambda found: [*views.lookups_view(found), *charts.of_lookups(found)],
    MispServer: views.server_view,
    ModulesFound: views.modules_view,
    Selection: views.selection_view,
    ValuesRead: views.values_view,
    WarninglistPlan: views.plan_review,
    WarninglistRows: views.warninglists_view,
    WarninglistSpec: views.spec_view,
}

_FILES = {
    CorrelationResult: exports.MATCHES,
    Lookups: exports.ENRICHMENTS,
    ValuesRead: exports.VALUES,
    WarninglistPlan: undo.DIFF,
    WarninglistRows: exports.WARNINGLISTS,
}
"""The file of a run's folder that holds a result whole."""


def explain_missing(step_of_variable: Mapping[str, str]) -> None:
    """Have the running IPython, if there is one, say which step to run where a cell misses what a step makes.

    `step_of_variable` names the step that makes each variable of the notebook.
    """
    if shell := get_ipython():
        shell.set_custom_exc((NameError,), partial(_name_the_step, step_of_variable))  # type: ignore[no-untyped-call]


def variables() -> Mapping[str, Any]:
    """Return the variables of the notebook, none outside one."""
    shell = get_ipython()
    return shell.user_ns if shell else {}


def register() -> None:
    """Teach the running IPython, if there is one, to show the results of the steps."""
    shell = get_ipython()
    if shell is None or shell.display_formatter is None:
        return
    formatters = shell.display_formatter.formatters
    for kind, blocks in _VIEWS.items():
        formatters["text/html"].for_type(kind, lambda one, blocks=blocks: html_of(blocks(one)))
        formatters["text/plain"].for_type(kind, lambda one, p, _, blocks=blocks: p.text(text_of(blocks(one))))
    formatters["text/html"].for_type(View, lambda one: html_of(one.blocks))
    formatters["text/plain"].for_type(View, lambda one, p, _: p.text(text_of(one.blocks)))
    formatters["text/html"].for_type(Link, lambda one: f"<p>{html_link(one.url, one.text)}</p>")
    formatters["text/plain"].for_type(Link, lambda one, p, _: p.text(f"{visible(one.text)}: {one.url}"))
    formatters["text/markdown"].for_type(Summary, lambda one: one.markdown)
    formatters["text/plain"].for_type(Summary, lambda one, p, _: p.text(one.markdown))


def show(view: View) -> None:
    """Show blocks beside the result of a cell."""
    display(view)  # type: ignore[no-untyped-call]


def link(misp_url: str, *, archived: bool) -> None:
    """Have results link to this MISP and, if the run is `archived`, name the files that hold them whole."""
    shell = get_ipython()
    if shell is None or shell.display_formatter is None:
        return
    in_html = shell.display_formatter.formatters["text/html"]
    for kind, blocks in _VIEWS.items():
        file = _FILES.get(kind, "") if archived else ""
        in_html.for_type(kind, lambda one, blocks=blocks, file=file: html_of(blocks(one), misp_url, file))


def html_of(blocks: Iterable[Block], misp_url: str = "", file: str = "") -> str:
    """Render blocks as HTML, escaped; pictures stand side by side at the end."""
    shown = list(blocks)
    parts = [_html(block, misp_url, file) for block in shown if not isinstance(block, Chart)]
    pictures = "".join(charts.as_html(block) for block in shown if isinstance(block, Chart))
    drawn = f'<div class="charts">{pictures}</div>' if pictures else ""
    return f'<div class="misp-playbook">{"".join(parts)}{drawn}</div>'


def text_of(blocks: Iterable[Block]) -> str:
    """Render blocks for a terminal."""
    return "\n".join(map(_text, blocks))


def _html(block: views.Block, misp_url: str, file: str) -> str:
    if isinstance(block, Table):
        return as_html(linked(replace(block, file=file), misp_url))
    shown = plain_text(block)
    return f"<p>{html_link(block.url, shown) if isinstance(block, Own) else html_text(shown)}</p>"


def _text(block: Block) -> str:
    if isinstance(block, Chart):
        return as_text(block.twin)
    if isinstance(block, Table):
        return as_text(block)
    return f"{plain_text(block)}: {block.url}" if isinstance(block, Own) else plain_text(block)


def _name_the_step(
    step_of_variable: Mapping[str, str],
    shell: InteractiveShell,
    kind: type[BaseException],
    error: NameError,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    """Say in one line which step makes a variable that is not there; any other name is shown as Python does."""
    step = step_of_variable.get(error.name or "")
    if step is None:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        return
    early = StepOrderError(f"{error.name} is not there yet: run {step} first, and then the cells below.")
    shell.showtraceback((StepOrderError, early, trace))
