"""New entries in the form in which MISP will find them, and what had to be changed for it."""

from collections.abc import Iterable
from dataclasses import dataclass

from misp_playbook_lib.model.indicators import Indicator, Indicators, classify, refang, trim
from misp_playbook_lib.model.reading import merge_doubles
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType

_LOWER = frozenset(
    {"domain", "hostname", "onion-address", "domain|ip", "hostname|port", "tlsh"}
    | {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"},
)
_FILENAME = "filename|"


@dataclass(frozen=True, slots=True)
class Correction:
    """What was given, what it became, and why."""

    before: str
    after: str
    reason: str


def correct(
    entries: Iterable[WarninglistEntry],
    list_type: WarninglistType,
    indicators: Indicators | None = None,
) -> tuple[tuple[WarninglistEntry, ...], tuple[Correction, ...]]:
    """Correct every entry (`normalise_entry`); values that become equal are merged, the first comment stays.

    `indicators` remembers what the values are for the steps that follow.
    """
    known = Indicators() if indicators is None else indicators
    corrected, corrections = [], []
    for entry in entries:
        indicator = known[entry.value] if list_type is not WarninglistType.REGEX else None
        normal, correction = _normalise(entry, list_type, indicator)
        corrected.append(normal)
        if correction is not None:
            corrections.append(correction)
    return merge_doubles(corrected), tuple(corrections)


def normalise_entry(entry: WarninglistEntry, list_type: WarninglistType) -> tuple[WarninglistEntry, Correction | None]:
    """Trim an entry; refang it if it is an indicator, and lower-case it if that is a host name or a hash.

    Patterns of a regex list are only trimmed, as is what is no indicator: its letters may matter.
    """
    return _normalise(entry, list_type, classify(entry.value) if list_type is not WarninglistType.REGEX else None)


def _normalise(
    entry: WarninglistEntry,
    list_type: WarninglistType,
    indicator: Indicator | None,
) -> tuple[WarninglistEntry, Correction | None]:
    value = entry.value
    if indicator is not None and indicator.value == value:
        return entry, None
    reasons = []
    after = value.strip()
    if indicator is not None and list_type is not WarninglistType.SUBSTRING:
        after = trim(after)
    if after != value:
        reasons.append("trimmed")
    if indicator is not None:
        if (plain := refang(after)) != after:
            reasons.append("refanged")
        lower = _lower(indicator.type, plain)
        if lower != plain:
            reasons.append("in lower case, as MISP stores it")
        after = lower
    if not reasons:
        return entry, None
    return WarninglistEntry(after, entry.comment), Correction(value, after, ", ".join(reasons))


def _lower(kind: str, value: str) -> str:
    if kind in _LOWER:
        return value.lower()
    if kind.startswith(_FILENAME) and kind != "filename|ssdeep":
        name, _, digest = value.partition("|")
        return f"{name}|{digest.lower()}"
    return value
