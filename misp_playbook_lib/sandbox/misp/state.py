"""What the sandbox's MISP remembers: one SQLite database, in memory or in a file, read by several threads at once."""

import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from misp_playbook_lib.sandbox.misp.answers import InternalError
from misp_playbook_lib.sandbox.misp.values import fold

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS organisations (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, info TEXT NOT NULL, org_id INTEGER NOT NULL,
  date TEXT NOT NULL, threat_level_id INTEGER NOT NULL, analysis INTEGER NOT NULL, distribution INTEGER NOT NULL,
  published INTEGER NOT NULL, timestamp INTEGER NOT NULL, publish_timestamp INTEGER NOT NULL,
  attribute_count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS attributes (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event_id INTEGER NOT NULL, deleted INTEGER NOT NULL, to_ids INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, type TEXT NOT NULL, category TEXT NOT NULL, uuid TEXT NOT NULL,
  key1 TEXT NOT NULL, key2 TEXT NOT NULL, value1 TEXT NOT NULL, value2 TEXT NOT NULL,
  comment TEXT NOT NULL, distribution INTEGER NOT NULL, disable_correlation INTEGER NOT NULL,
  first_seen TEXT, last_seen TEXT);
CREATE TABLE IF NOT EXISTS tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, colour TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event_tags (
  event_id INTEGER, tag_id INTEGER, PRIMARY KEY (event_id, tag_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attribute_tags (
  attribute_id INTEGER, tag_id INTEGER, PRIMARY KEY (attribute_id, tag_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS warninglists (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, type TEXT NOT NULL, description TEXT NOT NULL,
  version INTEGER NOT NULL, enabled INTEGER NOT NULL, builtin INTEGER NOT NULL, category TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS warninglist_entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, warninglist_id INTEGER NOT NULL, value TEXT NOT NULL, comment TEXT);
CREATE TABLE IF NOT EXISTS warninglist_types (
  id INTEGER PRIMARY KEY AUTOINCREMENT, warninglist_id INTEGER NOT NULL, type TEXT NOT NULL);
"""

INDEXES = """
CREATE INDEX IF NOT EXISTS attributes_event ON attributes (event_id);
CREATE INDEX IF NOT EXISTS attributes_key1 ON attributes (key1);
CREATE INDEX IF NOT EXISTS attributes_key2 ON attributes (key2) WHERE key2 != '';
CREATE INDEX IF NOT EXISTS attributes_timestamp ON attributes (timestamp);
CREATE INDEX IF NOT EXISTS attributes_uuid ON attributes (uuid);
CREATE INDEX IF NOT EXISTS event_tags_tag ON event_tags (tag_id);
CREATE INDEX IF NOT EXISTS attribute_tags_tag ON attribute_tags (tag_id);
CREATE INDEX IF NOT EXISTS warninglist_entries_list ON warninglist_entries (warninglist_id);
CREATE INDEX IF NOT EXISTS warninglist_types_list ON warninglist_types (warninglist_id);
"""
"""Kept apart from the tables: a large fill makes them after its rows."""

_memories = itertools.count()


class State:
    """The database; each thread that reads has a connection of its own, writers wait for each other.

    Args:
        data: the file, None for memory.

    Raises:
        sqlite3.Error: the file is not a database of the sandbox.

    """

    def __init__(self, data: Path | str | None = None) -> None:
        # memdb is SQLite's store in memory that several connections of one process share without locking tables
        self._uri = f"file:/misp-{next(_memories)}?vfs=memdb" if data is None else Path(data).absolute().as_uri()
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self.waiting = 0
        """How many writers wait for another one to end."""
        self.deadlocks: Callable[[], bool] = lambda: False
        self._writer = self._connect()
        if data is not None:
            # SQLite does not wait for another connection when it switches a new file to WAL: one switches at a time.
            with FileLock(f"{data}.lock").acquire(poll_interval=0.005):
                self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.executescript(SCHEMA + INDEXES)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.create_function("fold", 1, fold, deterministic=True)
        db.create_function("lower_text", 1, str.lower, deterministic=True)
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("PRAGMA case_sensitive_like = ON")
        return db

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for reading."""
        with self._lock:
            db = self._idle.pop() if self._idle else None
        db = db or self._connect()
        try:
            yield db
        finally:
            with self._lock:
                self._idle.append(db)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Lend the writer's connection for one transaction: all of it is kept, or after an exception nothing.

        Raises:
            InternalError: the transaction ran beside another one, and `deadlocks` lets it fail.

        """
        alone = self._writing.acquire(blocking=False)
        if not alone:
            self.waiting += 1
            self._writing.acquire()
            self.waiting -= 1
        try:
            with self._writer:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                if not alone and self.deadlocks():
                    raise InternalError
        finally:
            self._writing.release()

    def close(self) -> None:
        """Close every connection; what was in memory is gone."""
        with self._lock:
            idle, self._idle = self._idle, []
        for db in (*idle, self._writer):
            with closing(db):
                pass
