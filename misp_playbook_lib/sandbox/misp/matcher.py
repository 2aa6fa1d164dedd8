"""MISP's matching, plainly: one entry at a time, and in front of it the narrowing that MISP itself does with a hash.

Rules from MISP's Warninglist::checkValue and CidrTool::contains; the verdicts of a server are in the tests.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MODIFIERS = {  # PHP's letters as PCRE2's options (pcre2.h)
    "i": 0x00000008,
    "m": 0x00000400,
    "n": 0x00002000,
    "s": 0x00000020,
    "x": 0x00000080,
    "A": 0x80000000,
    "D": 0x00000010,
    "J": 0x00000040,
    "S": 0,
    "U": 0x00040000,
    "X": 0,
    "u": 0x000A0000,
}
NUMERIC = re.compile(r"[ \t\n\r\v\f]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\n\r\v\f]*")
BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">"}
IPV4_BITS = 32


def matches(list_type: str, entry: str, value: str) -> str | None:
    """Say what MISP names as matched where `entry` of a list of `list_type` matches `value`, else None."""
    match list_type:
        case "string":
            return value if entry == value else None
        case "substring":
            return entry if entry in value else None
        case "hostname":
            listed = host_entry(entry)
            return listed if listed in suffixes(value) else None
        case "cidr":
            return _cidr(entry, value)
        case "regex":
            pattern = compiled(entry)
            return entry if pattern is not None and pattern.search(value.encode("utf-8", "surrogatepass")) else None
        case _:
            return None


def host_entry(entry: str) -> str:
    """Return the form in which MISP keeps an entry of a hostname list."""
    return lower_ascii(entry.strip("."))


def lower_ascii(text: str) -> str:
    """Lower the case as PHP's strtolower does: A to Z alone."""
    return text if text.islower() else "".join(c.lower() if c.isascii() else c for c in text)


def suffixes(value: str) -> list[str]:
    """Return the parts of a value's host that MISP looks up, shortest first."""
    parts = value.split("/")
    host = parts[2] if "//" in value else parts[0]
    tried: list[str] = []
    rebuilt = ""
    for label in reversed(host.rstrip(".").split(".")):
        rebuilt = label if rebuilt in {"", "0"} else f"{label}.{rebuilt}"  # PHP takes "0" for empty
        tried.append(rebuilt)
    return tried


def _cidr(entry: str, value: str) -> str | None:
    parts = value.split("/")
    queried, mask = parts[0], parts[1] if len(parts) > 1 else ""
    address = parse_address(queried)
    network = parse_network(entry)
    if address is None or network is None:
        return None
    base, bits, written = network
    if base.version != address.version or bits < 0:
        return None
    unused = base.max_prefixlen - bits
    if int(address) >> unused != int(base) >> unused:
        return None
    if address.version == 4 and (written != str(bits) or int(base) & ((1 << unused) - 1)):  # noqa: PLR2004 - IPv4
        return None  # MISP looks for the network's own spelling: host bits never match
    if mask not in {"", "0"} and php_less(mask, str(bits)):
        return None
    return f"{written_address(base)}/{bits}"


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address strictly: no zone, no brackets, no leading zeros."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def written_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Write an address as inet_ntop does, which ends an embedded IPv4 address in dots."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
    return socket.inet_ntop(family, address.packed)


def parse_network(entry: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, str] | None:
    """Read an entry of a cidr list: address, bits and the bits as written; None where MISP refuses it.

    Bits that PHP takes though they are no number are -1: they never match.
    """
    written, slash, mask = entry.partition("/")
    address = parse_address(written)
    if address is None:
        return None
    if not slash:
        return address, address.max_prefixlen, str(address.max_prefixlen)
    if php_less(str(address.max_prefixlen), mask) or php_less(mask, "0"):
        return None
    number = php_number(mask)
    return address, -1 if number is None else int(number), mask


def php_number(text: str) -> float | None:
    """Read a numeric string as PHP 8 does, None where it is none."""
    return float(text) if NUMERIC.fullmatch(text) else None


def php_less(left: str, right: str) -> bool:
    """Compare two texts as PHP 8 does: as numbers where both are, else as texts."""
    one, other = php_number(left), php_number(right)
    return left < right if one is None or other is None else one < other


