"""Summaries to be told: of runs that found much, little, or what somebody hostile wrote."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.plan import WarninglistAction, plan
from misp_playbook_lib.model.results import (
    Applied,
    ApplyOutcome,
    Attribute,
    AttributeMatch,
    CorrelationResult,
    Enrichment,
    EnrichmentKind,
    Event,
    LookupResult,
    LookupResults,
    LookupStatus,
    Scope,
)
from misp_playbook_lib.model.warninglist import (
    Warninglist,
    WarninglistCategory,
    WarninglistEntry,
    WarninglistSpec,
    WarninglistType,
)
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report.summary import Summary, summarise
from misp_playbook_lib.settings import Settings

MISP = "https://misp.example"
RUN_ID = "20260101T000000Z-abc123"

HOSTILE = [
    "@all @channel @here <!channel> <!here> <!all> <@U012AB3CD> <!subteam^S012AB3CD>",
    "[click](http://evil.example/) <http://evil.example/|click> http://evil.example/x?a=1&b=2 www.evil.example",
    "| a | b |\n| - | - |\n# head\n> quote\n- item\n***bold*** ~~gone~~ $x$ :boom: #tag",
    "`@all` ``` @channel ``` `` <!here>",
    "![image](http://evil.example/i.png)<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\u202eevil\u202c \u200b\u200e\u200f \x00 \x1b[31m \ud800 \U0001f4a3\U0001f4a3",
    "<a",
    "x> @all",
    "evil\\",
    "x" * 100_000,
    "http://evil.example/" + "y" * 100_000,
]


def attribute(number: int, value: str, *, info: str = "", comment: str = "", to_ids: bool = False) -> Attribute:
    event = Event(number, f"event-{number}", info or f"Event {number}", "2026-01-01", "ORG", published=True, tags=())
    return Attribute(
        id=number,
        uuid=f"attribute-{number}",
        type="domain",
        category="Network activity",
        value=value,
        to_ids=to_ids,
        comment=comment,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        first_seen="",
        last_seen="",
        tags=(),
        event=event,
    )


def match(number: int, value: str = "", **words: Any) -> AttributeMatch:
    value = value or f"host-{number}.evil.example"
    return AttributeMatch(value, value, attribute(number, value, **words), silence=None)


def lookups(answer: str = "evil.example") -> LookupResults:
    found = Enrichment(answer, "domain", "Network activity", "domain-ip", "domain", EnrichmentKind.INDICATOR)
    asked = Indicator("ip-dst", "198.51.100.7")
    one = LookupResult("198.51.100.7", "virustotal_public", LookupStatus.ANSWERED, asked, enrichments=(found,))
    return LookupResults("virustotal_public", (one,))


def summary(
    matches: Sequence[AttributeMatch] = (),
    entries: Sequence[WarninglistEntry] = (WarninglistEntry("198.51.100.7", "a comment"),),
    *,
    name: str = "Campaign",
    list_type: WarninglistType = WarninglistType.STRING,
    tlp: str = "amber",
    failures: Sequence[str] = (),
    found: Sequence[LookupResults] = (),
    outcome: ApplyOutcome = ApplyOutcome.CREATED,
) -> Summary:
    planned = plan(WarninglistSpec(name, tuple(entries), type=list_type), None, WarninglistAction.APPEND)
    current = Warninglist(
        id=7,
        name=name,
        description=name,
        type=list_type,
        category=WarninglistCategory.KNOWN,
        matching_attributes=("ALL",),
        entries=planned.entries,
        version=1,
        enabled=True,
    )
    return summarise(
        title="Create a custom MISP warninglist",
        tlp=tlp,
        where=f"{MISP} (MISP 2.5.1) as user@misp.example, organisation ORG, role admin.",
        applied=Applied(planned, outcome, current),
        url=f"{MISP}/warninglists/view/7",
        matches=CorrelationResult(tuple(matches), tuple(entry.value for entry in entries), Scope()),
        lookups=found,
        failures=failures,
        run_id=RUN_ID,
        archived=True,
    )


def hostile_summary(texts: Sequence[str] = HOSTILE) -> Summary:
    """Return a summary in which every text that comes from outside is one of these."""
    matches = [match(number, text, info=text, comment=text) for number, text in enumerate(texts, 1)]
    entries = [WarninglistEntry(text or "x", text) for text in texts]
    return summary(matches, entries, name=texts[0], failures=texts, found=[lookups(text) for text in texts])


def parameters(**given: Any) -> PlaybookParameters:
    return PlaybookParameters(warninglist_name="Campaign", **given)


def settings(**given: Any) -> Settings:
    return Settings(misp_url=MISP, misp_key="k" * 40, **given)
