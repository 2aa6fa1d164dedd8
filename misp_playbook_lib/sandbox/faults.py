"""What goes wrong on purpose: faults that a test sets on one service and path.

    service.faults.add(path=r"^/attributes/restSearch", kind="504", times=1)

| kind | what the client sees | the request is |
| --- | --- | --- |
| latency | the true answer, `seconds` later | carried out |
| refusal | the connection closes before any answer | not carried out |
| reset | half of the answer, then a TCP reset | carried out |
| lost | a TCP reset instead of the answer | carried out |
| redirect | 302 to /users/login, as MISP does in maintenance | not carried out |
| 401, 403 | a refusal in JSON | not carried out |
| 429 | too many requests, Retry-After: `seconds` | not carried out |
| 500, 502, 504 | an HTML page, as a proxy sends it | not carried out |
| truncated | half of the answer's JSON, with a Content-Length that fits it | carried out |
| shape | JSON of another shape | not carried out |
| html | 200 with an HTML page | not carried out |
| deadlock | MISP alone: its 500 for a write that runs beside another write | rolled back |
"""

import re
import threading
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal[
    "latency",
    "refusal",
    "reset",
    "lost",
    "redirect",
    "401",
    "403",
    "429",
    "500",
    "502",
    "504",
    "truncated",
    "shape",
    "html",
    "deadlock",
]

CARRIED_OUT: frozenset[Kind] = frozenset({"latency", "reset", "lost", "truncated"})
"""The kinds under which the service still does what it was asked."""


@dataclass(slots=True)
class Fault:
    """One fault: which requests it strikes, how, and how often still.

    Args:
        path: a regular expression, searched for in path and query.
        kind: what happens.
        times: how many requests it strikes, None for all.
        after: how many matching requests pass before it strikes.
        seconds: the delay of `latency`, the Retry-After of `429`.

    """

    path: re.Pattern[str]
    kind: Kind
    times: int | None = None
    after: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Faults:
    """The faults set on one service; safe to change while it serves."""

    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, path: str = "", kind: Kind = "500", times: int | None = None, after: int = 0, seconds: float = 0.0
    ) -> None:
        """Let requests whose path matches `path` fail as `kind` says.

        Raises:
            ValueError: an unknown kind.
            re.error: `path` is no regular expression.

        """
        if kind not in get_args(Kind):
            raise ValueError(f"no such fault: {kind!r}")
        with self._lock:
            self._faults.append(Fault(re.compile(path), kind, times, after, seconds))

    def clear(self) -> None:
        """Let everything succeed again."""
        with self._lock:
            self._faults.clear()

    def take(self, path: str, *, deadlock: bool = False) -> Fault | None:
        """Say which fault strikes a request for `path`, and count it; `deadlock` asks for that kind alone."""
        with self._lock:
            for fault in self._faults:
                if (fault.kind == "deadlock") != deadlock or not fault.path.search(path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times == 0:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None
