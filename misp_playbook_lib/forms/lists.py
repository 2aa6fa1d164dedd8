"""Choose the warninglist among those on the server, and say what its details shall be."""

from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]

from misp_playbook_lib.errors import WarninglistError
from misp_playbook_lib.forms.form import LABEL, Control, Form, control, look, names_of, show
from misp_playbook_lib.forms.several import Several
from misp_playbook_lib.model.selection import Selection, select
from misp_playbook_lib.model.warninglist import (
    ALL_ATTRIBUTES,
    WarninglistCategory,
    WarninglistRow,
    WarninglistRows,
    WarninglistType,
)
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.report.display import View, html_of
from misp_playbook_lib.untrusted import visible


def choose_list(run: Playbook, lists: WarninglistRows) -> Form | View:
    """IN:2. Type part of a name to choose among the server's lists, or the name of a list to create."""
    return show(run, names_of("IN:2"), lambda: _ChooseList(run, lists))


class _ChooseList(Form):
    """One control for two parameters: a list that is there is known by its ID, one that is not by its name."""

    def __init__(self, run: Playbook, lists: WarninglistRows) -> None:
        custom_first = sorted(lists.rows, key=lambda row: (row.default, row.name.casefold(), row.id))
        self._rows, self._lists = {_row(one): one for one in custom_first}, lists
        wanted = run.parameters
        there = [
            line for line, row in self._rows.items() if _is_wanted(row, wanted.warninglist_id, wanted.warninglist_name)
        ]
        self._box = widgets.Combobox(
            value=there[0] if len(there) == 1 else wanted.warninglist_name,
            options=list(self._rows),
            placeholder="type part of a name",
            **look("warninglist_name"),
        )
        self._said = widgets.HTML()
        super().__init__(run, "IN:2", [Control("warninglist_name", self._box, self._name)], [self._said], self._say)
        self._say()

    def changes(self, name: str, value: Any) -> dict[str, Any]:
        row = self._rows.get(self._box.value)
        return {name: value, "warninglist_id": row.id if row else 0}

    def _name(self, typed: str) -> str:
        row = self._rows.get(typed)
        return row.name if row else typed

    def _say(self) -> None:
        """Say what IN:2 would find."""
        row, wanted = self._rows.get(self._box.value), self._run.parameters
        if row is not None:
            kind = "ships with MISP and cannot be edited" if row.default else "custom"
            line = f"An existing list, {kind}: {row.entry_count:,} entries of type {row.type}."
        else:
            try:
                found = select(self._lists.rows, wanted.warninglist_name, wanted.warninglist_id)
            except WarninglistError as error:
                line = str(error)
            else:
                near = f" Names like it: {', '.join(found.near)}." if found.near else ""
                line = f"A list with the name {found.name} will be created.{near}"
        self._said.value = html_of([line])


def _is_wanted(row: WarninglistRow, list_id: int, name: str) -> bool:
    return row.id == list_id if list_id else row.name == name


def _row(row: WarninglistRow) -> str:
    enabled = "enabled" if row.enabled else "not enabled"
    kind = "built in, cannot be edited" if row.default else "custom"
    return f"{visible(row.name)} · ID {row.id} · {row.type} · {row.entry_count:,} entries · {enabled} · {kind}"


def details(run: Playbook, selection: Selection) -> Form | View:
    """IN:3. What the list's details shall be; what is left empty is kept, or takes the default of a new list."""
    return show(run, names_of("IN:3"), lambda: _details(run, selection))


def _details(run: Playbook, selection: Selection) -> Form:
    current = selection.current
    chosen = run.parameters.warninglist_matching_attributes
    kept = current.matching_attributes if current else ()
    types = sorted({ALL_ATTRIBUTES, *run.misp.attribute_types})
    attributes = Several(
        "warninglist_matching_attributes", kept, chosen, "add an attribute type of this server", types, LABEL
    )
    said = widgets.HTML()

    def say() -> None:
        none = f"none: kept as {', '.join(kept)}" if current else "none: the list applies to all"
        said.value = html_of([f"Attribute types chosen: {', '.join(attributes.value) or none}."])

    form = Form(
        run,
        "IN:3",
        [
            control(
                run, "warninglist_description", placeholder=_kept(current.description if current else selection.name)
            ),
            control(run, "warninglist_type", _choice(WarninglistType, current and current.type, "string")),
            control(run, "warninglist_category", _choice(WarninglistCategory, current and current.category, "known")),
            Control("warninglist_matching_attributes", attributes, list),
        ],
        [said],
        say,
    )
    say()
    return form


def _kept(text: str) -> str:
    return f"empty: {visible(text)}"


def _choice(words: Any, current: Any, default: str) -> list[tuple[str, str]]:
    keep = f"keep {current}" if current else f"the default, {default}"
    return [(keep, ""), *((str(word), str(word)) for word in words)]
