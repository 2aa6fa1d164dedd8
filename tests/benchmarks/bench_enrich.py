"""Enrichment with pacing off: 30 entries and two modules beside the original's loop, on the same server."""

import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import requests

from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import Quota, module_row
from misp_playbook_lib.sandbox.modules import Modules
from misp_playbook_lib.steps.enrich import Asking, ask
from misp_playbook_lib.steps.lookup_cache import LookupCache
from misp_playbook_lib.steps.quota import Booking, QuotaLedger

ADDRESSES = [f"158.255.208.{number}" for number in range(30)]
MODULES = ("virustotal_public", "shodan")
REPEATS = 5


class Row(NamedTuple):
    """One comparison; `peer` and `ratio` (ours to the peer's) are None where nothing stands beside ours."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def run() -> list[Row]:
    """Measure each, the middle of five, in seconds."""
    with tempfile.TemporaryDirectory() as folder, Modules() as server:
        answers = {module: server.answers[module, "ip-src", "158.255.208.168"] for module in MODULES}
        server.answers |= {(module, "ip-src", each): answers[module] for module in MODULES for each in ADDRESSES}
        peer = seconds(lambda: original(server.url))
        caches = (Path(folder) / f"{number}.sqlite" for number in range(100))
        ours = seconds(lambda: playbook(server.url, next(caches)))
        warm = next(caches)
        playbook(server.url, warm)
        cached = seconds(lambda: playbook(server.url, warm))
        ledger = QuotaLedger("key", Quota(per_day=10_000), Path(folder) / "quota.sqlite")
        booked = seconds(lambda: reservations(ledger, 100)) / 100
    return [
        Row("30 entries, 2 modules, seconds; peer: the original's loop without pauses", ours, peer, ours / peer),
        Row("the same again, from the cache, seconds", cached, peer, cached / peer),
        Row("one reservation of API calls, seconds", booked),
    ]


def playbook(url: str, cache: Path) -> None:
    """Ask as the playbook does, every answer written to a cache on disk."""
    for module in MODULES:
        asking = Asking(
            client=MispModulesClient(url),
            row=module_row(module),
            key="good",
            cache=LookupCache(url, module, cache),
            ledger=None,
            wait=0.0,
        )
        ask(asking, [(address, Indicator("ip-src", address)) for address in ADDRESSES])


def original(url: str) -> None:
    """Ask as the original's cells do: a request each, answers in a dictionary by the value that came back."""
    results: dict[str, dict[str, Any]] = {module: {} for module in MODULES}
    for module in MODULES:
        for value in ADDRESSES:
            data = {
                "attribute": {"type": "ip-src", "uuid": str(uuid.uuid4()), "value": value},
                "module": module,
                "config": {"apikey": "good"},
            }
            answer = requests.post(f"{url}/query", json=data, timeout=60).json()
            for found in answer["results"]["Object"]:
                for attribute in found["Attribute"]:
                    results[module][attribute["value"]] = f"{attribute['category']}/{attribute['type']}"


def reservations(ledger: QuotaLedger, count: int) -> None:
    """Reserve and settle so many lookups."""
    for _ in range(count):
        booking = ledger.reserve([1, 2], time.time())
        if isinstance(booking, Booking):
            ledger.settle(booking, 1, time.time())


def seconds(work: Callable[[], object]) -> float:
    """Return the middle of several wall times."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return median(taken)
