"""Reads attributes from MISP whole: split until each answer is complete, two requests in flight.

Deep pages are slow, and shift while attributes leave them. So a search is split by values or by windows of
attribute_timestamp until an answer holds fewer rows than asked for, which makes it complete as of one moment. An edit
moves an attribute to the present. Windows therefore go forward in time up to the moment at which they began, and a
closing one, open to the future, has what was edited or added meanwhile; it closes the scan once its answer is complete.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_attributes import Row
from misp_playbook_lib.errors import AuthenticationFailed, PermissionDenied, RateLimited, ServiceError

LIMIT = 20_000
"""Rows an answer may hold; a window aims at half of it, 10,000, which MISP answers fastest by the row."""
IN_FLIGHT = 2
"""Two requests at once double the rate; more gain nothing on a server with two cores."""
HALVINGS = 3
"""How often what fails is halved before it is left unread."""
GIVE_UP = 4
"""After so many failures in a row the server is taken to be gone."""
SLACK = 2
"""Seconds before its beginning from which a scan's closing window reads: clocks are told in whole seconds."""
PASSES = 20
"""How often a scan closes anew because too much was edited or added meanwhile."""
PARTS = 8
"""Into how many windows one is cut that holds too much, and how much narrower or wider the next can be."""
NARROW = 1024
"""The share of the time seen that the first window spans."""
_DAY = 86_400
Item = TypeVar("Item")
_HOPELESS = (AuthenticationFailed, PermissionDenied, RateLimited)


@dataclass(frozen=True, slots=True)
class Query:
    """What one request asks for: attributes changed from `start` to `end` (seconds since 1970, both included).

    `end` None is open; `values` empty is any; `page` 0 is an answer that must be whole; `halvings` counts its failures.
    """

    start: int
    end: int | None = None
    values: tuple[str, ...] = ()
    limit: int = LIMIT
    page: int = 0
    halvings: int = 0

    @property
    def filters(self) -> dict[str, Any]:
        """What restSearch is sent: a window as epochs, never as 0 or an empty list, which would be no filter."""
        filters: dict[str, Any] = {"limit": self.limit}
        if self.end is not None:
            filters["attribute_timestamp"] = [str(self.start), str(self.end)]
        elif self.start > 0:
            filters["attribute_timestamp"] = str(self.start)
        if self.values:
            filters["value"] = list(self.values)
        if self.page:
            filters["page"] = self.page
        return filters

    @property
    def words(self) -> str:
        """The window in words."""
        to = "on" if self.end is None else f"to {_moment(self.end)}"
        return f"attributes changed from {_moment(self.start)} {to}"


