"""Find the attributes in MISP that a list's entries hit, by the list's own rules, and say on which MISP warns."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_attributes import Row, parse_attribute, parse_event
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.model.impact import Impact
from misp_playbook_lib.model.matching import Silence, silenced_by
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.results import (
    Attribute,
    AttributeMatch,
    CorrelationResult,
    Event,
    Hidden,
    Published,
    Scope,
)
from misp_playbook_lib.model.tracing import Trace, Tracer
from misp_playbook_lib.model.warninglist import ALL_ATTRIBUTES, WarninglistType
from misp_playbook_lib.steps.queries import chunks
from misp_playbook_lib.steps.scan import Scan

CHUNK_VALUES = 10_000
"""Values a query: MISP answers 10,000 in half a second and fails at 300,000."""
CHUNK_PATTERNS = 10
"""Patterns a query: each makes MISP look at every attribute, half a second for a million of them."""
MOST_PATTERNS = 20
"""With more of them, a scan that reads every attribute once is faster."""
CHUNK_EVENTS = 1_000
MAX_ATTRIBUTES = 5_000_000
MAX_MATCHES = 100_000
"""Matches that are kept: a list that hits more hits everything, and nobody reads them."""
HIDDEN_SECONDS = 10.0
IMPACT_SECONDS = 10.0

HEXADECIMAL = (
    *("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512/224", "sha512/256"),
    *("sha3-224", "sha3-256", "sha3-384", "sha3-512", "imphash", "telfhash", "pehash", "authentihash"),
    *("x509-fingerprint-md5", "x509-fingerprint-sha1", "x509-fingerprint-sha256"),
    *("ja3-fingerprint-md5", "jarm-fingerprint", "hassh-md5", "hasshserver-md5", "git-commit-id"),
)
"""Types that MISP holds to hexadecimal digits (app/Lib/Tools/AttributeValidationTool.php): none is an address."""

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


def _quiet(_done: int, _total: int) -> None:
    """Tell nobody."""


def retrosearch(
    misp: MispClient,
    planned: WarninglistPlan,
    scope: Scope,
    *,
    enabled: bool,
    max_attributes: int = MAX_ATTRIBUTES,
    progress: Progress = _quiet,
    watched: bool = False,
) -> CorrelationResult:
    """Search for the entries of a list; what fails leaves what was found, and stands in `incomplete`.

    Args:
        misp: the server.
        planned: the list.
        scope: which attributes count.
        enabled: whether the list is enabled.
        max_attributes: how many attributes are read at most where they have to be read.
        progress: told after each answer.
        watched: whether somebody is there, whose interrupt ends the search but keeps what it found.

    """
    entries = tuple(dict.fromkeys(entry.value for entry in planned.entries if entry.value.strip()))
    if not entries:
        return CorrelationResult((), (), scope)
    search = _Search(planned, entries)
    found = _Found()
    scan = Scan(misp, _filters(scope, search.types), since=_seconds(scope))
    incomplete: list[str] = []
    try:
        for row, trace in search.hits(scan, max_attributes, _narrowing(scope, max_attributes), progress):
            found.add(row, trace)
            if len(found.attributes) >= MAX_MATCHES:
                scan.stop(f"there are more than {MAX_MATCHES:,} matches, most of them by {found.busiest}")
    except ServiceError as error:
        incomplete.append(f"the search broke off: {error}")
    except KeyboardInterrupt:
        if not watched:
            raise
        incomplete.append("the search was interrupted: what was found until then is kept")
    incomplete += scan.unread
    try:
        found.add_context(misp)
    except ServiceError as error:
        unknown = "the events' organisations, dates, tags and publication are not known"
        incomplete.append(f"{unknown}: {error}; every match counts as TLP:RED")
    return CorrelationResult(
        matches=tuple(found.matches(_Silences(misp, planned, enabled=enabled))),
        entries=entries,
        scope=scope,
        types=search.types_read,
        hidden=None if incomplete else _hidden(misp, search, scope, found.attributes.keys()),
        incomplete=tuple(incomplete),
    )


def impact(
    misp: MispClient,
    planned: WarninglistPlan,
    *,
    seconds: float = IMPACT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Impact:
    """Say on what MISP would warn for the entries that a plan adds, wherever they stand, within `seconds`."""
    added = tuple(dict.fromkeys(entry.value for entry in planned.added if entry.value.strip()))
    hits: dict[int, str] = {}
    events: set[int] = set()
    incomplete = ""
    if added:
        search = _Search(planned, added)
        silences = _Silences(misp, planned, enabled=True)
        scan = Scan(misp, _filters(Scope(), search.types), seconds=seconds, clock=clock)
        for row, trace in search.hits(scan):
            if trace.silence is None and silences.of(row.type, to_ids=row.to_ids) is None:
                hits[row.id] = trace.entry
                events.add(row.event_id)
        incomplete = "; ".join(scan.unread)
    busiest = Counter(hits.values()).most_common(1)
    return Impact(len(added), len(hits), len(events), busiest[0] if busiest else None, incomplete)


class _Search:
    """How the entries of a list are looked for: their values asked for, or attributes read and traced."""

    def __init__(self, planned: WarninglistPlan, entries: Sequence[str]) -> None:
        self._tracer = Tracer(planned.type, entries)
        matching = planned.matching_attributes
        odd = [entry for entry in entries if entry.startswith(("!", "%")) or entry.endswith("%")]
        self.by_value = planned.type is WarninglistType.STRING and len(odd) <= MOST_PATTERNS
        self.types: tuple[str, ...] = ()
        self.types_read: tuple[str, ...] = ()
        if self.by_value:
            plain = [entry for entry in entries if entry not in set(odd)] if odd else entries
            patterns = [_pattern(entry) for entry in odd]
            self._chunks = [*chunks(plain, CHUNK_VALUES), *chunks(patterns, CHUNK_PATTERNS)]
        elif matching and ALL_ATTRIBUTES not in matching:
            self.types = self.types_read = matching
        elif planned.type is WarninglistType.CIDR:
            self.types = tuple(f"!{name}" for name in HEXADECIMAL)

    def hits(
        self, scan: Scan, most: int = MAX_ATTRIBUTES, too_many: str = "", progress: Progress = _quiet
    ) -> Iterator[tuple[Row, Trace]]:
        """Yield the attributes that an entry hits; one may come again."""
        trace = self._tracer.trace
        for rows in scan.of_values(self._chunks) if self.by_value else scan.of_all():
            surplus = 0 if self.by_value else scan.done - most
            if surplus > 0:
                scan.stop(too_many)
                rows = rows[:-surplus]  # noqa: PLW2901 - what is over the limit is as if it had not been read
            progress(scan.done, scan.total)
            for row in rows:
                traced = trace(row.type, row.value)
                if traced is not None:
                    yield row, traced


class _Found:
    """What was found, an attribute once, with the event that it stands in."""

    def __init__(self) -> None:
        self.attributes: dict[int, tuple[Attribute, Trace]] = {}
        self._events: dict[int, Event] = {}

    @property
    def busiest(self) -> str:
        """The entry that hits most."""
        return Counter(trace.entry for _, trace in self.attributes.values()).most_common(1)[0][0]

    def add(self, row: Row, trace: Trace) -> None:
        """Keep a row; one that comes again was edited meanwhile, and counts as it came last."""
        event = parse_event(row)
        event = self._events.setdefault(event.id, event)
        attribute = parse_attribute(row, event)
        self.attributes[attribute.id] = (attribute, trace)

    def add_context(self, misp: MispClient) -> None:
        """Ask for organisation, date, publication and tags of each event, beside one of its attributes.

        An attribute that is not there any more is no match.

        Raises:
            ServiceError: they could not be asked; nothing is changed.

        """
        known: dict[int, Event] = {}
        waiting: dict[int, list[Attribute]] = {}
        for attribute, _ in self.attributes.values():
            waiting.setdefault(attribute.event.id, []).append(attribute)
        gone: set[int] = set()
        while waiting:
            for chunk in chunks([*waiting.values()], CHUNK_EVENTS):
                uuids = [attributes[-1].uuid for attributes in chunk]
                for row in misp.attributes({"uuid": uuids, "includeContext": 1}):
                    event = parse_event(row)
                    known[event.id] = event
            for event_id, attributes in list(waiting.items()):
                if event_id not in known:
                    gone.add(attributes.pop().id)
                if event_id in known or not attributes:
                    del waiting[event_id]
        self._events = known
        self.attributes = {key: value for key, value in self.attributes.items() if key not in gone}

    def matches(self, silences: "_Silences") -> Iterator[AttributeMatch]:
        """Yield the matches by the attributes' ids."""
        for _, (attribute, trace) in sorted(self.attributes.items()):
            silence = trace.silence or silences.of(attribute.type, to_ids=attribute.to_ids)
            event = self._events[attribute.event.id]
            yield AttributeMatch(trace.entry, trace.part, replace(attribute, event=event), silence)


