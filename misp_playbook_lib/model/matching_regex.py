"""PHP's `preg_match` over PCRE2: which entry of a regex list matches a value, by the byte as MISP does it.

MISP hands each entry to `preg_match` as it stands (app/Model/Warninglist.php, `__evalRegex`), so delimiters, modifiers,
byte-wise matching without `u`, limits and refusals are those of PHP 8 (ext/pcre/php_pcre.c;
https://www.php.net/manual/en/reference.pcre.pattern.modifiers.php). The package `pcre2` is the same engine with other
defaults; what differs is translated here.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

import pcre2

_PHP_LIMITS = b"(*LIMIT_MATCH=1000000)(*LIMIT_DEPTH=100000)"
"""php.ini's pcre.backtrack_limit and pcre.recursion_limit, as PHP ships; past them preg_match is false: no match."""

_JIT_STACK_LIMIT = -46
"""PCRE2_ERROR_JIT_STACKLIMIT: PHP gives the compiled code more stack than the package does."""

_UTF = 0x00080000
_EXTENDED = 0x00000080
_OPTIONS = {
    "i": 0x00000008,  # PCRE2_CASELESS
    "m": 0x00000400,  # PCRE2_MULTILINE
    "s": 0x00000020,  # PCRE2_DOTALL
    "x": _EXTENDED,
    "n": 0x00002000,  # PCRE2_NO_AUTO_CAPTURE
    "D": 0x00000010,  # PCRE2_DOLLAR_ENDONLY
    "U": 0x00040000,  # PCRE2_UNGREEDY
    "u": _UTF,  # and UCP, which the package adds as PHP does
    "J": 0x00000040,  # PCRE2_DUPNAMES
}
"""PHP's modifiers and the PCRE2 compile options behind them (pcre2.h)."""

_ANCHORED = "A"
_WITHOUT_EFFECT = "SX \n\r"
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}

_ESCAPE = re.compile(rb"\\(?:Q.*?(?:\\E|\Z)|x(?:\{[0-9A-Fa-f]+\}|[0-9A-Fa-f]{0,2})|c.|.)", re.DOTALL)
_REFUSED = rb"\i"
"""An escape that PCRE does not know either."""

_LAST_BYTE, _LAST_OF_PLANE_0, _LAST_CODE_POINT = 0xFF, 0xFFFF, 0x10FFFF

_COMBINABLE = re.compile(
    rb"(?:[^\\(]|\((?![?*])|\(\?(?:[:=!>]|<[=!]|[ims]*(?:-[ims]+)?[:)])|\\(?:[^0-9A-Za-z]|[aAbBdDefhHnNrRsStuvVwWxzZ]))*",
    re.DOTALL,
)
"""Patterns that mean the same inside an alternation: no names, references, recursion, conditions, verbs or `\\K`."""


class _Source(NamedTuple):
    """A pattern in the dialect of the package `pcre2`."""

    pattern: bytes
    options: int
    anchored: bool


class _Pattern:
    """A compiled pattern."""

    def __init__(self, source: _Source) -> None:
        """Compile; raises pcre2.LibraryError when PCRE refuses the pattern."""
        self._source = source
        self._interpreted = self._compile()

    def _compile(self) -> Any:
        return pcre2.compile(_PHP_LIMITS + self._source.pattern, self._source.options, jit=False)

    @cached_property
    def _machine_code(self) -> Any:
        """The pattern as PHP runs it, made when it is first asked: most patterns of a long list never are."""
        pattern = self._compile()
        try:
            pattern.jit_compile()
        except pcre2.LibraryError:  # PHP then interprets it
            return self._interpreted
        return pattern

    def search(self, value: bytes) -> bool:
        """Whether the pattern matches; raises pcre2.LibraryError for what PCRE gives up on (limits, no valid UTF-8)."""
        try:
            return self._run(self._machine_code, value)
        except pcre2.LibraryError as error:
            if error.code != _JIT_STACK_LIMIT:
                raise
        return self._run(self._interpreted, value)

    def _run(self, pattern: Any, value: bytes) -> bool:
        found = pattern.match(value) if self._source.anchored else pattern.search(value)
        return found is not None


class _Entry(NamedTuple):
    """An entry with its pattern."""

    entry: str
    source: _Source
    pattern: _Pattern

    def match(self, value: bytes) -> str | None:
        """Name the entry if preg_match is 1."""
        try:
            return self.entry if self.pattern.search(value) else None
        except pcre2.LibraryError:  # preg_match is false, and MISP reads that as no match
            return None


