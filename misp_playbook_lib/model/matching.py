"""MISP's five ways to match a value with the entries of a warninglist, indexed.

The rules are those of app/Model/Warninglist.php (`checkValue`, `getFilteredEntries`) and app/Lib/Tools/CidrTool.php,
oddities included: what is found here is what MISP warns on. Where a value meets several entries MISP names the first in
the order of its cache, which is none, except that a hostname list names the shortest suffix and a cidr list the widest
network.
"""

import re
import socket
import string
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol

import ahocorasick

from misp_playbook_lib.model.matching_regex import RegexIndex
from misp_playbook_lib.model.warninglist import ALL_ATTRIBUTES, WarninglistType

_MALWARE_SAMPLE = "malware-sample"
"""The composite type that does not say so by a `|` in its name."""


class AttributeHit(NamedTuple):
    """The entry that an attribute meets, and the part of the attribute's value that meets it."""

    entry: str
    part: str


class Silence(StrEnum):
    """Why MISP does not warn on an attribute that an entry matches."""

    LETTERS_CASE = "the letters' case differs, and MISP compares letter by letter"
    ADDRESS_FORM = "the entry writes the address otherwise than MISP stores it"
    LIST_DISABLED = "the list is disabled"
    TYPE_NOT_MATCHED = "the attribute's type is not among the list's matching attributes"
    TO_IDS_OFF = "the attribute is not marked to_ids"
    TO_IDS_OFF_PERHAPS = "the attribute is not marked to_ids, and only a site admin may read MISP.warning_for_all"


class WarninglistMatcher:
    """The entries of one list, ready to be asked about many values; a value costs the same however many there are.

    `inert` holds the entries that no value can ever match, in their order: networks with host bits, patterns that PCRE
    refuses, hostnames with a slash.
    """

    def __init__(self, type: WarninglistType, entries: Iterable[str]) -> None:  # noqa: A002 - MISP's name of the field
        self.type = type
        index = _INDEXES[type](entries)
        self.inert: tuple[str, ...] = index.inert
        self._match = index.match

    def match(self, value: str) -> str | None:
        """Name the entry, as it was given, that a bare value meets; None: none does. Nothing is trimmed or split."""
        return self._match(value)

    def match_attribute(self, attribute_type: str, value: str) -> AttributeHit | None:
        """Find the entry that an attribute of this type and value meets: the first part that hits, wins."""
        for part in parts(attribute_type, value):
            entry = self._match(part)
            if entry is not None:
                return AttributeHit(entry, part)
        return None


def parts(attribute_type: str, value: str) -> tuple[str, ...]:
    """Split what MISP tests apart: a composite's value once at its first `|`, any other value not at all."""
    if "|" in attribute_type or attribute_type == _MALWARE_SAMPLE:
        return tuple(value.split("|", 1))
    return (value,)


def silenced_by(
    *,
    enabled: bool,
    matching_attributes: Collection[str],
    attribute_type: str,
    to_ids: bool,
    warning_for_all: bool | None,
) -> Silence | None:
    """Say why MISP stays silent on a match (`checkForWarning`); None: it warns.

    `warning_for_all` is the server's setting MISP.warning_for_all, by which attributes without to_ids count too; None:
    it may not be read.
    """
    if not enabled:
        return Silence.LIST_DISABLED
    if ALL_ATTRIBUTES not in matching_attributes and attribute_type not in matching_attributes:
        return Silence.TYPE_NOT_MATCHED
    if to_ids or warning_for_all:
        return None
    return Silence.TO_IDS_OFF_PERHAPS if warning_for_all is None else Silence.TO_IDS_OFF


class _Index(Protocol):
    """What the index of each type offers."""

    inert: tuple[str, ...]

    def __init__(self, entries: Iterable[str]) -> None: ...

    def match(self, value: str) -> str | None: ...


class _StringIndex:
    """Equal, letter by letter."""

    inert: tuple[str, ...] = ()

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = frozenset(entries)

    def match(self, value: str) -> str | None:
        return value if value in self._entries else None


class _SubstringIndex:
    """The value contains the entry; an empty entry is in every value."""

    inert: tuple[str, ...] = ()

    def __init__(self, entries: Iterable[str]) -> None:
        self._automaton = ahocorasick.Automaton()
        self._otherwise: str | None = None
        for entry in entries:
            if entry:
                self._automaton.add_word(entry, entry)
            else:
                self._otherwise = entry
        self._automaton.make_automaton()

    def match(self, value: str) -> str | None:
        if not self._automaton:
            return self._otherwise
        for _, entry in self._automaton.iter(value):
            return str(entry)
        return self._otherwise


