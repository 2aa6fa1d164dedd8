"""How long calls may take: one call, a call with its repetitions, and the whole run.

The run's deadline holds in every thread: no call begins after it, and a read that is under way ends with it. A write
that is under way is not cut, and neither is anything within `beyond_deadline`.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_run_ends = math.inf
_call_ends: ContextVar[float] = ContextVar("_call_ends", default=math.inf)
_beyond: ContextVar[bool] = ContextVar("_beyond", default=False)
_uncut: ContextVar[bool] = ContextVar("_uncut", default=False)


def set_deadline(at: float | None) -> None:
    """Set when the run of this process has to end, as `time.monotonic()` counts seconds; None: never."""
    global _run_ends  # noqa: PLW0603 - one process is one run
    _run_ends = math.inf if at is None else at


def seconds_left() -> float:
    """Return the seconds until the run's deadline: infinite without one and within `beyond_deadline`."""
    return math.inf if _beyond.get() else _run_ends - time.monotonic()


def reached() -> bool:
    """Tell whether the run's deadline is over for the calls of this thread."""
    return seconds_left() <= 0


@contextmanager
def beyond_deadline() -> Iterator[None]:
    """Let calls of this thread take their time whatever the run's deadline is: for what looks after a write."""
    token = _beyond.set(True)
    try:
        yield
    finally:
        _beyond.reset(token)


@contextmanager
def uncut() -> Iterator[None]:
    """Let a call of this thread that has begun before the run's deadline take its time: for a write."""
    token = _uncut.set(True)
    try:
        yield
    finally:
        _uncut.reset(token)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let the calls of this thread end after `seconds` at the latest, all together."""
    token = _call_ends.set(min(_call_ends.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _call_ends.reset(token)


def call_seconds_left() -> float:
    """Return the seconds that a call of this thread may take."""
    left = _call_ends.get() - time.monotonic()
    return left if _uncut.get() else min(left, seconds_left())
