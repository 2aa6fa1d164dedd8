"""Ends a run from outside its kernel: a signal came, or the run goes on long after its deadline."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

GRACE = 3.0
"""Seconds between the interrupt, after which a cell can still write down where it was, and the kill."""
AFTER_DEADLINE = 300.0
"""Seconds, at most as many as the run may take, that summary and messages have from the deadline on."""
HOLD = 10.0
"""Seconds that a write under way has to be read back before the kernel is interrupted all the same."""
_POLL = 0.2
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Watch:
    """Watches one kernel while the block runs.

    Args:
        stop: asked all the time; the signal for which the run must end, 0 as long as it may go on.
        timeout: the seconds that the run may take, 0: no limit; asked again when they are over, as it may have changed.
        writing: whether a write was sent that is not read back yet.

    """

    def __init__(
        self, stop: Callable[[], int], timeout: Callable[[], float], writing: Callable[[], bool] = lambda: False
    ) -> None:
        self._stop = stop
        self._timeout = timeout
        self._writing = writing
        self._kernel = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.signal = 0
        """The signal for which the kernel was ended, 0 if it was not."""
        self.late = ""
        """Which deadline the kernel was ended for, empty if it was not."""

    def started(self, kernel: int) -> None:
        """Take note of the kernel's process, which leads a process group of its own."""
        self._kernel = kernel

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._seconds = self._timeout()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_POLL):
            number = self._stop()
            if (number or self._is_late()) and self._kernel:
                self._await_read_back()
                if self._over.is_set():
                    return
                self.signal = number
                self.late = "" if number else f"it took longer than its run_timeout of {self._seconds:g} seconds"
                self._send(signal.SIGINT)
                if not self._over.wait(GRACE):
                    self._send(signal.SIGKILL)
                return

    def _is_late(self) -> bool:
        if not self._seconds or not self._over_time():
            return False
        self._seconds = self._timeout()
        return self._over_time()

    def _over_time(self) -> bool:
        return time.monotonic() - self._begun > self._seconds + min(AFTER_DEADLINE, self._seconds)

    def _await_read_back(self) -> None:
        until = time.monotonic() + HOLD
        while self._writing() and time.monotonic() < until and not self._over.wait(_POLL):
            pass

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.killpg(self._kernel, number)


@contextmanager
def on_signal(call: Callable[[int], object]) -> Iterator[None]:
    """Call a function with the first SIGINT or SIGTERM that comes; a second one does what it always does."""

    def handle(number: int, _frame: object) -> None:
        restore()
        call(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        restore()
