"""What the steps found and did: each result keeps where it came from, each status is a word."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from misp_playbook_lib.model.entry_figures import EntryFigures, entry_figures
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.matching import Silence
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.tlp import strictest
from misp_playbook_lib.model.warninglist import Warninglist


class ApplyOutcome(StrEnum):
    """What became of a plan."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    NOT_WRITTEN = "not written (dry run)"


@dataclass(frozen=True, slots=True)
class Applied:
    """A plan and what became of it; `warninglist` is as read back (None: a dry run of a list that is not there).

    `others` says, in words, what others did to the list at the same time.
    """

    plan: WarninglistPlan
    outcome: ApplyOutcome
    warninglist: Warninglist | None
    others: str = ""


class Published(StrEnum):
    """Which events a retro-search looks at."""

    YES = "published"
    NO = "unpublished"
    BOTH = "published and unpublished"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which attributes a retro-search looks at: with any of the tags (`!tag`: without it), changed since."""

    published: Published = Published.BOTH
    tags: tuple[str, ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """The MISP event an attribute stands in; `tlp` is the level that tags and distribution ask for, empty if none."""

    id: int
    uuid: str
    info: str
    date: str
    organisation: str
    published: bool
    tags: tuple[str, ...]
    tlp: str = ""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A MISP attribute, with its event; `tags` and `tlp` are its own, `first_seen` and `last_seen` days or empty."""

    id: int
    uuid: str
    type: str
    category: str
    value: str
    to_ids: bool
    comment: str
    timestamp: datetime
    first_seen: str
    last_seen: str
    tags: tuple[str, ...]
    event: Event
    tlp: str = ""


class Warns(StrEnum):
    """Whether MISP itself warns on a match."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AttributeMatch:
    """An attribute in MISP that an entry hits; `part` is what it hits: the value, or half of a composite.

    `silence` says why MISP does not warn, None where it does.
    """

    entry: str
    part: str
    attribute: Attribute
    silence: Silence | None

    @property
    def tlp(self) -> str:
        """The strictest TLP level that attribute and event ask for, empty if neither does."""
        return strictest((self.attribute.tlp, self.attribute.event.tlp))

    @property
    def warns(self) -> Warns:
        """Whether MISP warns on it."""
        if self.silence is None:
            return Warns.YES
        return Warns.UNKNOWN if self.silence is Silence.TO_IDS_OFF_PERHAPS else Warns.NO


@dataclass(frozen=True, slots=True)
class Hidden:
    """How many more attributes match outside of published and tags; not `complete`: at least so many."""

    attributes: int
    complete: bool


@dataclass(frozen=True, slots=True)
class CorrelationResult:
    """What a retro-search found.

    `entries` are those looked for, in the list's order. `types` are the attribute types that were read, empty for all.
    `hidden` is None where nothing could be hidden or nobody could look. `incomplete` says, in words, what could not be
    searched and why. `withheld` are matches that are counted and must not be shown.
    """

    matches: tuple[AttributeMatch, ...]
    entries: tuple[str, ...]
    scope: Scope
    types: tuple[str, ...] = ()
    hidden: Hidden | None = None
    incomplete: tuple[str, ...] = ()
    withheld: tuple[AttributeMatch, ...] = ()

    @property
    def rows(self) -> tuple[AttributeMatch, ...]:
        """The matches, for an analyst to filter."""
        return self.matches

    @property
    def found(self) -> tuple[AttributeMatch, ...]:
        """The matches with those that must not be shown: to be counted."""
        return self.matches + self.withheld

    @property
    def entries_matched(self) -> int:
        """How many entries hit something."""
        return len({match.entry for match in self.found})

    @property
    def entries_unmatched(self) -> tuple[str, ...]:
        """The entries that hit nothing."""
        hit = {match.entry for match in self.found}
        return tuple(entry for entry in self.entries if entry not in hit)

    @property
    def events(self) -> int:
        """How many events hold a match."""
        return len({match.attribute.event.id for match in self.found})

    def count(self, warns: Warns) -> int:
        """How many matches MISP warns on, does not, or may."""
        return sum(match.warns is warns for match in self.found)

    @property
    def by_type(self) -> tuple[tuple[str, int], ...]:
        """How many matches each attribute type has, most first."""
        return tuple(Counter(match.attribute.type for match in self.matches).most_common())

    @property
    def by_organisation(self) -> tuple[tuple[str, int], ...]:
        """How many matches each creating organisation has, most first."""
        return tuple(Counter(match.attribute.event.organisation for match in self.matches).most_common())

    @property
    def by_entry(self) -> tuple[EntryFigures, ...]:
        """What each entry that hits something hits, most first."""
        found = ((match.entry, match.attribute) for match in self.matches)
        return entry_figures(
            (entry, one.event.id, one.first_seen or one.event.date, one.last_seen or one.first_seen or one.event.date)
            for entry, one in found
        )


class LookupStatus(StrEnum):
    """What became of one question to one module."""

    ANSWERED = "answered"
    NOTHING_KNOWN = "nothing known"
    RATE_LIMITED = "rate limited"
    KEY_REFUSED = "key refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    OUT_OF_BUDGET = "out of budget"
    TYPE_NOT_TAKEN = "type not taken"
    WITHHELD = "withheld"
    NOT_ASKED = "not asked"

    @property
    def could_not_ask(self) -> bool:
        """Whether an answer was wanted and none came: such a lookup makes a run partial."""
        return self.name in {"RATE_LIMITED", "KEY_REFUSED", "FAILED", "UNKNOWN", "OUT_OF_BUDGET"}


class EnrichmentKind(StrEnum):
    """What an answer is to the analyst."""

    ECHO = "echo of the question"
    INDICATOR = "new indicator"
    DETECTION = "detections"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Enrichment:
    """One thing that a module answered; a detection's value is a ratio, 55/70: of 70 engines, 55 say malicious."""

    value: str
    type: str
    category: str
    object_name: str
    relation: str
    kind: EnrichmentKind


