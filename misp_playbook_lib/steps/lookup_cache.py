"""What modules answered, kept on disk: a run asks only what no run of the last hours got an answer to.

Written after each lookup, so that a run that is killed, interrupted or out of budget loses nothing. What such a run
wanted to ask and did not is noted as owed: the next run makes good for it, also where it adds nothing itself.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.results import Enrichment, EnrichmentKind, LookupStatus
from misp_playbook_lib.report.archive import cache_folder
from misp_playbook_lib.steps.store import Store
from misp_playbook_lib.untrusted import redact

HOUR = 3600.0
KEPT_FOR = {LookupStatus.ANSWERED: 24 * HOUR, LookupStatus.NOTHING_KNOWN: 6 * HOUR}
"""Seconds that an outcome is kept; failures are not."""
OWED_FOR = 30 * 24 * HOUR
_VERSION = 1
_FIELDS = attrgetter(*(field.name for field in fields(Enrichment)))
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    server TEXT, module TEXT, type TEXT, value TEXT, at REAL, status TEXT, detail TEXT, enrichments TEXT,
    PRIMARY KEY (server, module, type, value)
);
CREATE TABLE IF NOT EXISTS owed (
    server TEXT, module TEXT, type TEXT, value TEXT, at REAL, PRIMARY KEY (server, module, type, value)
)
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An outcome, and how many seconds old it is."""

    status: LookupStatus
    detail: str
    enrichments: tuple[Enrichment, ...]
    age: float


class LookupCache:
    """The answers of one module.

    Args:
        server: the address of its server.
        module: its name.
        path: the file that the runs share.

    Raises:
        SettingsError: the file cannot be used.

    """

    def __init__(self, server: str, module: str, path: Path) -> None:
        self._of = (server, module)
        self._store = Store(path, _SCHEMA, _VERSION)

    def get(self, questions: Iterable[Indicator], now: float) -> dict[Indicator, Remembered]:
        """Return what is remembered of each question, and forget what is too old.

        Raises:
            SettingsError: the file cannot be used.

        """
        found = {}
        with self._store.transaction() as connection:
            for status, seconds in KEPT_FOR.items():
                old = (status.value, now - seconds, now + 1)
                connection.execute("DELETE FROM answers WHERE status = ? AND (at <= ? OR at > ?)", old)
            for question in questions:
                row = connection.execute(
                    "SELECT status, detail, enrichments, at FROM answers"
                    " WHERE server = ? AND module = ? AND type = ? AND value = ?",
                    (*self._of, question.type, question.value),
                ).fetchone()
                if row:
                    enrichments = tuple(
                        Enrichment(*(*texts, EnrichmentKind(kind))) for *texts, kind in json.loads(row[2])
                    )
                    found[question] = Remembered(LookupStatus(row[0]), row[1], enrichments, max(0.0, now - row[3]))
        return found

    def put(
        self,
        question: Indicator,
        status: LookupStatus,
        detail: str,
        enrichments: tuple[Enrichment, ...],
        now: float,
    ) -> None:
        """Remember an outcome of the kinds that are kept; it is no longer owed.

        Raises:
            SettingsError: the file cannot be used.

        """
        row = (*self._of, question.type, question.value)
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM owed WHERE server = ? AND module = ? AND type = ? AND value = ?", row)
            if status in KEPT_FOR:
                texts = redact(json.dumps([_FIELDS(one) for one in enrichments], ensure_ascii=False))
                kept = (*row, now, status.value, redact(detail), texts)
                connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept)

    def owe(self, questions: Iterable[Indicator], now: float) -> None:
        """Note what is about to be asked.

        Raises:
            SettingsError: the file cannot be used.

        """
        rows = [(*self._of, question.type, question.value, now) for question in questions]
        with self._store.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO owed VALUES (?, ?, ?, ?, ?)", rows)

    def owed(self, now: float) -> frozenset[Indicator]:
        """Return what earlier runs wanted to ask and did not.

        Raises:
            SettingsError: the file cannot be used.

        """
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM owed WHERE at <= ?", (now - OWED_FOR,))
            rows = connection.execute("SELECT type, value FROM owed WHERE server = ? AND module = ?", self._of)
            return frozenset(Indicator(type_, value) for type_, value in rows)

    def close(self) -> None:
        """Close the file."""
        self._store.close()


def cache_file(*, sandbox: bool) -> Path:
    """Return where answers are kept; those of a sandbox, which are made up, have a file of their own."""
    return cache_folder() / ("lookups-sandbox.sqlite" if sandbox else "lookups.sqlite")