class Scan:
    """Reads the attributes that `filters` let through, in pages.

    Args:
        misp: the server.
        filters: restSearch's filters but for value, time and paging.
        since: the earliest attribute_timestamp, seconds since 1970.
        limit: rows an answer may hold.
        seconds: how long it may take, None for as long as it takes.
        clock: what counts those seconds.

    """

    def __init__(
        self,
        misp: MispClient,
        filters: Mapping[str, Any],
        *,
        since: int = 0,
        limit: int = LIMIT,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._misp = misp
        self._filters = dict(filters)
        self._since = since
        self._limit = limit
        self._clock = clock
        self._until = None if seconds is None else clock() + seconds
        self._late = f"{seconds:g} seconds were not enough" if seconds else ""
        self._stopped = ""
        self._failures = 0
        self._unread: list[tuple[Query, str]] = []
        self._sample: list[int] = []
        self._values = 0
        self.done = 0
        """How many values were searched, or attributes read."""
        self.total = 0
        """How many there are; of attributes, an estimate."""

    def stop(self, reason: str) -> None:
        """Read no further; what is left is unread for this reason."""
        self._stopped = self._stopped or reason

    @property
    def unread(self) -> tuple[str, ...]:
        """What could not be read, in words, and why."""
        missed: dict[str, set[str]] = {}
        lines = []
        for query, reason in self._unread:
            if query.values:
                missed.setdefault(reason, set()).update(query.values)
            else:
                lines.append(f"{query.words} were not read: {reason}")
        return (
            *(f"{len(few):,} of {self._values:,} entries were not searched: {why}" for why, few in missed.items()),
            *dict.fromkeys(lines),
        )

    def of_values(self, chunks: Sequence[Sequence[str]]) -> Iterator[list[Row]]:
        """Yield the attributes that hold one of these values, a request a chunk; a row may come again."""
        self._values = self.total = sum(map(len, chunks))
        source = _Chunks([Query(self._since, values=tuple(chunk), limit=self._limit) for chunk in chunks])
        for query, rows in self._read(source):
            self.done += 0 if query.page else len(query.values)
            yield rows

    def of_all(self) -> Iterator[list[Row]]:
        """Yield every attribute: each that was there when it began, and each that was edited or added meanwhile."""
        start = self._since
        for _ in range(PASSES):
            begun = int(self._misp.server_time()) - SLACK
            closing = Query(start, limit=self._limit)
            rows = self._whole(closing)
            if rows is not None:
                self.total = self.done = self.done + len(rows)
                yield rows
                self._leave(closing)
                return
            if self._leave(closing):
                return
            source = _Windows(start, begun - 1, self._sample, self._limit)
            for query, rows in self._read(source):
                self.done += len(rows)
                self.total = self.done + source.left
                yield rows
                del query, rows
            if self._stopped:
                return
            start = max(start, begun)
        self._unread.append((Query(start), "they change faster than they can be read"))

    def _leave(self, query: Query) -> bool:
        """Note what is left when the scan was stopped at a query."""
        if self._stopped:
            self._unread.append((query, self._stopped))
        return bool(self._stopped)

    def _whole(self, query: Query) -> list[Row] | None:
        """Read the closing window; None: it is not whole, or failed, so that windows have to be read first."""
        self._sample = []
        pool = ThreadPoolExecutor(1)
        try:
            rows = pool.submit(self._ask, query).result(self._left())
        except TimeoutError:
            self.stop(self._late)
            return None
        except ServiceError as error:
            self._failures += 1
            if isinstance(error, _HOPELESS):
                self.stop(str(error))
            return None
        finally:
            pool.shutdown(wait=False)
        self._failures = 0
        if len(rows) < query.limit:
            return rows
        self._sample = _timestamps(rows)
        return None

    def _read(self, source: "_Source") -> Iterator[tuple[Query, list[Row]]]:
        """Ask what `source` and the pieces of failed or overflowing queries say, in order, and yield whole answers."""
        pieces: deque[Query] = deque()
        running: deque[tuple[Query, Future[list[Row]]]] = deque()
        pool = ThreadPoolExecutor(IN_FLIGHT)

        def refill() -> None:
            while len(running) < IN_FLIGHT and (query := pieces.popleft() if pieces else source.next()):
                running.append((query, pool.submit(self._ask, query)))

        try:
            refill()
            while running:
                query, future = running.popleft()
                try:
                    rows = future.result(self._left())
                except TimeoutError:
                    self.stop(self._late)
                except ServiceError as error:
                    pieces.extendleft(reversed(self._failed(query, error)))
                else:
                    self._failures = 0
                    del future
                    if len(rows) < query.limit:
                        source.learn(query, len(rows))
                        refill()
                        yield query, rows
                    elif query.start == query.end and len(query.values) < 2:  # noqa: PLR2004 - one or any
                        yield from self._paged(query)
                    else:
                        source.learn(query, 4 * query.limit)
                        pieces.extendleft(reversed(_split(query, _timestamps(rows))))
                    del rows
                if self._stopped:
                    left = [query, *(other for other, _ in running), *pieces]
                    self._unread += [(one, self._stopped) for one in source.rest(left)]
                    return
                refill()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _paged(self, query: Query) -> Iterator[tuple[Query, list[Row]]]:
        """Page through what cannot be split, backwards: what leaves meanwhile moves rows to pages still to come."""
        filters = {**self._filters, **query.filters}
        try:
            pages = self._misp.count_attributes(filters) // query.limit + 1
        except ServiceError as error:
            self._unread.append((query, str(error)))
            return
        waiting = [replace(query, page=page) for page in range(1, pages + 1)]
        while waiting and not self._stopped:
            page = waiting.pop()
            try:
                rows = self._ask(page)
            except ServiceError as error:
                waiting += self._failed(page, error)
                continue
            self._failures = 0
            yield page, rows
            if self._left() == 0:
                self.stop(self._late)

    def _ask(self, query: Query) -> list[Row]:
        return self._misp.attributes({**self._filters, **query.filters})

    def _failed(self, query: Query, error: ServiceError) -> list[Query]:
        """Return the halves of a query that failed; none: it is left unread, or the server is given up."""
        self._failures += 1
        if isinstance(error, _HOPELESS) or self._failures >= GIVE_UP:
            self.stop(str(error))
            return []
        halves = _halves(query) if query.halvings < HALVINGS else []
        if not halves:
            self._unread.append((query, str(error)))
        return [replace(half, halvings=query.halvings + 1) for half in halves]

    def _left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - self._clock())


