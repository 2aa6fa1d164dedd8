"""Which entries may leave the house, and what a module is asked about those that may."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from misp_playbook_lib.model.indicators import Indicator, classify, is_public
from misp_playbook_lib.model.modules import ModuleAvailability
from misp_playbook_lib.model.results import LookupResult, LookupStatus
from misp_playbook_lib.model.warninglist import WarninglistType
from misp_playbook_lib.untrusted import holds_secret

ADDRESS_TYPES = ("ip-dst", "ip-src")
_SAME_KIND = (ADDRESS_TYPES, ("ip-dst|port", "ip-src|port"), ("email-src", "email-dst", "email"))
"""Types between which MISP's freetext import chooses by default only: each is as good a question as the other."""
_NO_VALUES = {
    WarninglistType.REGEX: "an entry of a regex list is a pattern, no value",
    WarninglistType.SUBSTRING: "an entry of a substring list is part of a value",
}
# A name ends where no letter, digit or hyphen follows; evil.example under corp.example.evil.example is not internal.
_NAME = r"(?<![a-z0-9-])(?:{})(?![a-z0-9-]|\.[a-z0-9])"


@dataclass(frozen=True, slots=True)
class Policy:
    """What must not be asked of anybody outside."""

    tlp: str
    list_type: WarninglistType
    internal_domains: tuple[str, ...] = ()

    def withheld(self, indicator: Indicator | None) -> str:  # noqa: PLR0911 - one return for each reason
        """Say why an entry stays here, empty if it may leave; `indicator` is what it was recognised as."""
        if self.tlp == "red":
            return "TLP:RED leaves to nobody"
        if reason := _NO_VALUES.get(self.list_type, ""):
            return reason
        if indicator is None:
            return ""
        if holds_secret(indicator.value):
            return "a secret of the vault is in it"
        if indicator.type in ADDRESS_TYPES and "/" in indicator.value:
            return "a network is no address"
        if not is_public(indicator):
            return "private, reserved or for documentation: not on the public internet"
        if name := _named(self.internal_domains, indicator.value):
            return f"{name} is one of internal_domains in the vault"
        return ""


def to_ask(entry: str, module: ModuleAvailability, policy: Policy) -> Indicator | LookupResult:
    """Return what to ask a module about an entry, or the result that says why it is not asked."""
    indicator = classify(entry)
    if reason := policy.withheld(indicator):
        return LookupResult(entry, module.row.name, LookupStatus.WITHHELD, indicator, reason)
    if indicator is None:
        detail = "no indicator type recognised"
        return LookupResult(entry, module.row.name, LookupStatus.TYPE_NOT_TAKEN, None, detail)
    question = accepted_form(indicator, module.accepts)
    if question is None:
        detail = f"{module.row.name} does not take {indicator.type}"
        return LookupResult(entry, module.row.name, LookupStatus.TYPE_NOT_TAKEN, indicator, detail)
    return question


def accepted_form(indicator: Indicator, accepts: Sequence[str]) -> Indicator | None:
    """Return the indicator under a type that the module takes: an address is as good a source as a destination."""
    if indicator.type in accepts:
        return indicator
    kin = ["hostname"] if indicator.type == "domain" else []
    kin += [type_ for types in _SAME_KIND if indicator.type in types for type_ in types]
    return next((Indicator(type_, indicator.value) for type_ in kin if type_ in accepts), None)


def _named(domains: Iterable[str], value: str) -> str:
    """Return the first of `domains` that a value names, itself or a name below it, also inside a URL or an address."""
    text = unquote(value).casefold()
    for domain in domains:
        known = classify(domain)
        forms = {domain.casefold(), known.value.casefold() if known else domain.casefold()}
        if re.search(_NAME.format("|".join(map(re.escape, forms))), text):
            return domain
    return ""
