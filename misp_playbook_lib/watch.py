"""Ends a run from outside its kernel: it takes too long, or somebody wants it to end."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

GRACE = 3.0
"""Seconds between the interrupt, after which a cell can still write down where it was, and the kill."""
_POLL = 0.2


class Watch:
    """Watches one kernel while the block runs.

    Args:
        timeout: seconds that the run may take; None: as long as it wants.
        stop: asked all the time; why the run must end, empty as long as it may go on.

    """

    def __init__(self, timeout: float | None = None, stop: Callable[[], str] = lambda: "") -> None:
        self._timeout = timeout
        self._stop = stop
        self._kernel = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.reason = ""
        """Why the kernel was ended, empty if it was not."""

    def started(self, kernel: int) -> None:
        """Take note of the kernel's process, which leads a process group of its own."""
        self._kernel = kernel

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._timeout if self._timeout else float("inf")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_POLL):
            late = time.monotonic() > self._deadline
            reason = f"it took longer than its run_timeout of {self._timeout:g} seconds" if late else self._stop()
            if reason and self._kernel:
                self.reason = reason
                self._signal(signal.SIGINT)
                if not self._over.wait(GRACE):
                    self._signal(signal.SIGKILL)
                return

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.killpg(self._kernel, number)