class _Chunks:
    """Queries that stand from the beginning."""

    def __init__(self, queries: Sequence[Query]) -> None:
        self._queries = deque(queries)

    def next(self) -> Query | None:
        return self._queries.popleft() if self._queries else None

    def learn(self, query: Query, rows: int) -> None:
        """Learn nothing: the queries stand."""

    def rest(self, left: Sequence[Query]) -> list[Query]:
        """Return what is unread when these are left."""
        return [*left, *self._queries]


class _Windows:
    """Windows from `start` to `end`, as wide as the latest answers let expect half of `limit` rows.

    The first reaches from `start`, however early, to the earliest of `sample`, timestamps in order, and a little
    beyond: a window too narrow costs little, one too wide is read for nothing.
    """

    def __init__(self, start: int, end: int, sample: Sequence[int], limit: int) -> None:
        self._position = start
        self._end = end
        self._limit = limit
        self._aim = limit // 2
        self._dense = max(start, sample[0] if sample else 0)
        self._width = max(1, (sample[-1] - sample[0]) // NARROW) if sample else _DAY
        self._rate = 0.0

    @property
    def left(self) -> int:
        """How many rows are to be expected still."""
        return int(max(0, self._end - self._position) * self._rate)

    def next(self) -> Query | None:
        if self._position > self._end:
            return None
        end = min(max(self._position, self._dense) + self._width - 1, self._end)
        query = Query(self._position, end, limit=self._limit)
        self._position = end + 1
        return query

    def learn(self, query: Query, rows: int) -> None:
        """Set the width of the windows to come by the rows that one held; a narrow piece of one tells nothing."""
        span = (query.end or query.start) - max(query.start, self._dense) + 1
        if PARTS * span >= self._width:
            self._rate = rows / span
            self._width = max(1, self._width // PARTS, min(span * self._aim // max(rows, 1), self._width * PARTS))

    def rest(self, left: Sequence[Query]) -> list[Query]:
        """Return what is unread when these are left: everything from the earliest on."""
        return [Query(min(query.start for query in left))]


_Source = _Chunks | _Windows


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of `size`, the last as short as it comes."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _timestamps(rows: Sequence[Row]) -> list[int]:
    return sorted(int(row["timestamp"]) for row in rows)


def _split(query: Query, timestamps: Sequence[int]) -> list[Query]:
    """Split a query that holds more than an answer: by its values, around one second that fills it, or into windows."""
    if len(query.values) > 1:
        return _halves(query)
    quarter = len(timestamps) // 4
    start, end = query.start, query.end
    low, high = timestamps[quarter], timestamps[-quarter - 1]
    if low < high:
        low, high = max(start, timestamps[0]), timestamps[-1] if end is None else end
    step = (high - low) // PARTS + 1
    pieces = [replace(query, start=at, end=min(at + step - 1, high)) for at in range(low, high + 1, step)]
    if start < low:
        pieces.insert(0, replace(query, end=low - 1))
    if end is None or end > high:
        pieces.append(replace(query, start=high + 1))
    return pieces


def _halves(query: Query) -> list[Query]:
    """Halve a query, by its page, values or time; nothing: it has no halves."""
    if query.page:
        half = query.limit // 2
        first = 2 * query.page - 1
        return [replace(query, limit=half, page=first), replace(query, limit=half, page=first + 1)] if half else []
    if len(query.values) > 1:
        middle = len(query.values) // 2
        return [replace(query, values=query.values[:middle]), replace(query, values=query.values[middle:])]
    if query.end is None or query.start == query.end:
        return []
    middle = (query.start + query.end) // 2
    return [replace(query, end=middle), replace(query, start=middle + 1)]


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ").removesuffix("+00:00") + " UTC"