class _Group:
    """Entries of one set of options that an alternation rules out together; what passes is put to each half in turn."""

    def __init__(self, members: list[_Entry]) -> None:
        self._members = members
        self._source = members[0].source._replace(
            pattern=b"|".join(b"(?:" + member.source.pattern + b")" for member in members)
        )

    @cached_property
    def _any(self) -> _Pattern | None:
        try:
            return _Pattern(self._source)
        except pcre2.LibraryError:  # too large for PCRE: the halves are not
            return None

    @cached_property
    def _halves(self) -> tuple["_Group | _Entry", "_Group | _Entry"]:
        middle = len(self._members) // 2
        return _together(self._members[:middle]), _together(self._members[middle:])

    def match(self, value: bytes) -> str | None:
        """Name an entry of the group that matches."""
        if self._any is not None:
            try:
                if not self._any.search(value):
                    return None
            except pcre2.LibraryError:  # a limit that no entry may reach alone
                pass
        first, second = self._halves
        entry = first.match(value)
        return second.match(value) if entry is None else entry


def _together(members: list[_Entry]) -> _Group | _Entry:
    return _Group(members) if len(members) > 1 else members[0]


class RegexIndex:
    """The entries of a regex list, combined where that is sound."""

    def __init__(self, entries: Iterable[str]) -> None:
        inert: list[str] = []
        alone: list[_Entry] = []
        kin: dict[tuple[int, bool], list[_Entry]] = {}
        for entry in dict.fromkeys(entries):
            compiled = compile_entry(entry)
            if compiled is None:
                inert.append(entry)
            elif compiled.source.options & _EXTENDED or not _COMBINABLE.fullmatch(compiled.source.pattern):
                alone.append(compiled)
            else:
                kin.setdefault((compiled.source.options, compiled.source.anchored), []).append(compiled)
        self._groups = [*map(_together, kin.values()), *alone]
        self.inert = tuple(inert)

    def match(self, value: str) -> str | None:
        """Name an entry that matches; MISP tries them in no order of its own."""
        subject = value.encode("utf-8", "surrogatepass")
        for group in self._groups:
            entry = group.match(subject)
            if entry is not None:
                return entry
        return None


def compile_entry(entry: str) -> _Entry | None:
    """Compile an entry; None: PHP or PCRE refuses it, and preg_match is false whatever the value."""
    source = _parse(entry)
    if source is None:
        return None
    try:
        return _Entry(entry, source, _Pattern(source))
    except pcre2.LibraryError:
        return None


def _parse(entry: str) -> _Source | None:
    """Take an entry apart as PHP does (ext/pcre/php_pcre.c, pcre_get_compiled_regex_cache); None: PHP refuses it."""
    # latin-1 gives a character for each byte: PHP looks for delimiters among bytes
    text = entry.encode("utf-8", "surrogatepass").decode("latin-1").lstrip(" \t\n\r\v\f")
    start = text[:1]
    if not start or start in "\\\0" or (start.isascii() and start.isalnum()):
        return None
    end = _end_of_pattern(text, start)
    if end is None:
        return None
    modifiers = set(text[end + 1 :])
    if not modifiers <= {*_OPTIONS, _ANCHORED, *_WITHOUT_EFFECT}:
        return None
    options = 0
    for modifier in modifiers & _OPTIONS.keys():
        options |= _OPTIONS[modifier]
    pattern = text[1:end].encode("latin-1")
    utf = bool(options & _UTF) or b"(*UTF)" in pattern
    return _Source(_translate(pattern, utf=utf), options, _ANCHORED in modifiers)


def _end_of_pattern(text: str, start: str) -> int | None:
    """Find the closing delimiter: escaped ones are skipped, brackets of the delimiter's kind are paired."""
    closing = _CLOSING.get(start, start)
    depth = 1
    at = 1
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == closing:
            depth -= 1
            if depth == 0:
                return at
        elif text[at] == start:
            depth += 1
        at += 1
    return None


def _translate(pattern: bytes, *, utf: bool) -> bytes:
    r"""Write PHP's escapes in the package's dialect.

    The package reads `\x`, `\u` and `\U` as ECMAScript does (PCRE2_ALT_BSUX): `\x{41}` would be 41 times an x. PHP
    reads `\x` as Perl does and refuses the other two.
    """

    def rewrite(found: re.Match[bytes]) -> bytes:
        escape = found[0]
        if escape[1:2] == b"x":
            digits = escape[2:].strip(b"{}")
            malformed = not digits and pattern[found.end() : found.end() + 1] == b"{"
            return _REFUSED if malformed else _character(int(digits or b"0", 16), utf=utf)
        return _REFUSED if escape in {rb"\u", rb"\U"} else escape

    return _ESCAPE.sub(rewrite, pattern)


def _character(code: int, *, utf: bool) -> bytes:
    """Write a character by its code, in as many digits as the package wants."""
    if code <= _LAST_BYTE:
        return b"\\x%02x" % code
    if code <= _LAST_OF_PLANE_0:
        return b"\\u%04x" % code  # PCRE refuses surrogates, and any of these where a character is a byte
    return chr(code).encode() if utf and code <= _LAST_CODE_POINT else _REFUSED
