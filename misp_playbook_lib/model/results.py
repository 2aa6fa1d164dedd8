"""What the steps found and did: each result keeps where it came from, each status is a word."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.warninglist import Warninglist


class ApplyOutcome(StrEnum):
    """What became of a plan."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    NOT_WRITTEN = "not written (dry run)"


@dataclass(frozen=True, slots=True)
class Applied:
    """A plan and what became of it; `warninglist` is as read back (None: a dry run of a list that is not there)."""

    plan: WarninglistPlan
    outcome: ApplyOutcome
    warninglist: Warninglist | None


class Published(StrEnum):
    """Which events a retro-search looks at."""

    YES = "published"
    NO = "unpublished"
    BOTH = "published and unpublished"


@dataclass(frozen=True, slots=True)
class Event:
    """The MISP event an attribute stands in."""

    id: int
    uuid: str
    info: str
    date: str
    organisation: str
    published: bool
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A MISP attribute, with its event; `tags` are its own and those it inherits."""

    id: int
    uuid: str
    type: str
    category: str
    value: str
    to_ids: bool
    comment: str
    timestamp: datetime
    tags: tuple[str, ...]
    event: Event


@dataclass(frozen=True, slots=True)
class AttributeMatch:
    """An attribute in MISP that an entry hits; `part` is what it hits: the value, or half of a composite."""

    entry: str
    part: str
    attribute: Attribute


@dataclass(frozen=True, slots=True)
class CorrelationResult:
    """What a retro-search found; `incomplete` says, in words, what could not be searched and why."""

    matches: tuple[AttributeMatch, ...]
    entries_searched: int
    published: Published
    tags: tuple[str, ...]
    incomplete: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[AttributeMatch, ...]:
        """The matches, for an analyst to filter."""
        return self.matches

    @property
    def entries_matched(self) -> int:
        """How many entries hit something."""
        return len({match.entry for match in self.matches})

    @property
    def events(self) -> int:
        """How many events hold a match."""
        return len({match.attribute.event.id for match in self.matches})


class LookupStatus(StrEnum):
    """What became of one question to one module."""

    ANSWERED = "answered"
    NOTHING_KNOWN = "nothing known"
    RATE_LIMITED = "rate limited"
    KEY_REFUSED = "key refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    TYPE_NOT_TAKEN = "type not taken"
    WITHHELD = "withheld"
    NOT_ASKED = "not asked"

    @property
    def could_not_ask(self) -> bool:
        """Whether the question was put and no answer came of it."""
        return self in _COULD_NOT_ASK


_COULD_NOT_ASK = frozenset(
    {LookupStatus.RATE_LIMITED, LookupStatus.KEY_REFUSED, LookupStatus.FAILED, LookupStatus.UNKNOWN}
)


class EnrichmentKind(StrEnum):
    """What an answer is to the analyst."""

    ECHO = "echo of the question"
    INDICATOR = "new indicator"
    DETECTION = "detections"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Enrichment:
    """One thing that a module answered."""

    value: str
    type: str
    category: str
    object_name: str
    relation: str
    kind: EnrichmentKind


@dataclass(frozen=True, slots=True)
class LookupResult:
    """One question to one module: who asked (`entry`), as what (`indicator`), and what came of it."""

    entry: str
    module: str
    status: LookupStatus
    indicator: Indicator | None = None
    detail: str = ""
    enrichments: tuple[Enrichment, ...] = ()


@dataclass(frozen=True, slots=True)
class LookupResults:
    """Every question to one module."""

    module: str
    lookups: tuple[LookupResult, ...]

    @property
    def rows(self) -> tuple[LookupResult, ...]:
        """The lookups, for an analyst to filter."""
        return self.lookups

    def count(self, *statuses: LookupStatus) -> int:
        """How many lookups ended in one of `statuses`."""
        return sum(lookup.status in statuses for lookup in self.lookups)

    def enrichments(self, kinds: Iterable[EnrichmentKind]) -> tuple[Enrichment, ...]:
        """Collect what was answered of these kinds: an indicator once, however many entries led to it."""
        wanted = frozenset(kinds)
        found = {
            (one.kind, one.value, lookup.entry if one.kind is EnrichmentKind.DETECTION else ""): one
            for lookup in self.lookups
            for one in lookup.enrichments
            if one.kind in wanted
        }
        return tuple(found.values())

    @property
    def asked(self) -> int:
        """How many questions were put to the module."""
        return sum(
            lookup.status.could_not_ask or lookup.status in (LookupStatus.ANSWERED, LookupStatus.NOTHING_KNOWN)
            for lookup in self.lookups
        )

    @property
    def could_not_ask(self) -> tuple[LookupResult, ...]:
        """The questions that got no answer."""
        return tuple(lookup for lookup in self.lookups if lookup.status.could_not_ask)


class DeliveryStatus(StrEnum):
    """What became of a message."""

    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to one service; `detail` says why it was skipped or failed, or what was sent."""

    service: str
    status: DeliveryStatus
    detail: str
    parts: int = 0
    reference: str = ""
