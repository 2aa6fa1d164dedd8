"""What is wrong or dangerous about entries, told before MISP has them.

MISP takes nearly everything (app/Model/Warninglist.php validates only networks and patterns): what it takes and never
matches, or matches everywhere, is found here. One finding a rule and entry: a caller counts many.
"""

import difflib
import re
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from misp_playbook_lib.model.findings import Finding, Rule, finding
from misp_playbook_lib.model.indicators import Indicator, Indicators, classify, is_public, refang
from misp_playbook_lib.model.lint_patterns import lint_regex, lint_substring
from misp_playbook_lib.model.recognise import SPECIAL_USE_TLDS, address, host, network, public_suffixes
from misp_playbook_lib.model.warninglist import (
    ALL_ATTRIBUTES,
    LONGEST_TEXT,
    UNSTORABLE,
    WarninglistEntry,
    WarninglistType,
)

CHECK_VALUE_LIMIT = 10_000
"""How many entries are asked about in `warninglists/checkValue`; more would keep the server busy for seconds."""

_WIDE = {socket.AF_INET: 8, socket.AF_INET6: 16}  # more than any one organisation holds
_WIDEST_RESERVED = {socket.AF_INET: 4, socket.AF_INET6: 7}  # 240.0.0.0/4, fc00::/7
_HOSTNAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_IN_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#@]*@)?(?:\*?\.)?([^/?#:@\s|]+)", re.IGNORECASE)
_MASK = re.compile(r"[0-9]{1,3}")
# where IANA's special-purpose registries begin, so that other addresses need no closer look
_SPECIAL = re.compile(
    r"(?:0|10|127|22[4-9]|2[3-5][0-9])\.|100\.(?:6[4-9]|[7-9]|1[0-2])|169\.254\.|172\.(?:1[6-9]|2|3[01])"
    r"|192\.(?:0|88|168)\.|198\.(?:1[89]|51)\.|203\.0\.|2001:|2002:|(?!2[0-9a-f]{3}:)[0-9a-f]*:",
)
_ADDRESSES = frozenset({"ip-dst", "ip-dst|port"})
_HOST_OF_URL = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/@]*@)?\[?([^/]*)", re.IGNORECASE)
_PRIVATE = "a private or reserved address: it names another machine in every network"
_LEAVE_OUT = "leave it out, unless the list is about one network"


def lint(
    entries: Iterable[WarninglistEntry],
    list_type: WarninglistType,
    matching_attributes: Collection[str],
    known_types: Collection[str] | None = None,
    indicators: Indicators | None = None,
) -> tuple[Finding, ...]:
    """Find what is wrong with a list, in the order of its entries; linear in their number.

    `known_types` are the server's attribute types (`describeTypes`); without them the types are not checked.
    `indicators` knows what the values are, where an earlier step has classified them.
    """
    findings = [] if known_types is None else _lint_types(matching_attributes, known_types)
    known = Indicators() if indicators is None else indicators
    check = partial(_check_string, known) if list_type is WarninglistType.STRING else _CHECKS[list_type]
    seen: dict[str, str] = {}
    for entry in entries:
        value = entry.value
        if not value or value.isspace():
            findings.append(finding(Rule.EMPTY, value, _EMPTY[list_type], "leave it out"))
            continue
        if not (value.isascii() and entry.comment.isascii() and len(value) + len(entry.comment) <= LONGEST_TEXT):
            wrong = _unstorable(entry)
            if wrong is not None:
                findings.append(wrong)
                continue
        key = check(value, findings)
        first = seen.get(key)
        if first is None:
            seen[key] = value
        else:
            kind = "twice on the list" if first == value else f"nearly the same as {first}"
            findings.append(finding(Rule.NEAR_DUPLICATE, value, kind, "keep one of them"))
    return tuple(findings)


def lint_listed(
    answer: Mapping[str, Sequence[Mapping[str, str]]],
    entries: Iterable[WarninglistEntry],
    own_id: int | None,
) -> tuple[Finding, ...]:
    """Find entries that stand on another enabled list, out of what `warninglists/checkValue` answered for them.

    The answer holds hits by value, each with `id`, `name` and `matched` of a list; a hit on the list itself (`own_id`)
    is none.
    """
    findings = []
    for entry in entries:
        lists = {hit["id"]: hit for hit in answer.get(entry.value.strip(), ()) if hit["id"] != str(own_id)}
        for hit in lists.values():
            reason = f"also on “{hit['name']}” (list {hit['id']}), by its entry {hit['matched']}"
            remedy = "make sure that it belongs on this list too"
            findings.append(finding(Rule.LISTED_ELSEWHERE, entry.value, reason, remedy))
    return tuple(findings)


_EMPTY = dict.fromkeys(WarninglistType, "an empty entry") | {
    WarninglistType.SUBSTRING: "an empty entry, which is part of every value and so matches everything",
}


def _lint_types(types: Collection[str], known: Collection[str]) -> list[Finding]:
    findings = []
    for name in types:
        if name in known or name == ALL_ATTRIBUTES:
            continue
        near = difflib.get_close_matches(name, known, 1)
        remedy = f"did you mean {near[0]}?" if near else "take a type that the server knows, or ALL"
        reason = "no attribute type of this MISP: it takes the list and matches nothing by this type"
        findings.append(finding(Rule.UNKNOWN_TYPE, name, reason, remedy))
    return findings


def _unstorable(entry: WarninglistEntry) -> Finding | None:
    for text, what in ((entry.value, "the value"), (entry.comment, "the comment")):
        size = len(text)
        if not text.isascii():
            if wrong := UNSTORABLE.search(text):
                reason = (
                    f"{what} has U+{ord(wrong[0]):04X}, which MISP's tables do not hold (it answers with an error 500)"
                )
                return finding(Rule.NOT_STORABLE, entry.value, reason, "leave the character out")
            size = len(text.encode())
        if size > LONGEST_TEXT:
            reason = f"{what} has {size:,} bytes, MISP holds {LONGEST_TEXT:,} (it answers with an error 500)"
            return finding(Rule.TOO_LONG, entry.value, reason, "shorten it")
    return None


def _check_string(indicators: Indicators, value: str, findings: list[Finding]) -> str:
    indicator = indicators[value]
    if indicator is None:
        if (plain := refang(value.strip())) != value:
            _stored_otherwise(value, plain, findings)
        return plain.lower()
    kind, stored = indicator.type, indicator.value
    if "|" in kind:
        form = stored.partition("|")[2 if kind.startswith("filename|") else 0]
        findings.append(
            finding(Rule.COMPOSITE, value, "MISP tests the two halves of such a value apart", f"write {form}")
        )
    elif stored != value:
        _stored_otherwise(value, stored, findings)
    if kind in _ADDRESSES:
        _check_public(value, stored, indicator, findings)
    elif kind == "url" and (found := _HOST_OF_URL.match(stored)) is not None:
        _check_public(value, found[1], indicator, findings)
    return stored.lower().rstrip("/")


def _stored_otherwise(value: str, form: str, findings: list[Finding]) -> None:
    reason = "MISP stores such a value in another form and compares letter by letter: this one never matches"
    findings.append(finding(Rule.STORED_OTHERWISE, value, reason, f"write {form}"))


def _check_public(value: str, place: str, indicator: Indicator, findings: list[Finding]) -> None:
    if _SPECIAL.match(place) and not is_public(indicator):
        findings.append(finding(Rule.NOT_PUBLIC, value, _PRIVATE, _LEAVE_OUT))


def _check_substring(value: str, findings: list[Finding]) -> str:
    if (wrong := lint_substring(value)) is not None:
        findings.append(wrong)
    elif (plain := refang(value)) != value:
        _stored_otherwise(value, plain, findings)
    return value.lower()


def _check_regex(value: str, findings: list[Finding]) -> str:
    if (wrong := lint_regex(value)) is not None:
        findings.append(wrong)
    return value


def _check_hostname(value: str, findings: list[Finding]) -> str:
    name = value.lower().strip(".")
    ip = address(name)
    if ip is not None:
        if name.endswith(".0"):
            reason = "MISP never matches an address that ends in .0 in a hostname list"
            findings.append(finding(Rule.NO_HOSTNAME, value, reason, "use a cidr or string list"))
        elif ip != name:
            _stored_otherwise(value, ip, findings)
        _check_public(value, ip, Indicator("ip-dst", ip), findings)
    elif _HOSTNAME.fullmatch(name) is None:
        form = _host_in(value)
        if "/" in value and network(value) is not None:
            form, remedy = None, "use a cidr list"
        else:
            remedy = f"write {form}" if form else "use a string list"
        reason = "MISP compares whole labels: with a port, a path, a scheme or a wildcard it matches no host name"
        findings.append(finding(Rule.NO_HOSTNAME, value, reason, remedy))
        return form or name
    elif (name in SPECIAL_USE_TLDS and name != "localhost") or public_suffixes().publicsuffix(name) == name:
        reason = f"a public suffix: every name below .{name} would match"
        findings.append(finding(Rule.PUBLIC_SUFFIX, value, reason, "name the domains below it"))
    return name


def _host_in(value: str) -> str | None:
    found = _IN_URL.match(refang(value.strip()))
    return host(found[1]) or address(found[1]) if found is not None else None


def _check_cidr(value: str, findings: list[Finding]) -> str:
    base, slash, mask = value.partition("/")
    family = socket.AF_INET6 if ":" in base else socket.AF_INET
    try:
        packed = socket.inet_pton(family, base)
    except (OSError, ValueError):  # no address; a zero byte, or a character outside ASCII
        return _invalid_network(value, findings)
    bits = len(packed) * 8
    if slash and (not _MASK.fullmatch(mask) or int(mask) > bits):
        return _invalid_network(value, findings)
    length = int(mask) if slash else bits
    number = int.from_bytes(packed)
    outside = number & ((1 << (bits - length)) - 1)
    lowest = socket.inet_ntop(family, (number ^ outside).to_bytes(len(packed)))
    form = lowest if length == bits else f"{lowest}/{length}"
    if family is socket.AF_INET and (outside or (slash and mask != str(length))):
        reason = "MISP looks IPv4 networks up by their first address and plain length: it takes this and never matches"
        findings.append(finding(Rule.HOST_BITS, value, reason, f"write {form}, or {base} for the one address"))
    if length >= _WIDEST_RESERVED[family] and _SPECIAL.match(form) and not is_public(Indicator("ip-dst", form)):
        findings.append(finding(Rule.NOT_PUBLIC, value, _PRIVATE, _LEAVE_OUT))
    elif length <= _WIDE[family]:
        reason = f"a network of 2^{bits - length} addresses: it would match far too much"
        findings.append(finding(Rule.WIDE_NETWORK, value, reason, "name the smaller networks that are meant"))
    return form


def _invalid_network(value: str, findings: list[Finding]) -> str:
    indicator = classify(value)
    kind = indicator.type if indicator is not None else ""
    if indicator is not None and kind in _ADDRESSES:
        remedy = f"write {indicator.value.partition('|')[0]}"
    elif kind in {"domain", "hostname"}:
        remedy = "a host name: use a hostname list"
    else:
        remedy = "write an address, or a network such as 198.51.100.0/24 or 2001:db8::/32"
    findings.append(finding(Rule.INVALID_NETWORK, value, "no address and no network: MISP refuses the list", remedy))
    return value


_CHECKS: dict[WarninglistType, Callable[[str, list[Finding]], str]] = {
    WarninglistType.SUBSTRING: _check_substring,
    WarninglistType.HOSTNAME: _check_hostname,
    WarninglistType.CIDR: _check_cidr,
    WarninglistType.REGEX: _check_regex,
}
"""By type, but for string: a check that adds findings and gives the key under which near-duplicates meet."""
