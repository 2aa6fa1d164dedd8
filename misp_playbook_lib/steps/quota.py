"""How many API calls a key has left, a minute and a day, shared by every run on this machine.

The free tier of VirusTotal grants 4 calls a minute and 500 a day (docs.virustotal.com, Public vs Premium API), while
one lookup makes up to 6. pyrate-limiter, the library kept for this, never grants more than its limit at once; so a
lookup that costs more than a minute's budget has a rule of its own here: it goes when the window is empty, and what is
too much is debited to the minutes that follow.

Windows slide, so that no minute and no day of any clock holds more than the budget. The file knows a hash of the key.
"""

import hashlib
import sqlite3
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from misp_playbook_lib.model.modules import Quota
from misp_playbook_lib.report.archive import state_folder
from misp_playbook_lib.steps.store import Store

MINUTE = 60.0
DAY = 86_400.0
FILE = "quota.sqlite"
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS debits (key TEXT, booking TEXT, at REAL, calls INTEGER);
CREATE INDEX IF NOT EXISTS debits_by_key ON debits (key, at);
CREATE TABLE IF NOT EXISTS refusals (key TEXT PRIMARY KEY, until REAL)
"""


@dataclass(frozen=True, slots=True)
class Booking:
    """Leave to make `calls` API calls at once."""

    id: str
    calls: int


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing can go before the moment `at`."""

    at: float


@dataclass(frozen=True, slots=True)
class UsedUp:
    """The day's budget has no room for any of the lookups before the moment `at` (None: it never has)."""

    at: float | None


@dataclass(frozen=True, slots=True)
class Left:
    """How many API calls a key may still make this minute and day; none before the moment `until`, if it is given."""

    per_minute: int
    per_day: int
    until: float | None


class QuotaLedger:
    """The debits of one key.

    Args:
        key: the key; only its hash is written.
        quota: what it is granted.
        path: the file that the runs share.

    Raises:
        SettingsError: the file cannot be used.

    """

    def __init__(self, key: str, quota: Quota, path: Path | None = None) -> None:
        self.quota = quota
        self._key = key_digest(key)
        self._store = Store(path or state_folder() / FILE, _SCHEMA, _VERSION)

    def reserve(self, costs: Collection[int], now: float) -> Booking | Later | UsedUp:
        """Debit the dearest of `costs` that can go: it leaves the least of a window unused.

        Args:
            costs: the API calls of the lookups that wait.
            now: seconds since the epoch.

        Raises:
            SettingsError: the file cannot be used.

        """
        with self._store.transaction() as connection:
            debits = self._debits(connection, now)
            within_the_day = [cost for cost in costs if _day_has_room(debits, cost, self.quota, now) == now]
            if not within_the_day:
                return UsedUp(_day_has_room(debits, min(costs), self.quota, now))
            earliest = max(now, self._refused_until(connection))
            starts = {cost: _minute_has_room(debits, cost, self.quota, earliest) for cost in within_the_day}
            ready = [cost for cost, start in starts.items() if start <= now]
            if not ready:
                return Later(min(starts.values()))
            booking = Booking(uuid.uuid4().hex, max(ready))
            self._debit(connection, booking.id, booking.calls, now)
            return booking

    def settle(self, booking: Booking, calls: int, now: float) -> None:
        """Debit the calls that a lookup made, at the moment when it was over: no window can hold more of them.

        Raises:
            SettingsError: the file cannot be used.

        """
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM debits WHERE booking = ?", (booking.id,))
            self._debit(connection, booking.id, calls, now)

    def left(self, now: float) -> Left:
        """Return what is left of the budget; nothing is debited. A window without a limit has nothing left.

        Raises:
            SettingsError: the file cannot be used.

        """
        with self._store.transaction() as connection:
            debits = self._debits(connection, now)
            until = self._refused_until(connection)
        windows = ((self.quota.per_minute, MINUTE), (self.quota.per_day, DAY))
        minute, day = (
            max(0, limit - sum(calls for at, calls in debits if at > now - window)) for limit, window in windows
        )
        return Left(minute, day, until if until > now else None)

    def hold_until(self, moment: float) -> None:
        """Let no run use the key before a moment: its service said that it is asked too often.

        Raises:
            SettingsError: the file cannot be used.

        """
        with self._store.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO refusals VALUES (?, ?)", (self._key, moment))

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _debits(self, connection: sqlite3.Connection, now: float) -> list[tuple[float, int]]:
        """Read the debits that count, the oldest first; what a clock that was put back left in the future does not."""
        for table, column in (("debits", "at"), ("refusals", "until")):
            connection.execute(
                f"DELETE FROM {table} WHERE {column} <= ? OR {column} > ?",  # noqa: S608 - our own names
                (now - DAY, now + DAY),
            )
        rows = connection.execute("SELECT at, calls FROM debits WHERE key = ? ORDER BY at", (self._key,))
        return [(float(at), int(calls)) for at, calls in rows]

    def _refused_until(self, connection: sqlite3.Connection) -> float:
        refused = connection.execute("SELECT until FROM refusals WHERE key = ?", (self._key,)).fetchone()
        return float(refused[0]) if refused else 0.0

    def _debit(self, connection: sqlite3.Connection, booking: str, calls: int, now: float) -> None:
        portion = self.quota.per_minute or calls
        for minute, done in enumerate(range(0, calls, portion)):
            row = (self._key, booking, now + minute * MINUTE, min(portion, calls - done))
            connection.execute("INSERT INTO debits VALUES (?, ?, ?, ?)", row)


def key_digest(key: str) -> str:
    """Return what a file knows a key by."""
    return hashlib.sha256(key.encode()).hexdigest()


def _minute_has_room(debits: list[tuple[float, int]], cost: int, quota: Quota, start: float) -> float:
    """Return the first moment from `start` on when the window has room; for what never fits, when it is empty."""
    if not quota.per_minute:
        return start
    return _has_room(debits, min(cost, quota.per_minute), quota.per_minute, MINUTE, start)


def _day_has_room(debits: list[tuple[float, int]], cost: int, quota: Quota, start: float) -> float | None:
    if quota.per_day and cost > quota.per_day:
        return None
    return _has_room(debits, cost, quota.per_day, DAY, start) if quota.per_day else start


def _has_room(debits: list[tuple[float, int]], cost: int, limit: int, window: float, start: float) -> float:
    counted = [(at, calls) for at, calls in debits if at > start - window]
    used = sum(calls for _, calls in counted)
    for at, calls in counted:
        if used + cost <= limit:
            break
        used -= calls
        start = max(start, at + window)
    return start
