"""Several words of many, chosen by mouse or keyboard.

JupyterLab takes arrows and letters for its own shortcuts where a list box has the focus, so that ArrowDown leaves the
form and `B` inserts a cell. Checkboxes and text fields get their keys.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]
from traitlets import Tuple


class Several(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A checkbox for each word at hand, and a field that adds others, with type-ahead.

    Args:
        description: the name of what is chosen.
        options: the words at hand; those of `value` are too.
        value: the words that are chosen.
        other: the label of the field.
        known: the words that the field suggests and takes; empty: it takes any.
        label: the width of the label.

    """

    value = Tuple()

    def __init__(
        self,
        description: str,
        options: Sequence[str],
        value: Sequence[str],
        other: str,
        known: Sequence[str],
        label: str,
    ) -> None:
        self.description = description
        self._known = frozenset(known)
        self._boxes: dict[str, widgets.Checkbox] = {}
        self._row = widgets.Box(layout=widgets.Layout(flex_flow="row wrap"))
        self._said = widgets.HTML()
        self.other = widgets.Combobox(
            options=tuple(known),
            description=other,
            placeholder="type its name, then Enter",
            continuous_update=False,
            style={"description_width": "initial"},
            layout=widgets.Layout(width="42em", max_width="100%"),
        )
        self.other.observe(self._add, "value")
        beside = {"width": label, "margin": "2px 4px 2px 0", "display": "flex", "justify_content": "flex-end"}
        name = widgets.Label(description, layout=widgets.Layout(**beside, flex="none"))
        super().__init__([widgets.HBox([name, widgets.VBox([self._row, self.other, self._said])])])
        self.observe(self._show, "value")
        for word in options:
            self._offer(word)
        self.value = tuple(value)

    def _offer(self, word: str) -> None:
        box = widgets.Checkbox(value=word in self.value, description=word, indent=False)
        box.layout.width = "auto"
        box.layout.margin = "2px 1.5em 2px 0"
        box.observe(self._take, "value")
        self._boxes[word] = box
        self._row.children = tuple(self._boxes.values())

    def _take(self, change: dict[str, Any]) -> None:
        word = change["owner"].description
        others = tuple(one for one in self.value if one != word)
        if change["new"] != (word in self.value):
            self.value = (*others, word) if change["new"] else others

    def _show(self, _: Any) -> None:
        for word in self.value:
            if word not in self._boxes:
                self._offer(word)
        for word, box in self._boxes.items():
            box.value = word in self.value

    def _add(self, _: Any) -> None:
        word = self.other.value.strip()
        if not word:
            return
        refused = self._known and word not in self._known
        self._said.value = (
            f'<div role="status">{escape(word)} is none of those that are suggested.</div>' if refused else ""
        )
        if not refused:
            self.other.value = ""  # first: who sees the checkbox may type the next word
            self.value = tuple(dict.fromkeys((*self.value, word)))
