"""What of a list is not as it was known, or wanted."""

import operator
from collections import Counter
from collections.abc import Sequence

from misp_playbook_lib.model.warninglist import Warninglist, WarninglistEntry

_NAMED = 5
"""How many of many entries are named."""
_value, _comment = operator.attrgetter("value"), operator.attrgetter("comment")


def changed(known: Warninglist | None, found: Warninglist | None) -> tuple[str, ...]:
    """Name what of a list differs from what is known of it; whether it is enabled is no part of what it holds."""
    if known is None or found is None:
        return () if known is found else ("existence",)
    pairs = {
        "name": (known.name, found.name),
        "description": (known.description, found.description),
        "type": (known.type, found.type),
        "category": (known.category, found.category),
        "matching attributes": (set(known.matching_attributes), set(found.matching_attributes)),
    }
    fields = tuple(field for field, (wanted, there) in pairs.items() if wanted != there)
    return fields if same_entries(known.entries, found.entries) else (*fields, "entries")


def same_entries(some: Sequence[WarninglistEntry], others: Sequence[WarninglistEntry]) -> bool:
    """Tell whether these are the same entries, in whatever order; in the same order it is told fast."""
    if len(some) != len(others):
        return False
    if all(map(operator.eq, map(_value, some), map(_value, others))) and all(
        map(operator.eq, map(_comment, some), map(_comment, others))
    ):
        return True
    return Counter(some) == Counter(others)


def in_words(known: Warninglist | None, found: Warninglist | None) -> str:
    """Say in words how the list found differs from the one known."""
    if known is None or found is None:
        return "it was created meanwhile" if found else "it is gone"
    words = [f"its {field} differs" for field in changed(known, found) if field != "entries"]
    for counts, what in (
        (Counter(known.entries) - Counter(found.entries), "missing"),
        (Counter(found.entries) - Counter(known.entries), "more"),
    ):
        if counts:
            named = ", ".join(entry.value for entry in list(counts)[:_NAMED])
            words.append(f"{counts.total():,} entries {what} ({named}{', …' if len(counts) > _NAMED else ''})")
    return "; ".join([f"it is at version {found.version}, expected {known.version}", *words])
