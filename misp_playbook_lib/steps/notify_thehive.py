"""The summary as an alert in TheHive, its entries as observables."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from misp_playbook_lib.clients.thehive import (
    MAX_BODY,
    MAX_LINK,
    MAX_OBSERVABLE,
    MAX_SOURCE_REF,
    MAX_SUMMARY,
    MAX_TAG,
    MAX_TITLE,
    MAX_TYPE,
    SERVICE,
    TheHiveClient,
)
from misp_playbook_lib.model.indicators import classify
from misp_playbook_lib.model.results import CorrelationResult
from misp_playbook_lib.model.tlp import TLP_LEVELS, strictest
from misp_playbook_lib.model.warninglist import WarninglistType
from misp_playbook_lib.parameters import PAP_LEVELS, PlaybookParameters
from misp_playbook_lib.report.summary import Section, Summary
from misp_playbook_lib.report.tables import markdown_code, one_line, table
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps.notify import Message, Receipt
from misp_playbook_lib.steps.notify_parts import left_out, markdown_chunks, pack

SOURCE = "misp-playbook"
MAX_OBSERVABLES = 10_000
"""Entries that become observables of one alert; the others are counted, and listed in the archive."""

ROOM = 200_000
"""Characters of an alert's summary: about a thousand matches, beyond which nobody reads a page."""

TEXT_WEIGHT = 2_500_000
"""Bytes kept free in a request for title, description and summary, six for a character beyond ASCII."""

LEVELS_WEIGHT = 50
"""Bytes of an observable's TLP and PAP in JSON, with what stands between two observables."""

LOW, MEDIUM, HIGH = 1, 2, 3
"""TheHive's levels of severity (docs.strangebee.com, alerts); critical is left to people."""

DATA_TYPES = {
    "ip-dst": "ip",
    "domain": "domain",
    "hostname": "fqdn",
    "onion-address": "fqdn",
    "url": "url",
    "link": "url",
    "md5": "hash",
    "sha1": "hash",
    "sha224": "hash",
    "sha256": "hash",
    "sha384": "hash",
    "sha512": "hash",
    "email-src": "mail",
    "filename": "filename",
    "AS": "autonomous-system",
    "regkey": "registry",
}
"""TheHive's default observable types by what an entry is recognised as; anything else is `other`."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")

Observable = dict[str, Any]


class TheHiveNotifier:
    """Adds one alert.

    Args:
        parameters: what the run takes.
        settings: the server and the key.

    """

    service = SERVICE
    chat = False
    idempotent = True

    def __init__(self, parameters: PlaybookParameters, settings: Settings) -> None:
        key = settings.secret("thehive_key")
        self.wanted = parameters.send_to_thehive
        self.missing = "thehive_key" if not key else "" if settings.thehive_url else "thehive_url"
        self.max_tlp = settings.thehive_max_tlp
        self._parameters = parameters
        self._client = TheHiveClient(settings.thehive_url, key)

    def render(self, summary: Summary) -> tuple[Message, ...]:
        """Write the summary as one alert."""
        wanted = self._parameters
        tlp = strictest((wanted.tlp, summary.tlp))
        levels = {"tlp": TLP_LEVELS.index(tlp), "pap": PAP_LEVELS.index(wanted.pap)}
        observables, not_taken = _observables(summary)
        sections = [*_no_observables(not_taken), *summary.sections]
        chunks = markdown_chunks(replace(summary, sections=tuple(sections)), brief=False)
        [part], left = pack(chunks, room=ROOM, most=1, each=8)
        body = "\n\n".join(
            "\n\n".join([f"### {title}", *("\n".join(filter(None, [one.head, *one.rows])) for one in pieces)])
            for title, pieces in part.sections()
        )
        foot = f"{left_out(left)} {summary.pointer}".strip()
        alert = {
            "type": one_line(wanted.thehive_alert_type or SOURCE, MAX_TYPE),
            "source": SOURCE,
            "sourceRef": _bounded_reference(wanted.thehive_alert_reference or reference(summary)),
            "title": one_line(wanted.thehive_alert_title or summary.title, MAX_TITLE),
            "severity": severity(summary),
            **levels,
            "tags": _tags(summary, tlp, wanted.pap),
            "description": _description(summary, len(not_taken)),
            "summary": f"{body}\n\n{foot}"[:MAX_SUMMARY],
            "observables": [one | levels for one in observables],
        }
        if summary.url and len(summary.url) <= MAX_LINK:
            alert["externalLink"] = summary.url
        return (Message("thehive-alert.json", json.dumps(alert, ensure_ascii=False, indent=1)),)

    def send(self, message: Message) -> Receipt:
        """Add the alert, or find the one that says the same.

        Raises:
            ServiceError: it was not accepted.

        """
        added = self._client.add_alert(json.loads(message.text))
        if not added.existed:
            return Receipt(f"Added alert {added.id}.", added.id, added.url)
        which = f"as alert {added.id}" if added.id else "as an alert that could not be asked for"
        return Receipt(f"The same result was reported before {which}.", added.id, added.url)


def reference(summary: Summary) -> str:
    """Return a reference that is the same for the same result: server, list, entries, and the attributes they hit."""
    if summary.applied is None or summary.matches is None:
        return f"{SOURCE}-{summary.run_id}"
    plan, current = summary.applied.plan, summary.applied.warninglist
    facts = [
        [summary.url, plan.name, plan.type, plan.category, sorted(plan.matching_attributes)],
        sorted([entry.value, entry.comment] for entry in plan.entries),
        sorted({(match.entry, match.attribute.uuid) for match in summary.matches.found}),
    ]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    return f"misp-warninglist-{current.id if current else 0}-{digest}"


def severity(summary: Summary) -> int:
    """Judge by what was found: high where an attribute hit is marked for detection (to_ids), medium for any other hit.

    What failed or could not be searched is medium too: nothing found is then no answer.
    """
    matches = summary.matches.found if summary.matches else ()
    if any(match.attribute.to_ids for match in matches):
        return HIGH
    return MEDIUM if matches or summary.failures else LOW


def data_type(value: str, list_type: WarninglistType) -> tuple[str, str]:
    """Return TheHive's type of an entry, and the entry in the form that this type asks for."""
    if list_type is WarninglistType.REGEX:
        return "regexp", value
    found = classify(value)
    kind = DATA_TYPES.get(found.type, "other") if found else "other"
    if found is None or kind == "other" or (kind == "ip" and "/" in found.value):
        return "other", value
    return kind, found.value


