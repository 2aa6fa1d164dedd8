"""Registers how a notebook shows the model's types; the model itself knows no HTML."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from IPython.core.getipython import get_ipython

from misp_playbook_lib.model.modules import Lookups, MispServer, ModulesFound
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.results import Applied, CorrelationResult, Delivery
from misp_playbook_lib.model.selection import Selection
from misp_playbook_lib.model.values import ValuesRead
from misp_playbook_lib.model.warninglist import WarninglistRows, WarninglistSpec
from misp_playbook_lib.report import correlation, views
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.report.tables import Table, as_html, as_text, html_link, html_text, visible
from misp_playbook_lib.report.views import Block


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
    CorrelationResult: correlation.matches_view,
    Delivery: views.delivery_view,
    Lookups: views.lookups_view,
    MispServer: views.server_view,
    ModulesFound: views.modules_view,
    Selection: views.selection_view,
    ValuesRead: views.values_view,
    WarninglistPlan: views.plan_review,
    WarninglistRows: views.warninglists_view,
    WarninglistSpec: views.spec_view,
}


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


def html_of(blocks: Iterable[Block]) -> str:
    """Render blocks as HTML, escaped."""
    parts = [as_html(block) if isinstance(block, Table) else f"<p>{html_text(block)}</p>" for block in blocks]
    return f'<div class="misp-playbook">{"".join(parts)}</div>'


def text_of(blocks: Iterable[Block]) -> str:
    """Render blocks for a terminal."""
    return "\n".join(as_text(block) if isinstance(block, Table) else visible(block) for block in blocks)
