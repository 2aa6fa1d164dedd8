"""What a check says about an entry: how bad, by which rule, why, and what to do."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding does to a run."""

    ERROR = "error"
    """MISP would refuse it, or it can only do harm: blocks."""
    DANGEROUS = "dangerous"
    """Would match nearly everything: blocks unless `accept_dangerous`."""
    WARNING = "warning"
    """Worth an analyst's look."""


class Rule(StrEnum):
    """The rules, by the names that findings carry."""

    EMPTY = "empty"
    NOT_STORABLE = "not-storable"
    TOO_LONG = "too-long"
    UNKNOWN_TYPE = "unknown-type"
    INVALID_NETWORK = "invalid-network"
    INVALID_REGEX = "invalid-regex"
    RUNAWAY_REGEX = "runaway-regex"
    WIDE_NETWORK = "wide-network"
    PUBLIC_SUFFIX = "public-suffix"
    BROAD_SUBSTRING = "broad-substring"
    BROAD_REGEX = "broad-regex"
    HOST_BITS = "host-bits"
    NO_HOSTNAME = "no-hostname"
    STORED_OTHERWISE = "stored-otherwise"
    COMPOSITE = "composite"
    NOT_PUBLIC = "not-public"
    NEAR_DUPLICATE = "near-duplicate"
    LISTED_ELSEWHERE = "listed-elsewhere"


SEVERITIES = {
    Rule.EMPTY: Severity.ERROR,
    Rule.NOT_STORABLE: Severity.ERROR,
    Rule.TOO_LONG: Severity.ERROR,
    Rule.UNKNOWN_TYPE: Severity.ERROR,
    Rule.INVALID_NETWORK: Severity.ERROR,
    Rule.INVALID_REGEX: Severity.ERROR,
    Rule.RUNAWAY_REGEX: Severity.ERROR,
    Rule.WIDE_NETWORK: Severity.DANGEROUS,
    Rule.PUBLIC_SUFFIX: Severity.DANGEROUS,
    Rule.BROAD_SUBSTRING: Severity.DANGEROUS,
    Rule.BROAD_REGEX: Severity.DANGEROUS,
    Rule.HOST_BITS: Severity.WARNING,
    Rule.NO_HOSTNAME: Severity.WARNING,
    Rule.STORED_OTHERWISE: Severity.WARNING,
    Rule.COMPOSITE: Severity.WARNING,
    Rule.NOT_PUBLIC: Severity.WARNING,
    Rule.NEAR_DUPLICATE: Severity.WARNING,
    Rule.LISTED_ELSEWHERE: Severity.WARNING,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `entry` is the entry's value (or the attribute type), `remedy` names the form that would match."""

    severity: Severity
    entry: str
    rule: Rule
    reason: str
    remedy: str


def finding(rule: Rule, entry: str, reason: str, remedy: str) -> Finding:
    """Make a finding with its rule's severity."""
    return Finding(SEVERITIES[rule], entry, rule, reason, remedy)


def blocking(findings: Iterable[Finding], *, accept_dangerous: bool) -> tuple[Finding, ...]:
    """Keep what must stop a write: errors always, dangerous entries unless they are accepted."""
    passing = {Severity.WARNING, Severity.DANGEROUS} if accept_dangerous else {Severity.WARNING}
    return tuple(found for found in findings if found.severity not in passing)


def counted(findings: Iterable[Finding]) -> dict[tuple[Severity, Rule], int]:
    """Count findings by severity and rule, the worst first."""
    counts = Counter((found.severity, found.rule) for found in findings)
    return dict(sorted(counts.items(), key=lambda item: (list(Severity).index(item[0][0]), -item[1])))
