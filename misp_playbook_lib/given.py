"""Reads the files that a user names: regular files only, and not more than a number of bytes."""

import errno
import os
import stat
from pathlib import Path

LIMIT = 1 << 28
"""The most bytes of a file of parameters or entries; a million entries have about 30 million."""


def read_given(path: Path, limit: int = LIMIT) -> bytes:
    """Read a file whole; a device, a pipe or a folder is refused at once.

    Args:
        path: the file.
        limit: the most bytes that it may have.

    Raises:
        OSError: it is not there, no regular file, too large, or cannot be read; `strerror` says which.

    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "its name holds a zero byte")
    # Without O_NONBLOCK, opening a named pipe waits for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = file.read(limit + 1) if about.st_size <= limit else None
    if data is None or len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes")
    return data
