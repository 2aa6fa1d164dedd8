"""What every form has in common: labelled controls over parameters, a line about each change, a static twin.

A form changes the parameters of the run and nothing else; the step's own cell acts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, get_args

import ipywidgets as widgets  # type: ignore[import-untyped]

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.model.tlp import TLP_LEVELS
from misp_playbook_lib.parameters import (
    MATTERMOST_OPTIONS,
    NOTIFY_MOMENTS,
    PAP_LEVELS,
    PlaybookParameters,
    step_of,
)
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.report.display import View, as_view, html_of, text_of
from misp_playbook_lib.report.tables import table

CHOICES: Mapping[str, Sequence[str]] = {
    "tlp": TLP_LEVELS,
    "pap": PAP_LEVELS,
    "notify_when": NOTIFY_MOMENTS,
    "send_to_mattermost_option": MATTERMOST_OPTIONS,
}
"""Parameters that take one of a few words, other than those whose words a form explains."""
PUBLISHED = {"published events": True, "unpublished events": False, "both": None}

WIDE = "46em"
LABEL = "17em"
_STYLE = """<style>
.misp-playbook table { border-collapse: collapse; }
.misp-playbook caption { text-align: left; font-weight: bold; }
.misp-playbook th, .misp-playbook td { padding: 2px 8px; text-align: left; vertical-align: top; line-height: 1.4; }
.misp-playbook tr { border-bottom: 1px solid var(--jp-border-color2, #8888); }
.misp-playbook .widget-dropdown > select { appearance: auto; background-image: none; }
</style>"""
"""JupyterLab dresses tables in cells, not those in widgets, whose arrow of a choice is black, in the dark too."""
_STATUS = '<div role="status" aria-live="polite">{}</div>'
_FIRST = 5
"""How many values of a list a static table names."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control over one parameter; `read` turns what it holds into the parameter's value."""

    name: str
    widget: widgets.ValueWidget
    read: Callable[[Any], Any] = lambda value: value


class Form(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Controls over parameters of a run, shown beside the step they belong to.

    Args:
        run: the run whose parameters are edited.
        step: the code of the step whose cell follows.
        controls: one for each parameter.
        also: what is shown below them.
        then: called after each change that was taken over.

    """

    def __init__(
        self,
        run: Playbook,
        step: str,
        controls: Sequence[Control],
        also: Sequence[widgets.Widget] = (),
        then: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._step, self._then = run, step, then
        self.controls = {control.name: control for control in controls}
        self._told = widgets.HTML(_STATUS.format(""))
        rows = []
        for control in controls:
            control.widget.observe(lambda change, control=control: self._take(control, change["new"]), "value")
            rows += [control.widget, _help(control.name)]
        super().__init__([widgets.HTML(_STYLE), *rows, *also, self._told])
        self.add_class("misp-playbook")

    def _take(self, control: Control, value: Any) -> None:
        """Take a change over into the run's parameters, or say in one line why not."""
        try:
            self._run.edit(**self.changes(control.name, control.read(value)))
        except (ParameterError, ValueError) as error:
            self.tell(f"Not taken over: {error}")
            return
        if outdated := self._run.order.outdated(self._step, self._run.parameters):
            self.tell(f"{outdated} changed after {self._step} ran: run its cell again and then those below it.")
        else:
            self.tell(f"{control.name} is taken over; {self._step} works with it when its cell runs.")
        self._then()

    def changes(self, name: str, value: Any) -> dict[str, Any]:
        """Return what parameters a change of one control changes."""
        return {name: value}

    def tell(self, line: str) -> None:
        """Show one line below the controls, read out by a screen reader."""
        self._told.value = _STATUS.format(escape(line))

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Show the form, or where no widget is rendered (a saved notebook's HTML), a table of what it holds."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        twin = static(self._run, self.controls)
        return bundle | {"text/plain": text_of(twin.blocks), "text/html": html_of(twin.blocks)}


def show(run: Playbook, names: Sequence[str], make: Callable[[], Form]) -> Form | View:
    """Make a form where somebody is watching, else show its parameters as they were injected."""
    return static(run, names) if run.unattended else make()


def static(run: Playbook, names: Sequence[str] | Mapping[str, Any]) -> View:
    """Show parameters with their values and what they are for."""
    fields = PlaybookParameters.model_fields
    rows = [(name, _told(getattr(run.parameters, name)), fields[name].description) for name in names]
    return as_view([table("Parameters of this step", ("Parameter", "Value", "Meaning"), rows)])


def names_of(*steps: str) -> tuple[str, ...]:
    """Return the parameters that belong to steps, in the notebook's order."""
    return tuple(name for name, field in PlaybookParameters.model_fields.items() if step_of(field) in steps)


def control(run: Playbook, name: str, options: Sequence[Any] = (), placeholder: str = "") -> Control:
    """Make the control that fits a parameter's type: a choice, a checkbox, a number, lines or a text."""
    value = getattr(run.parameters, name)
    annotation = PlaybookParameters.model_fields[name].annotation
    options = options or CHOICES.get(name, ())
    if bool in get_args(annotation):
        # A choice whose value is None counts as none made: the words are the values.
        words = next(word for word, meaning in PUBLISHED.items() if meaning is value)
        return Control(name, widgets.Dropdown(options=list(PUBLISHED), value=words, **look(name)), PUBLISHED.get)
    if options:
        pairs = [one if isinstance(one, tuple) else (one or "do not send", one) for one in options]
        return Control(name, widgets.Dropdown(options=pairs, value=value, **look(name)))
    if annotation is bool:
        return Control(name, widgets.Checkbox(value=value, **look(name)))
    if annotation in (int, float):
        text = widgets.Text(value=str(value), **look(name))
        return Control(name, text, lambda typed: _number(annotation, typed))
    if annotation == list[str]:
        area = widgets.Textarea("\n".join(value), placeholder=placeholder or "one a line", rows=3, **look(name))
        return Control(name, area, lines)
    return Control(name, widgets.Text(value=value, placeholder=placeholder, **look(name)))


def lines(text: str) -> list[str]:
    """Read a text as one value a line; blank lines say nothing."""
    return [line for line in text.splitlines() if line.strip()]


def look(name: str) -> dict[str, Any]:
    """Return how a control is labelled: by its parameter's name, which is the one in parameter files and reports."""
    return {
        "description": name,
        "style": {"description_width": LABEL},
        "layout": widgets.Layout(width=f"calc({LABEL} + {WIDE})", max_width="100%"),
    }


def _help(name: str) -> widgets.HTML:
    words = PlaybookParameters.model_fields[name].description or ""
    return widgets.HTML(
        f"<small>{escape(words)}</small>", layout=widgets.Layout(margin=f"-4px 0 4px calc({LABEL} + 8px)")
    )


def _number(kind: Any, typed: str) -> Any:
    try:
        return kind(typed)
    except ValueError:
        raise ValueError(f"{typed} is not a {'whole ' if kind is int else ''}number") from None


def _told(value: Any) -> str:
    if isinstance(value, list):
        more = f" … ({len(value):,} in all)" if len(value) > _FIRST else ""
        return ", ".join(value[:_FIRST]) + more or "empty"
    words = {"True": "yes", "False": "no", "None": "both", "": "empty"}
    return words.get(str(value), str(value))