@lru_cache(maxsize=4096)
def compiled(entry: str) -> Any:
    """Compile a regular expression with its delimiters and modifiers; None where PHP's preg_match refuses it."""
    import pcre2  # noqa: PLC0415 - only regex lists need it, and a sandbox starts without

    text = entry.lstrip(" \t\n\r\v\f\0")
    if not text or text[0].isalnum() or text[0] == "\\" or not text[0].isascii():
        return None
    opening, closing = text[0], BRACKETS.get(text[0], text[0])
    depth, position = 1, 1
    while position < len(text) and depth:
        if text[position] == "\\":
            position += 1
        elif text[position] == closing:
            depth -= 1
        elif text[position] == opening:
            depth += 1
        position += 1
    modifiers = text[position:].translate({ord(c): None for c in " \n\r"})
    if depth or not set(modifiers) <= MODIFIERS.keys():
        return None
    options = 0
    for letter in modifiers:
        options |= MODIFIERS[letter]
    try:
        return pcre2.compile(text[1 : position - 1].encode("utf-8", "surrogatepass"), options)
    except pcre2.LibraryError:
        return None


class Entries:
    """A list's entries, prepared so that only those that can match a value are tried."""

    def __init__(self, list_type: str, values: Iterable[str]) -> None:
        self.list_type = list_type
        self.all: Sequence[str] = tuple(dict.fromkeys(values))
        self._keyed: dict[Any, str] = {}
        self._masks: list[tuple[int, int]] = []
        if list_type == "string":
            self._keyed = dict.fromkeys(self.all, "")
        elif list_type == "hostname":
            for entry in self.all:
                self._keyed.setdefault(host_entry(entry), entry)
        elif list_type == "cidr":
            for entry in self.all:
                network = parse_network(entry)
                if network is not None and network[1] >= 0:
                    base, bits, _ = network
                    key = (base.version, bits, int(base) >> (base.max_prefixlen - bits))
                    if base.version != 4 or matches("cidr", entry, str(base)):  # noqa: PLR2004 - IPv4
                        self._keyed.setdefault(key, entry)
            self._masks = sorted({key[:2] for key in self._keyed})

    def candidates(self, value: str) -> Iterator[str]:
        """Yield the entries that can match, in the order in which MISP would find them."""
        if self.list_type == "string":
            yield from (value,) if value in self._keyed else ()
        elif self.list_type == "hostname":
            yield from (self._keyed[part] for part in suffixes(value) if part in self._keyed)
        elif self.list_type == "cidr":
            address = parse_address(value.split("/", maxsplit=1)[0])
            if address is not None:
                for version, bits in self._masks:  # the widest network first
                    key = (version, bits, int(address) >> max(address.max_prefixlen - bits, 0))
                    if version == address.version and key in self._keyed:
                        yield self._keyed[key]
                        if version == 4:  # noqa: PLR2004 - MISP stops at the widest IPv4 network
                            return
        else:
            yield from self.all

    def first(self, value: str) -> str | None:
        """Return what the first matching entry is named as, None where none matches."""
        for entry in self.candidates(value):
            matched = matches(self.list_type, entry, value)
            if matched is not None:
                return matched
        return None


@dataclass(frozen=True, slots=True)
class EnabledList:
    """An enabled list as MISP keeps it in its cache."""

    id: int
    name: str
    category: str
    types: frozenset[str]
    entries: Entries

    def hit(self, kind: str, value: str) -> tuple[str, str] | None:
        """Return what matched an attribute and which part of it, None where the list does not apply or match."""
        if not self.types & {"ALL", kind}:
            return None
        parts = value.split("|", 1) if "|" in kind or kind == "malware-sample" else [value]
        for part in parts:
            matched = self.entries.first(part)
            if matched is not None:
                return matched, part
        return None


@dataclass(frozen=True, slots=True)
class Warnings:
    """What the enabled lists say about attributes; `for_all` is MISP.warning_for_all."""

    lists: Sequence[EnabledList]
    for_all: bool = False

    def matches(self, kind: str, value: str) -> bool:
        """Say whether enforceWarninglist leaves the attribute out: the IDS flag does not count here."""
        return any(enabled.hit(kind, value) for enabled in self.lists)

    def of(self, kind: str, value: str, *, to_ids: bool) -> list[dict[str, str]]:
        """Return an attribute's warnings as restSearch shows them."""
        found: list[dict[str, str]] = []
        for enabled in self.lists if to_ids or self.for_all else ():
            hit = enabled.hit(kind, value)
            if hit:
                found.append(
                    {
                        "match": hit[0],
                        "value": hit[1],
                        "warninglist_id": str(enabled.id),
                        "warninglist_name": enabled.name,
                        "warninglist_category": enabled.category,
                    }
                )
        return found

    def check(self, value: str) -> list[dict[str, str]]:
        """Return the lists that hold a value as checkValue shows them: no types, no halves."""
        hits: list[dict[str, str]] = []
        for enabled in self.lists:
            matched = enabled.entries.first(value)
            if matched is not None:
                hits.append({"id": str(enabled.id), "name": enabled.name, "matched": matched})
        return hits
