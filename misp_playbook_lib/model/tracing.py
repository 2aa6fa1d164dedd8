"""Traces an attribute to the entry that it meets, or would meet if MISP did not insist on how a value is written."""

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from misp_playbook_lib.model.matching import Silence, WarninglistMatcher, parts
from misp_playbook_lib.model.warninglist import WarninglistType


class Trace(NamedTuple):
    """The entry, the part of the attribute's value that meets it, and why MISP does not see it (None: it does)."""

    entry: str
    part: str
    silence: Silence | None = None


class Tracer:
    """The entries of one list, ready to be looked for in many attributes.

    What MISP finds comes first. Names and addresses mean the same in either case, so beyond that a string list is
    traced without regard to letters' case and to an IPv6 address's form, a hostname list without regard to the case of
    the value. In the other types a difference in case may be a difference in meaning.
    """

    def __init__(self, type: WarninglistType, entries: Iterable[str]) -> None:  # noqa: A002 - MISP's name of the field
        values = tuple(entries)
        self._exactly = WarninglistMatcher(type, values).match_attribute
        self._lower = type is WarninglistType.HOSTNAME
        self._alike: dict[str, str] = {}
        if type is WarninglistType.STRING:
            for value in reversed(values):
                self._alike[_alike(value)] = value

    def trace(self, attribute_type: str, value: str) -> Trace | None:
        """Find the entry of an attribute of this type and value."""
        hit = self._exactly(attribute_type, value)
        if hit is not None:
            return Trace(*hit)
        if self._alike:
            for part in parts(attribute_type, value):
                entry = self._alike.get(_alike(part))
                if entry is not None:
                    cased = part.casefold() == entry.casefold()
                    return Trace(entry, part, Silence.LETTERS_CASE if cased else Silence.ADDRESS_FORM)
        elif self._lower and (lowered := value.lower()) != value:
            hit = self._exactly(attribute_type, lowered)
            if hit is not None:
                return Trace(*hit, Silence.LETTERS_CASE)
        return None


def _alike(value: str) -> str:
    """Return one form for all spellings: an IPv6 address's shortest, anything else without case."""
    if value.count(":") > 1:
        try:
            return ipaddress.IPv6Address(value).compressed
        except ValueError:
            pass  # no address: its case alone may differ
    return value.casefold()