class _HostnameIndex:
    """The value's host is the entry or lies below it. Entries are lower-cased, values are not."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries: dict[str, str] = {}
        inert: list[str] = []
        for entry in entries:
            name = _lower(entry.strip("."))
            self._entries.setdefault(name, entry)
            # a host has no slash, and labels of 0 at its end are dropped before a suffix is looked up
            if "/" in name or name.endswith(".0"):
                inert.append(entry)
        self._longest = max(map(len, self._entries), default=0)
        self.inert = tuple(inert)

    def match(self, value: str) -> str | None:
        host = value
        if "/" in value:
            host = value.split("/", 3)[2 if "//" in value else 0]
        host = host.rstrip(".")
        entries = self._entries
        if host.endswith(".0"):
            # PHP's empty("0") is true: MISP looks up each 0 alone and starts the suffix again with the label before
            while "." in host and (label := host[host.rfind(".") + 1 :]) in {"", "0"}:
                if label in entries:
                    return entries[label]
                host = host[: host.rfind(".")]
        dot = host.rfind(".")
        while dot >= 0:
            if len(host) - dot > self._longest + 1:
                return None
            entry = entries.get(host[dot + 1 :])
            if entry is not None:
                return entry
            dot = host.rfind(".", 0, dot)
        return entries.get(host)


_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def _lower(text: str) -> str:
    """PHP's strtolower, which knows the letters of ASCII alone."""
    lowered = text.lower() if text.isascii() else text.translate(_ASCII_LOWER)
    return text if lowered == text else lowered  # one string for a million entries that were lower-case already


class _CidrIndex:
    """The value is an address or a network inside the entry: a table of prefixes for each length in use.

    Where an IPv6 network lies in one entry and is wider than another, MISP's verdict hangs on the order of its cache;
    here it is a hit.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        tables: dict[socket.AddressFamily, dict[int, dict[int, str]]] = {socket.AF_INET: {}, socket.AF_INET6: {}}
        inert: list[str] = []
        for entry in entries:
            network = _network(entry)
            if network is None:
                inert.append(entry)
            else:
                prefix = network.address >> (_BITS[network.family] - network.length)
                tables[network.family].setdefault(network.length, {}).setdefault(prefix, entry)
        self._tables = {
            family: [(length, _BITS[family] - length, lengths[length]) for length in sorted(lengths)]
            for family, lengths in tables.items()
        }
        self.inert = tuple(inert)

    def match(self, value: str) -> str | None:
        address, slash, rest = value.partition("/")
        found = _address(address)
        if found is None:
            return None
        family, number = found
        for length, shift, prefixes in self._tables[family]:
            entry = prefixes.get(number >> shift)
            if entry is not None:
                mask = rest.partition("/")[0] if slash else ""
                # "" and "0" are false in PHP, which then compares no masks
                return entry if mask in {"", "0"} or _compare(mask, length) >= 0 else None
        return None


_BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}
_IPV4_LENGTHS = {str(length): length for length in range(33)}
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMERIC = re.compile(rf"[ \t\n\r\v\f]*{_NUMBER}[ \t\n\r\v\f]*")
_LEADING_NUMBER = re.compile(rf"[ \t\n\r\v\f]*({_NUMBER}).*", re.DOTALL)


class _Network(NamedTuple):
    family: socket.AddressFamily
    address: int
    length: int


def _network(entry: str) -> _Network | None:
    """Read an entry as CidrTool does; None: it refuses the entry, or looks it up by a name that no address has."""
    text, slash, mask = entry.partition("/")
    found = _address(text)
    if found is None:
        return None
    family, address = found
    bits = _BITS[family]
    if not slash:
        return _Network(family, address, bits)
    if family == socket.AF_INET:
        # networks are looked up as text, so only the canonical one is ever found: 10.0.0.0/8, not 10.1.2.3/8 or /08
        length = _IPV4_LENGTHS.get(mask)
        if length is None or address & ((1 << (bits - length)) - 1):
            return None
        return _Network(family, address, length)
    if _compare(mask, bits) > 0 or _compare(mask, 0) < 0:
        return None
    # arithmetic on a string takes the number it begins with: from "0" to "128" all begin with one
    return _Network(family, address, int(float(_LEADING_NUMBER.sub(r"\1", mask))))


def _address(text: str) -> tuple[socket.AddressFamily, int] | None:
    """Read a bare address: no port, brackets, zone or leading zeros."""
    if text.count(":") > 1:
        family = socket.AF_INET6
    elif text[-1:].isdigit() and text[:1].isdigit():
        family = socket.AF_INET
    else:
        return None
    try:
        return family, int.from_bytes(socket.inet_pton(family, text))
    except (OSError, ValueError):  # no address; ValueError: NUL and lone surrogates
        return None


def _compare(text: str, number: int) -> int:
    """Compare a string with a number as PHP 8 does: by value when the string is numeric, else letter by letter."""
    if _NUMERIC.fullmatch(text):
        value = float(text)
        return (value > number) - (value < number)
    return (text > str(number)) - (text < str(number))


_INDEXES: dict[WarninglistType, type[_Index]] = {
    WarninglistType.STRING: _StringIndex,
    WarninglistType.SUBSTRING: _SubstringIndex,
    WarninglistType.HOSTNAME: _HostnameIndex,
    WarninglistType.CIDR: _CidrIndex,
    WarninglistType.REGEX: RegexIndex,
}