class _Silences:
    """Says why MISP stays silent; asks for its setting only if that decides."""

    def __init__(self, misp: MispClient, planned: WarninglistPlan, *, enabled: bool) -> None:
        self._misp = misp
        self._matching = frozenset(planned.matching_attributes)
        self._enabled = enabled
        self._setting: list[bool | None] = []

    def of(self, attribute_type: str, *, to_ids: bool) -> Silence | None:
        """Say why MISP stays silent on an attribute that an entry meets; None: it warns."""
        return silenced_by(
            enabled=self._enabled,
            matching_attributes=self._matching,
            attribute_type=attribute_type,
            to_ids=to_ids,
            warning_for_all=False if to_ids else self._warning_for_all(),
        )

    def _warning_for_all(self) -> bool | None:
        if not self._setting:
            try:
                self._setting.append(self._misp.warning_for_all())
            except ServiceError:
                self._setting.append(None)  # unknown, and said so of each match
        return self._setting[0]


def _hidden(misp: MispClient, search: _Search, scope: Scope, found: Iterable[int]) -> Hidden | None:
    """Count the matches that published and tags leave out, as far as HIDDEN_SECONDS allow."""
    if scope.published is Published.BOTH and not scope.tags:
        return None
    others = {Published.YES: Published.NO, Published.NO: Published.YES, Published.BOTH: Published.BOTH}
    elsewhere = replace(scope, published=Published.BOTH if scope.tags else others[scope.published], tags=())
    scan = Scan(misp, _filters(elsewhere, search.types), since=_seconds(scope), seconds=HIDDEN_SECONDS)
    more = {row.id for row, _ in search.hits(scan, too_many="there are too many attributes")}
    return Hidden(len(more.difference(found)), complete=not scan.unread)


