"""What each entry of a list hits, in figures."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryFigures:
    """What one entry hits, and the first and last day on which it was seen (of the attribute, else of its event)."""

    entry: str
    attributes: int
    events: int
    first_seen: str
    last_seen: str


def entry_figures(hits: Iterable[tuple[str, int, str, str]]) -> tuple[EntryFigures, ...]:
    """Sum up hits by entry, most first; each is an entry, the event's ID, the first and the last day."""
    of_entry: dict[str, list[tuple[int, str, str]]] = {}
    for entry, event, first_seen, last_seen in hits:
        of_entry.setdefault(entry, []).append((event, first_seen, last_seen))
    figures = []
    for entry, found in of_entry.items():
        events, first_days, last_days = zip(*found, strict=True)
        figures.append(EntryFigures(entry, len(found), len(set(events)), min(first_days), max(last_days)))
    return tuple(sorted(figures, key=lambda one: -one.attributes))