def _observables(summary: Summary) -> tuple[list[Observable], list[tuple[str, str]]]:
    """Return an observable an entry, and each entry that TheHive would not take with the reason."""
    if summary.applied is None:
        return [], []
    hits = _hits(summary.matches)
    taken: dict[tuple[str, str], Observable] = {}
    not_taken = []
    free = MAX_BODY - TEXT_WEIGHT
    for entry in summary.applied.plan.entries:
        kind, data = data_type(entry.value, summary.applied.plan.type)
        reason = _refusal(data)
        message = ". ".join(filter(None, [one_line(entry.comment), hits.get(entry.value, "")]))
        one = {"dataType": kind, "data": data, "message": message, "tags": [SOURCE]}
        weight = len(json.dumps(one)) + LEVELS_WEIGHT
        if not reason and (kind, data) in taken:
            reason = "the same observable as another entry"
        elif not reason and (len(taken) == MAX_OBSERVABLES or weight > free):
            reason = f"an alert takes {len(taken):,} observables"
        if reason:
            not_taken.append((entry.value, reason))
        else:
            taken[kind, data] = one
            free -= weight
    return list(taken.values()), not_taken


def _no_observables(not_taken: Sequence[tuple[str, str]]) -> list[Section]:
    rows = table("No observables", ("Entry", "Why"), not_taken)
    return [Section("Entries that are no observables", (rows,))] if not_taken else []


def _refusal(data: str) -> str:
    if len(data) > MAX_OBSERVABLE:
        return f"{len(data):,} characters, TheHive takes {MAX_OBSERVABLE:,}"
    return "" if data.strip() and not _NO_TEXT.search(data) else "empty, or with a null byte or half a character"


def _hits(matches: CorrelationResult | None) -> dict[str, str]:
    """Say of each entry that hit something that may be shown what it hit."""
    found = matches.matches if matches else ()
    least = "at least " if matches and matches.withheld else ""
    count = Counter(match.entry for match in found)
    events: dict[str, list[int]] = {}
    for match in found:
        known = events.setdefault(match.entry, [])
        if match.attribute.event.id not in known and len(known) < 10:  # noqa: PLR2004 - a message stays a line
            known.append(match.attribute.event.id)
    return {
        entry: f"Hits {least}{count[entry]:,} attributes in MISP, events {', '.join(map(str, known))}"
        for entry, known in events.items()
    }


def _tags(summary: Summary, tlp: str, pap: str) -> list[str]:
    tags = [SOURCE, "misp-warninglist", f"tlp:{tlp}", f"PAP:{pap.upper()}"]
    name = summary.applied.plan.name if summary.applied else ""
    return [*tags, *([one_line(f"warninglist:{name}", MAX_TAG)] if name else [])]


def _description(summary: Summary, not_taken: int) -> str:
    link = [f"[The list in MISP]({summary.url})"] if summary.url else []
    missing = [f"{not_taken:,} entries are no observables of this alert: they are listed in its summary."]
    where = f"{markdown_code(one_line(summary.where))} {summary.pointer}"
    parts = [f"**{summary.mark}**", summary.intro, *link, *(missing if not_taken else []), where]
    return "\n\n".join(parts)[:MAX_SUMMARY]


def _bounded_reference(reference: str) -> str:
    """Shorten a reference so that two that differ still differ."""
    if len(reference) <= MAX_SOURCE_REF:
        return reference
    digest = hashlib.sha256(reference.encode()).hexdigest()[:32]
    return f"{reference[: MAX_SOURCE_REF - 33]}-{digest}"
