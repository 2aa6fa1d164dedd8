"""Whom to tell, with a preview of what each would be told; nothing is sent."""

import ipywidgets as widgets  # type: ignore[import-untyped]

from misp_playbook_lib.forms.form import Form, control, names_of, show
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.report.display import View, html_of
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.report.tables import html_text
from misp_playbook_lib.steps.deliver import STEPS
from misp_playbook_lib.steps.notify import Message


def notifiers(run: Playbook, summary: Summary) -> Form | View:
    """EN:2, EN:3. Whom to tell, and what each would be told."""
    names = names_of("EN:2", "EN:3")
    return show(run, names, lambda: _notifiers(run, names, summary))


def _notifiers(run: Playbook, names: tuple[str, ...], summary: Summary) -> Form:
    preview = widgets.HTML()

    def render() -> None:
        preview.value = "".join(_preview(run, service, summary) for service in STEPS)

    render()
    return Form(run, "EN:2", [control(run, name) for name in names], [preview], render)


def _preview(run: Playbook, service: str, summary: Summary) -> str:
    reason, messages = run.preview(service, summary)
    said = html_of([f"{service}: {reason or f'will be told when its cell runs ({len(messages)} message(s)).'}"])
    return said + "".join(map(_message, messages))


def _message(one: Message) -> str:
    card = _pre(one.card) if one.card else ""
    return f"<details><summary>{html_text(one.name)}</summary>{_pre(one.text)}{card}</details>"


def _pre(text: str) -> str:
    lines = "\n".join(map(html_text, text.split("\n")))
    return f'<pre style="white-space: pre-wrap; max-height: 20em; overflow: auto" tabindex="0">{lines}</pre>'
