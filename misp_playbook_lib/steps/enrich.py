"""Ask misp-modules about the entries it takes, one at a time, and say of each what came of it."""

import time
from collections.abc import Callable, Sequence

from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.model.indicators import Indicator, classify, is_public
from misp_playbook_lib.model.modules import ModuleAvailability, ModuleRow
from misp_playbook_lib.model.results import Enrichment, LookupResult, LookupResults, LookupStatus

ADDRESS_TYPES = ("ip-src", "ip-dst")


def enrich(
    client: MispModulesClient,
    module: ModuleAvailability,
    entries: Sequence[str],
    *,
    key: str,
    wait: float,
    pause: Callable[[float], None] = time.sleep,
) -> LookupResults:
    """Ask `module` about every entry whose type it takes, `wait` seconds apart."""
    results: list[LookupResult] = []
    asked = False
    for entry in entries:
        question = to_ask(entry, module)
        if isinstance(question, LookupResult):
            results.append(question)
            continue
        if asked:
            pause(wait)
        asked = True
        results.append(lookup(client, module.row, entry, question, key))
    return LookupResults(module.row.name, tuple(results))


def to_ask(entry: str, module: ModuleAvailability) -> Indicator | LookupResult:
    """Return what to ask a module about an entry, or the result that says why it is not asked."""
    indicator = classify(entry)
    if indicator is None:
        return _not_asked(entry, module, LookupStatus.TYPE_NOT_TAKEN, None, "no indicator type recognised")
    if indicator.type in ADDRESS_TYPES and "/" in indicator.value:
        return _not_asked(entry, module, LookupStatus.TYPE_NOT_TAKEN, indicator, "a network is no address")
    question = accepted_form(indicator, module.accepts)
    if question is None:
        detail = f"{module.row.name} does not take {indicator.type}"
        return _not_asked(entry, module, LookupStatus.TYPE_NOT_TAKEN, indicator, detail)
    if not is_public(indicator):
        return _not_asked(entry, module, LookupStatus.WITHHELD, indicator, "not a public address or host name")
    return question


def accepted_form(indicator: Indicator, accepts: Sequence[str]) -> Indicator | None:
    """Return the indicator under a type that the module takes: an address is as good a source as a destination."""
    if indicator.type in accepts:
        return indicator
    if indicator.type in ADDRESS_TYPES:
        return next((Indicator(type_, indicator.value) for type_ in ADDRESS_TYPES if type_ in accepts), None)
    if indicator.type == "domain" and "hostname" in accepts:
        return Indicator("hostname", indicator.value)
    return None


def lookup(client: MispModulesClient, row: ModuleRow, entry: str, question: Indicator, key: str) -> LookupResult:
    """Put one question and turn whatever comes back into a status."""
    try:
        answer = client.query(row.name, question, {"apikey": key} if key else {})
    except ServiceError as error:
        return LookupResult(entry, row.name, LookupStatus.FAILED, question, str(error))
    if answer.error is not None:
        status, detail = read_error(answer.error)
        return LookupResult(entry, row.name, status, question, detail)
    kept = tuple(one for one in answer.enrichments if not _left_out(one, row))
    status = LookupStatus.ANSWERED if kept else LookupStatus.NOTHING_KNOWN
    return LookupResult(entry, row.name, status, question, "", kept)


def read_error(error: str) -> tuple[LookupStatus, str]:
    """Turn a module's error text into a status (misp_modules/modules/expansion/virustotal*.py, shodan.py)."""
    text = " ".join(error.split())[:200]
    lowered = text.lower()
    if "quota exceeded" in lowered or "too many requests" in lowered:
        return LookupStatus.RATE_LIMITED, text
    if any(
        words in lowered for words in ("wrong api key", "forbidden", "not authorized", "authentication", "api key is")
    ):
        return LookupStatus.KEY_REFUSED, text
    if lowered.endswith("not found"):
        return LookupStatus.NOTHING_KNOWN, text
    if "something went wrong" in lowered:
        return LookupStatus.UNKNOWN, "the module gave no reason; the module server's log may have it"
    return LookupStatus.FAILED, text or "the module failed without a word"


def _not_asked(
    entry: str, module: ModuleAvailability, status: LookupStatus, indicator: Indicator | None, detail: str
) -> LookupResult:
    return LookupResult(entry, module.row.name, status, indicator, detail)


def _left_out(one: Enrichment, row: ModuleRow) -> bool:
    return f"{one.category}/{one.type}" in row.leave_out
