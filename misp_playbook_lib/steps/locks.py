"""One writer at a time to a list, among the runs of one user on one machine."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from misp_playbook_lib.errors import SettingsError, WarninglistError
from misp_playbook_lib.report.archive import private_folder, state_folder
from misp_playbook_lib.untrusted import visible

WAIT = 300.0
"""Seconds to wait for another run: more than MISP takes to write a full list."""
LOCKS = "locks"
_POLL = 0.02

logger = logging.getLogger(__name__)


@contextmanager
def list_lock(server_url: str, name: str, *, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of one list on one server; the system lets go of it when the process dies.

    Args:
        server_url: MISP's address.
        name: the list's name, which a list about to be created has too.
        wait: seconds to wait for another run; that it waits is logged as a warning, which a notebook shows.

    Raises:
        WarninglistError: another run held it all the time.
        SettingsError: the folder of the locks cannot be written.

    """
    try:
        lock = lock_of(f"{server_url}\n{name}")
        _acquire(lock, name, wait)
    except OSError as error:
        raise SettingsError(
            f"The lock of the list {name} cannot be made in {state_folder() / LOCKS} ({error.strerror}): "
            "set XDG_STATE_HOME."
        ) from None
    try:
        yield
    finally:
        lock.release()


def lock_of(what: str) -> FileLock:
    """Return the lock by which the runs of one user on one machine share something.

    Raises:
        OSError: the folder of the locks cannot be made.

    """
    key = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()
    return FileLock(private_folder(state_folder() / LOCKS) / f"{key}.lock", mode=0o600)


def _acquire(lock: FileLock, name: str, wait: float) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.warning("Another run on this machine is writing to %s: waiting up to %.0f seconds.", visible(name), wait)
    else:
        return
    try:
        lock.acquire(timeout=wait, poll_interval=_POLL)
    except Timeout:
        raise WarninglistError(
            f"Another run on this machine has been writing to the list {name} for {wait:.0f} seconds; "
            "nothing was written. Let it end, or end it, then run again."
        ) from None
