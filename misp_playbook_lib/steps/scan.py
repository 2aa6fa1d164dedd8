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
from dataclasses import replace
from typing import Any

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_attributes import Row
from misp_playbook_lib.errors import (
    AuthenticationFailed,
    DeadlineReached,
    PermissionDenied,
    RateLimited,
    ServiceError,
)
from misp_playbook_lib.steps.queries import LIMIT, Chunks, Query, Source, Windows, halves, split

IN_FLIGHT = 2
"""Two requests at once double the rate; more gain nothing on a server with two cores."""
HALVINGS = 3
"""How often what fails is halved before it is left unread."""
GIVE_UP = 4
"""After so many failures in a row the server is taken to be gone."""
SLACK = 2
"""Seconds before its beginning from which a scan's closing window reads: clocks are told in whole seconds."""
CLOSING = 4
"""A closing window may hold one in so many of `limit`: one that holds more is read for nothing but its sample."""
PASSES = 4
"""How often a scan tries to close with one answer, before it reads what is left in several."""
_HOPELESS = (AuthenticationFailed, DeadlineReached, PermissionDenied, RateLimited)


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
        source = Chunks([Query(self._since, values=tuple(chunk), limit=self._limit) for chunk in chunks])
        for query, rows in self._read(source):
            self.done += 0 if query.page else len(query.values)
            yield rows

    def of_all(self) -> Iterator[list[Row]]:
        """Yield every attribute: each that was there when it began, and each that was edited or added meanwhile."""
        start = self._since
        for _ in range(PASSES):
            begun = int(self._misp.server_time()) - SLACK
            closing = Query(start, limit=max(1, self._limit // CLOSING))
            rows = self._whole(closing)
            if rows is not None:
                self.total = self.done = self.done + len(rows)
                yield rows
                self._leave(closing)
                return
            if self._leave(closing):
                return
            source = Windows(start, begun - 1, self._sample, self._limit)
            for query, rows in self._read(source):
                self.done += len(rows)
                self.total = self.done + source.left
                yield rows
                del query, rows
            if self._stopped:
                return
            start = max(start, begun)
        for _, rows in self._read(Chunks([Query(start, limit=self._limit)])):
            self.done += len(rows)
            yield rows

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
        self._sample = sorted([*self._oldest(query), *_timestamps(rows)])
        return None

    def _oldest(self, query: Query) -> list[int]:
        """Return the earliest timestamp, if the server sorts by it: an answer that is not whole has the lowest ids."""
        filters = {**self._filters, **query.filters, "limit": 1, "order": "Attribute.timestamp asc"}
        try:
            return _timestamps(self._misp.attributes(filters))
        except ServiceError:
            return []  # the first windows are read in more pieces

    def _read(self, source: Source) -> Iterator[tuple[Query, list[Row]]]:
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
                        source.learn(query, 2 * query.limit)
                        pieces.extendleft(reversed(split(query, _timestamps(rows))))
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
        pieces = halves(query) if query.halvings < HALVINGS else []
        if not pieces:
            self._unread.append((query, str(error)))
        return [replace(piece, halvings=query.halvings + 1) for piece in pieces]

    def _left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - self._clock())


def _timestamps(rows: Sequence[Row]) -> list[int]:
    return sorted(row.timestamp for row in rows)
