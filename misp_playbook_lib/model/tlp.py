"""Levels of the Traffic Light Protocol (TLP 2.0, first.org/tlp), and what MISP's tags and distributions ask for."""

from collections.abc import Iterable

TLP_LEVELS = ("clear", "green", "amber", "amber+strict", "red")
"""From the loosest to the strictest."""

_TAG = "tlp:"
_WHITE = "white"
"""TLP 1.0's name of clear."""
_OWN_ORGANISATION, _SHARING_GROUP = 0, 4
"""MISP's distributions that name who may read: nobody else is meant to (app/Model/Event.php, distributionLevels)."""


def strictest(levels: Iterable[str]) -> str:
    """Return the strictest of levels; empty ones are no levels, and none at all is empty."""
    return max(filter(None, levels), key=TLP_LEVELS.index, default="")


def above(level: str, most: str) -> bool:
    """Tell whether a level is stricter than another."""
    return TLP_LEVELS.index(level) > TLP_LEVELS.index(most)


def label(level: str) -> str:
    """Write a level as FIRST does: TLP:AMBER+STRICT."""
    return f"TLP:{level.upper()}"


def asked_for(tags: Iterable[str], distribution: int) -> str:
    """Return the level that MISP's tags and distribution ask for, empty if they ask for none.

    An unknown `tlp:` tag is red: whoever set it meant to restrict something.
    """
    given = (tag.strip().lower().removeprefix(_TAG).strip() for tag in tags if tag.strip().lower().startswith(_TAG))
    levels = ["clear" if name == _WHITE else name if name in TLP_LEVELS else "red" for name in given]
    return strictest([*levels, "amber+strict" if distribution in {_OWN_ORGANISATION, _SHARING_GROUP} else ""])