def _filters(scope: Scope, types: Sequence[str]) -> dict[str, Any]:
    """Build restSearch's filters in forms that MISP cannot misread.

    `published` false or null is no filter at all: unpublished is 0, both is [0, 1]; an empty list is left out.
    """
    filters: dict[str, Any] = {
        "published": {Published.YES: 1, Published.NO: 0, Published.BOTH: [0, 1]}[scope.published]
    }
    if scope.tags:
        filters["tags"] = list(scope.tags)
    if types:
        filters["type"] = list(types)
    return filters


def _seconds(scope: Scope) -> int:
    return int(scope.since.timestamp()) if scope.since else 0


def _pattern(value: str) -> str:
    """Write a value that begins with `!` or `%` or ends with `%` so that the answer holds at least its own matches.

    A leading `!` would negate, and can return every row: behind a `%` it is an ordinary character of a LIKE pattern.
    In a LIKE pattern a backslash escapes: `_` stands for it.
    """
    return (f"%{value}" if value.startswith("!") else value).replace("\\", "_")


def _narrowing(scope: Scope, most: int) -> str:
    """Say that `most` attributes were read, and what would make them fewer."""
    free = {
        "match_since": scope.since is None,
        "match_tags": not scope.tags,
        "match_published": scope.published is Published.BOTH,
        "warninglist_matching_attributes": True,
    }
    names = [name for name, unused in free.items() if unused]
    return f"{most:,} attributes were read (scan_max_attributes); narrow the search with {' or '.join(names)}"
