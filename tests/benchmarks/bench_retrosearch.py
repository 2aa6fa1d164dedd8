"""A scan of 1,000,000 attributes for each type beside bare `requests` loops over the same ones, and its memory."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import requests
from pydantic import SecretStr

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_attributes import Row as Attribute
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.results import Scope
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec, WarninglistType
from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps.retrosearch import retrosearch

ATTRIBUTES = 1_000_000
PAGE = 10_000
TURNS = 3
ENTRIES = {
    WarninglistType.STRING: [f"!mail{number}.example" for number in range(100)],
    WarninglistType.SUBSTRING: [f"update{number}." for number in range(1000)],
    WarninglistType.HOSTNAME: [f"cdn{number}.example.org" for number in range(100_000)],
    WarninglistType.CIDR: [f"10.{net}.{number}.0/24" for net in (18, 40) for number in range(8)],
    WarninglistType.REGEX: [rf"/^mail{number}\d{{3}}\./" for number in range(200)],
}
"""Few hits each; the values of the string list cannot be asked for, so that they too are scanned for."""


class Row(NamedTuple):
    """One comparison; `peer` and `ratio` (ours to the peer's) are None where nothing stands beside ours."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def run() -> list[Row]:
    """Measure everything, in about ten minutes."""
    rows: list[Row] = []
    with served() as (url, key):
        for kind in WarninglistType:
            ours, bare = in_turns(url, key, kind)
            what = f"{kind}: attributes/s beside a bare loop, the same windows, two in flight"
            rows.append(Row(what, ours, bare, ours / bare))
        paged = page_loop(url, key)
        rows.append(Row("attributes/s beside the plain loop over pages", ours, paged, ours / paged))
        idle = peak(url, key, None)
        for kind in WarninglistType:
            most = peak(url, key, kind)
            rows.append(Row(f"{kind}: the most memory, MB, beside that of an idle client", most, idle, most / idle))
    return rows


def in_turns(url: str, key: str, kind: WarninglistType) -> tuple[float, float]:
    """Scan and loop in turns, and return the best rate of each: what else the machine does strikes both alike."""
    ours = bare = 0.0
    for _ in range(TURNS):
        seconds, windows = scanned(url, key, kind)
        read = sum(count for _, count in windows)
        ours = max(ours, read / seconds)
        rate, peer_read = bare_loop(url, key, [window for window, _ in windows])
        assert peer_read == read
        bare = max(bare, rate)
    return ours, bare


@contextmanager
def served() -> Iterator[tuple[str, str]]:
    """Serve a sandbox's MISP from a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join()


def serve(there: Connection) -> None:
    """Generate the attributes and answer until told to stop."""
    with Misp(demo=False, attributes=ATTRIBUTES, seed=7) as misp:
        there.send((misp.url, misp.key))
        there.recv()


class Recording(MispClient):
    """A client that notes what it asked for and how much came."""

    asked: list[tuple[dict[str, Any], int]]

    def attributes(self, filters: Any) -> list[Attribute]:
        found = super().attributes(filters)
        self.asked.append((dict(filters), len(found)))
        return found


def scanned(url: str, key: str, kind: WarninglistType) -> tuple[float, list[tuple[dict[str, Any], int]]]:
    """Search, and return the seconds and the windows whose answers were whole, each with how many it held."""
    misp = Recording(Settings(misp_url=url, misp_key=SecretStr(key)))
    misp.asked = []
    started = time.perf_counter()
    result = retrosearch(misp, planned(kind), Scope(), enabled=True)
    seconds = time.perf_counter() - started
    assert not result.incomplete, result.incomplete
    whole = [(asked, count) for asked, count in misp.asked if "limit" in asked and 1 < asked["limit"] != count]
    return seconds, whole


def planned(kind: WarninglistType) -> WarninglistPlan:
    """Plan a list of this type."""
    entries = tuple(WarninglistEntry(entry) for entry in ENTRIES[kind])
    return plan(WarninglistSpec("Benchmark", entries, type=kind), None, WarninglistAction.APPEND)


def bare_loop(url: str, key: str, windows: list[dict[str, Any]]) -> tuple[float, int]:
    """Ask for the same windows with `requests`, two at once, and return the rate and how many came."""
    sessions = [session(key), session(key)]
    started = time.perf_counter()

    def half(number: int) -> int:
        return sum(len(ask(sessions[number], url, window)) for window in windows[number::2])

    with ThreadPoolExecutor(2) as pool:
        read = sum(pool.map(half, range(2)))
    return read / (time.perf_counter() - started), read


def page_loop(url: str, key: str) -> float:
    """Ask for page after page with `requests`, and return the rate."""
    asking, page, read = session(key), 1, 0
    started = time.perf_counter()
    while found := ask(asking, url, {"limit": PAGE, "page": page}):
        page, read = page + 1, read + len(found)
    return read / (time.perf_counter() - started)


def session(key: str) -> requests.Session:
    """Open a session with MISP's headers."""
    opened = requests.Session()
    opened.trust_env = False
    opened.headers.update({"Authorization": key, "Accept": "application/json"})
    return opened


def ask(asking: requests.Session, url: str, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask for one answer."""
    answer = asking.post(f"{url}/attributes/restSearch", json={**filters, "returnFormat": "json"}, timeout=600)
    found: list[dict[str, Any]] = answer.json()["response"]["Attribute"]
    return found


def peak(url: str, key: str, kind: WarninglistType | None) -> float:
    """Return the most memory, in MB, that a search takes in a process of its own; None: that only connects."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(most_memory, (url, key, kind))


def most_memory(url: str, key: str, kind: WarninglistType | None) -> float:
    """Search in this process and return its peak (proc(5), VmHWM in kB; ru_maxrss would count the parent's too)."""
    misp = MispClient(Settings(misp_url=url, misp_key=SecretStr(key)))
    if kind is not None:
        retrosearch(misp, planned(kind), Scope(), enabled=True)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1000