@dataclass(frozen=True, slots=True)
class LookupResult:
    """One question to one module: who asked (`entry`), as what (`indicator`), and what came of it.

    `asked` says whether the question was put in this run, `calls` how many API calls it made (in a dry run: would
    make), `age` how many seconds old an answer from the cache is.
    """

    entry: str
    module: str
    status: LookupStatus
    indicator: Indicator | None = None
    detail: str = ""
    enrichments: tuple[Enrichment, ...] = ()
    asked: bool = False
    calls: int = 0
    age: float | None = None

    @property
    def detections(self) -> str:
        """The ratio of engines that call the entry itself malicious, empty where the module gave none."""
        return next((one.value for one in self.enrichments if one.kind is EnrichmentKind.DETECTION), "")

    @property
    def indicators(self) -> tuple[Enrichment, ...]:
        """The new indicators."""
        return tuple(one for one in self.enrichments if one.kind is EnrichmentKind.INDICATOR)


@dataclass(frozen=True, slots=True)
class LookupResults:
    """Every question to one module; `note` says why (some) entries were not asked about, `interrupted` by whom."""

    module: str
    lookups: tuple[LookupResult, ...]
    note: str = ""
    interrupted: bool = False

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
        """How many questions were put to the module in this run."""
        return sum(lookup.asked for lookup in self.lookups)

    @property
    def cached(self) -> int:
        """How many answers came from the cache."""
        return sum(lookup.age is not None for lookup in self.lookups)

    @property
    def calls(self) -> int:
        """How many API calls the questions made."""
        return sum(lookup.calls for lookup in self.lookups)

    @property
    def could_not_ask(self) -> tuple[LookupResult, ...]:
        """The questions that got no answer."""
        return tuple(lookup for lookup in self.lookups if lookup.status.could_not_ask)


class DeliveryStatus(StrEnum):
    """What became of a message."""

    SENT = "sent"
    SKIPPED = "skipped"
    MAY_HAVE_ARRIVED = "may have arrived"
    FAILED = "failed"

    @property
    def unsettled(self) -> bool:
        """Whether the service may not have the message: such a delivery makes a run partial."""
        return self in (DeliveryStatus.MAY_HAVE_ARRIVED, DeliveryStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to one service; `detail` says why it was skipped or failed, or what was sent.

    `parts` is how many parts arrived, `files` are the names of the files of the run folder that hold the parts, `url`
    is the page on which the service shows it, where there is one.
    """

    service: str
    status: DeliveryStatus
    detail: str
    parts: int = 0
    reference: str = ""
    files: tuple[str, ...] = ()
    url: str = ""
