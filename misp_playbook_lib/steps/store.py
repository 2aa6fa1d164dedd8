"""The small files that runs on one machine share: SQLite, in the user's own folders, closed to others."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from misp_playbook_lib.errors import SettingsError

FOLDER_MODE = 0o700
FILE_MODE = 0o600
BUSY_SECONDS = 30.0
"""How long to wait for another run that is writing; it takes milliseconds."""
_POLL = 0.005


class Store:
    """An SQLite file that several threads and processes may use at once.

    Args:
        path: the file, made if it is not there.
        schema: SQL that makes the tables if they are not there.
        version: of the tables; a file of another version is emptied.

    Raises:
        SettingsError: the file cannot be used.

    """

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            path.parent.chmod(FOLDER_MODE)
            path.touch(mode=FILE_MODE)
            path.chmod(FILE_MODE)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            # SQLite does not wait for another connection when it switches a new file to WAL: one switches at a time.
            with FileLock(f"{path}.lock", BUSY_SECONDS, FILE_MODE).acquire(poll_interval=_POLL):
                self._connection.execute("PRAGMA journal_mode = WAL")
            # A write costs no wait for the disk, and what a crash of the machine loses is the last moment's.
            self._connection.execute("PRAGMA synchronous = NORMAL")
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        with self.transaction() as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (version,):
                for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    connection.execute(f'DROP TABLE "{table}"')
                connection.execute(f"PRAGMA user_version = {version:d}")
            for statement in schema.split(";"):
                connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Read and write with nobody in between; an error undoes what was written.

        Raises:
            SettingsError: the file cannot be used.

        """
        try:
            with self._lock, self._connection as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _unusable(self, error: Exception) -> SettingsError:
        return SettingsError(f"The file {self.path} cannot be used ({error}): make it writable or delete it.")
