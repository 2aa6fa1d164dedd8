"""The queries that a search is made of, and how one that fails or overflows is cut into smaller ones."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

LIMIT = 20_000
"""Rows an answer may hold; a window aims at half of it, 10,000, which MISP answers fastest by the row."""
PARTS = 4
"""Into how many windows one is cut that holds too much."""
STRIDE = 8
"""How many times wider than the last one a window can be."""
NARROW = 1024
"""The share of the time seen that the first window spans."""
_DAY = 86_400
Item = TypeVar("Item")


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


class Chunks:
    """Queries that stand from the beginning."""

    def __init__(self, queries: Sequence[Query]) -> None:
        self._queries = deque(queries)

    def next(self) -> Query | None:
        """Return the next query, None after the last."""
        return self._queries.popleft() if self._queries else None

    def learn(self, query: Query, rows: int) -> None:
        """Learn nothing: the queries stand."""

    def rest(self, left: Sequence[Query]) -> list[Query]:
        """Return what is unread when these are left."""
        return [*left, *self._queries]


class Windows:
    """Windows from `start` to `end`, as wide as the latest answers let expect half of `limit` rows.

    The first reaches from `start`, however early, to the earliest of `sample`, timestamps in order, and a little
    beyond: a window too narrow costs little, one too wide is read for nothing. Nothing hangs on `sample` but speed.
    """

    def __init__(self, start: int, end: int, sample: Sequence[int], limit: int) -> None:
        self._position = start
        self._end = end
        self._limit = limit
        self._aim = limit // 2
        self._dense = max(start, sample[0] if sample else 0)
        self._width = max(1, (sample[-1] - sample[0]) // NARROW) if sample else _DAY
        self._rows = self._span = 0.0

    @property
    def left(self) -> int:
        """How many rows are to be expected still."""
        return int(max(0, self._end - self._position) * self._rows / self._span) if self._span else 0

    def next(self) -> Query | None:
        """Return the next window, None after the last."""
        if self._position > self._end:
            return None
        end = min(max(self._position, self._dense) + self._width - 1, self._end)
        query = Query(self._position, end, limit=self._limit)
        self._position = end + 1
        return query

    def learn(self, query: Query, rows: int) -> None:
        """Set the width of the windows to come by the rows that the latest held, the later the more they count."""
        span = (query.end or query.start) - max(query.start, self._dense) + 1
        if not rows and span >= self._width // 2:
            self._rows = self._span = 0.0  # a gap: what was before it says nothing about what comes
        self._rows = self._rows / 2 + rows
        self._span = self._span / 2 + span
        wider = self._width * STRIDE
        self._width = max(1, min(int(self._span * self._aim / self._rows), wider)) if self._rows else wider

    def rest(self, left: Sequence[Query]) -> list[Query]:
        """Return what is unread when these are left: everything from the earliest on."""
        return [Query(min(query.start for query in left))]


Source = Chunks | Windows


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of `size`, the last as short as it comes."""
    return (items[start : start + size] for start in range(0, len(items), size))


def split(query: Query, timestamps: Sequence[int]) -> list[Query]:
    """Split a query that holds more than an answer: by its values, around one second that fills it, or into windows."""
    if len(query.values) > 1:
        return halves(query)
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


def halves(query: Query) -> list[Query]:
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
