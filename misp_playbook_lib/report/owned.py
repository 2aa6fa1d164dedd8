"""Folders that belong to a running process: each has a lock, which the system releases when the process dies.

The lock is flock(2) on an open file: a child process that is given the descriptor holds it too, so that it is free only
when both have ended.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "misp-playbook-"
LOCK = ".lock"
_POLL = 0.1


class Owner:
    """A lock that is held; `descriptor` can be handed to a child process. Make one with `hold`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self.descriptor = descriptor

    def release(self) -> None:
        """Remove the lock file and release the lock."""
        self._path.unlink(missing_ok=True)
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)


def hold(path: Path, wait: float = 0.0) -> Owner | None:
    """Take the lock of a file, which is made if it is not there; None: another process holds it.

    Args:
        path: the lock file.
        wait: seconds to wait for the other process.

    Raises:
        OSError: the file cannot be made, or the file system has no locks.

    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(_POLL)  # flock(2) has no timeout
                continue
            held = False
        else:
            held = os.fstat(descriptor).st_nlink > 0  # else its owner removed it meanwhile
        if held:
            return Owner(path, descriptor)
        os.close(descriptor)
        return None


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a temporary folder with a lock, and remove it at the end."""
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    owner = hold(made / LOCK)
    path = made.rename(made.with_name(made.name.removeprefix(".")))  # seen by others only with its lock held
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # what cannot be removed goes with the next run
        if owner:
            owner.release()


def remove_left_temporary() -> None:
    """Remove the temporary folders of this user whose processes died."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):
            own = path.lstat().st_uid == os.getuid() and not path.is_symlink()
            if own and (path / LOCK).is_file() and (owner := hold(path / LOCK)):
                shutil.rmtree(path, ignore_errors=True)
                owner.release()
