"""The entries that a run was given: where they came from, what had to be corrected, what the check found."""

from collections.abc import Iterable
from dataclasses import dataclass

from misp_playbook_lib.model.corrections import Correction
from misp_playbook_lib.model.findings import Finding
from misp_playbook_lib.model.indicators import classify
from misp_playbook_lib.model.matching import parts
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType

_ADDRESSES = frozenset({"ip-dst"})
_HOSTS = frozenset({"domain", "hostname", "onion-address"})


@dataclass(frozen=True, slots=True)
class Source:
    """Where entries came from and how many; `sha256` of a file, `left_out` what of it was of no use and why."""

    name: str
    entries: int
    sha256: str = ""
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class ValuesRead:
    """Entries as they will be planned, with their history."""

    entries: tuple[WarninglistEntry, ...]
    sources: tuple[Source, ...]
    corrections: tuple[Correction, ...]
    findings: tuple[Finding, ...]
    checked_elsewhere: str
    """What was asked of the other enabled lists, in words."""


@dataclass(frozen=True, slots=True)
class EventAttribute:
    """What an event's attribute gives to a list."""

    type: str
    value: str
    to_ids: bool
    comment: str
    uuid: str = ""


def entries_of_event(
    attributes: Iterable[EventAttribute], list_type: WarninglistType
) -> tuple[tuple[WarninglistEntry, ...], str]:
    """Take from an event what belongs on a list of a type, and say in words what was left out.

    Attributes without to_ids are context, not indicators. Of a composite, MISP tests the parts: the one that says
    something is taken (of `filename|md5` the hash, of `ip-dst|port` the address), both of `domain|ip`. A cidr list
    takes addresses, a hostname list host names.
    """
    entries, context, unfit = [], 0, 0
    for attribute in attributes:
        if not attribute.to_ids:
            context += 1
            continue
        values = [value for value in _telling(attribute) if _fits(value, list_type)]
        entries += [WarninglistEntry(value, attribute.comment) for value in values]
        unfit += not values
    words = []
    if context:
        words.append(f"{context:,} attributes without to_ids")
    if unfit:
        words.append(f"{unfit:,} attributes that are nothing for a {list_type} list")
    return tuple(entries), ", ".join(words)


def _telling(attribute: EventAttribute) -> tuple[str, ...]:
    halves = parts(attribute.type, attribute.value)
    if len(halves) == 1:
        return halves
    if attribute.type == "malware-sample" or attribute.type.startswith("filename|"):
        return halves[1:]
    if attribute.type.endswith(("|port", "|value")):
        return halves[:1]
    return halves


def _fits(value: str, list_type: WarninglistType) -> bool:
    if list_type is WarninglistType.REGEX:
        return False
    if list_type not in (WarninglistType.CIDR, WarninglistType.HOSTNAME):
        return True
    indicator = classify(value)
    return indicator is not None and indicator.type in (_ADDRESSES if list_type is WarninglistType.CIDR else _HOSTS)
