"""Checks of entries that are patterns: regexes and substrings, held against a sample of ordinary indicators."""

import string
from collections.abc import Sequence

import pcre2  # type: ignore[import-untyped]  # the package has no types

from misp_playbook_lib.model.findings import Finding, Rule, finding
from misp_playbook_lib.model.matching_regex import compile_entry
from misp_playbook_lib.model.sample import ORDINARY, SAMPLE, STRESS

_MUCH = 0.05
_MOST = 0.5
"""The shares of the sample, and of one kind in it, from which on an entry matches too much."""
_SHORT = 2
_RUN = 40
_PROBES = [(value, value.encode()) for value in (*ORDINARY, *STRESS)]
_JOINED = "\n".join(ORDINARY)


def lint_regex(value: str) -> Finding | None:
    """Find what is wrong with an entry of a regex list, by PHP's preg_match with PHP's limits."""
    compiled = compile_entry(value)
    if compiled is None:
        return finding(Rule.INVALID_REGEX, value, "PHP's preg_match refuses it, and so does MISP", _regex_remedy(value))
    try:
        if compiled.pattern.search(b""):
            return finding(
                Rule.BROAD_REGEX,
                value,
                "it matches the empty string, and so, unless anchored at both ends, every value",
                "require at least one character that is its own",
            )
        matched = [value for value, subject in _PROBES if compiled.pattern.search(subject)]
        for subject in _own_stress(value):
            compiled.pattern.search(subject)
    except pcre2.LibraryError:
        return finding(
            Rule.RUNAWAY_REGEX,
            value,
            "it runs into PCRE2's match limit on a short value: much work, which MISP then reads as no match",
            "avoid a repetition inside a repetition, such as (a+)+",
        )
    reason = _too_much(matched)
    return finding(Rule.BROAD_REGEX, value, reason, "narrow it down, or anchor it with ^ and $") if reason else None


def _own_stress(entry: str) -> list[bytes]:
    """Make long runs of the pattern's own letters; all of them stand behind, or PCRE2 would see that one is missing."""
    own = dict.fromkeys(character for character in entry if character.isalnum())
    behind = "!" + "".join(own)
    return [(character * _RUN + behind).encode("utf-8", "surrogatepass") for character in list(own)[:_RUN]]


def lint_substring(value: str) -> Finding | None:
    """Find whether an entry of a substring list is in nearly everything."""
    reason = None
    if len(value) <= _SHORT:
        reason = "one or two characters are part of nearly every value"
    elif value in _JOINED:
        reason = _too_much([known for known in ORDINARY if value in known])
    return (
        finding(Rule.BROAD_SUBSTRING, value, reason, "take a longer part, or another type of list") if reason else None
    )


def _too_much(matched: Sequence[str]) -> str | None:
    hits = set(matched)
    for kind, values in SAMPLE.items():
        if len(hits.intersection(values)) >= _MOST * len(values):
            return f"it matches most values of type {kind} in a sample of ordinary ones, such as {values[0]}"
    ordinary = len(hits.intersection(ORDINARY))
    if ordinary >= _MUCH * len(ORDINARY):
        return f"it matches {ordinary} of {len(ORDINARY)} ordinary values, such as {matched[0]}"
    return None


def _regex_remedy(value: str) -> str:
    if value[:1] and (value[0].isalnum() or value[0] in "^\\"):
        body = value.replace("/", "\\/")
        if compile_entry(f"/{body}/") is not None:
            return f"PCRE wants delimiters: /{body}/"
    body = value.rstrip(string.ascii_letters)
    flags = value[len(body) :]
    if "g" in flags and compile_entry(body + flags.replace("g", "")) is not None:
        return f"PCRE knows no flag g: {body}{flags.replace('g', '')}"
    return "correct the pattern, with delimiters such as /…/i"
