"""Which list a run works on: by ID, else by its exact name, else none yet."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from misp_playbook_lib.errors import WarninglistError
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistRow

NO_LIST = "warninglist_name and warninglist_id are both empty: name the list to create or to extend"
_NEAR = 0.8
"""How alike two names are, by difflib's ratio and without regard to case, for one to be mentioned."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The list found (`list_id` 0: none, it will be created); `near` holds other names that are much like the name."""

    name: str
    list_id: int
    near: tuple[str, ...] = ()
    current: Warninglist | None = None


def select(rows: Iterable[WarninglistRow], name: str, list_id: int) -> Selection:
    """Choose by ID, which wins, else by exact name.

    Raises:
        WarninglistError: several lists have that name, or neither name nor ID is given.

    """
    if not name and not list_id:
        raise WarninglistError(NO_LIST)
    if list_id:
        return Selection(name, list_id)
    rows = tuple(rows)
    same = [row.id for row in rows if row.name == name]
    if len(same) > 1:
        ids = ", ".join(map(str, sorted(same)))
        raise WarninglistError(f"Several lists are named {name} (IDs {ids}): give the warninglist_id of one.")
    return Selection(name, same[0] if same else 0, _near(name, (row.name for row in rows)))


def _near(name: str, names: Iterable[str]) -> tuple[str, ...]:
    folded = {other.casefold().strip(): other for other in names if other != name}
    close = difflib.get_close_matches(name.casefold(), folded, n=5, cutoff=_NEAR)
    return tuple(folded[one] for one in close)
