"""Matching beside pymispwarninglists and plain loops, on the real lists that pymispwarninglists ships."""

import itertools
import json
import multiprocessing
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pymispwarninglists
from pymispwarninglists.api import WarningList

from misp_playbook_lib.model.matching import WarninglistMatcher
from misp_playbook_lib.model.warninglist import WarninglistType

VALUES = 200_000
ENTRIES = 300_000
SECONDS = 1.5
"""How long a slow peer is asked: it gets through a sample of the values."""

LISTS = Path(pymispwarninglists.__file__).parent / "data" / "misp-warninglists" / "lists"


class Row(NamedTuple):
    """One comparison; `peer` and `ratio` (ours to the peer's) are None where nothing stands beside ours."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def run() -> list[Row]:
    """Measure everything, in about a minute."""
    largest = largest_lists()
    values = mixed_values(largest)
    rows: list[Row] = []
    for kind in WarninglistType:
        rows += beside_pymispwarninglists(largest[kind], values)
    hosts = largest[WarninglistType.HOSTNAME]["list"]
    rows += beside_plain_loops(hosts, values)
    for kind in WarninglistType:
        seconds, megabytes = in_a_process_of_its_own(kind, entries_of(kind, hosts))
        rows.append(Row(f"{kind}: build the index of {ENTRIES:,} entries and ask once, s", seconds))
        rows.append(Row(f"{kind}: memory of that index, MB", megabytes))
    return rows


def largest_lists() -> dict[WarninglistType, dict[str, Any]]:
    """Take the largest list of each type."""
    lists = [json.loads(path.read_text()) for path in sorted(LISTS.glob("*/list.json"))]
    return {
        kind: max((one for one in lists if one["type"] == kind), key=lambda one: len(one["list"]))
        for kind in WarninglistType
    }


def mixed_values(largest: dict[WarninglistType, dict[str, Any]]) -> list[str]:
    """Mix hosts, URLs, addresses, hashes and mail addresses, some of them listed and most not."""
    chance = random.Random(6)  # noqa: S311 - the same values in every run
    hosts = chance.choices(largest[WarninglistType.HOSTNAME]["list"], k=VALUES)
    networks = chance.choices(largest[WarninglistType.CIDR]["list"], k=VALUES)
    mail_domains = chance.choices(largest[WarninglistType.SUBSTRING]["list"], k=VALUES)
    makers: list[Callable[[int], str]] = [
        lambda number: f"unlisted-{number}.example",
        lambda number: f"www.{hosts[number]}",
        lambda number: f"https://cdn.unlisted-{number}.example/a/b.php?q={hosts[number]}",
        lambda number: f"https://{hosts[number]}/login",
        lambda _: ".".join(map(str, chance.randbytes(4))),
        lambda number: networks[number].partition("/")[0],
        lambda number: f"2001:db8:{number % 65536:x}::{number % 7:x}",
        lambda _: chance.randbytes(16).hex(),
        lambda number: f"user{number}@{mail_domains[number]}",
        lambda number: f"invoice-{number}.exe",
    ]
    values = [makers[number % len(makers)](number) for number in range(VALUES)]
    chance.shuffle(values)
    return values


def beside_pymispwarninglists(warninglist: dict[str, Any], values: list[str]) -> Iterator[Row]:
    """Compare rates, and what is found at all."""
    kind = WarninglistType(warninglist["type"])
    what = f"{kind}: {warninglist['name']} ({len(warninglist['list']):,} entries)"
    ours, found = rate(WarninglistMatcher(kind, warninglist["list"]).match, values)
    few, _ = rate(WarninglistMatcher(kind, warninglist["list"][:1000]).match, values)
    yield Row(f"{what}, values/s beside ours with its first 1,000", ours, few, ours / few)
    slow = WarningList(warninglist, slow_search=True)
    slow_rate, _ = rate(lambda value: value in slow or None, values)
    yield Row(f"{what}, values/s beside its slow search", ours, slow_rate, ours / slow_rate)
    fast = WarningList(warninglist)
    fast_rate, fast_found = rate(lambda value: value in fast or None, values)
    yield Row(f"{what}, values/s beside its fast search", ours, fast_rate, ours / fast_rate)
    yield Row(f"{what}, hits beside its fast search", found, fast_found, found / fast_found if fast_found else None)


def beside_plain_loops(hosts: list[str], values: list[str]) -> Iterator[Row]:
    """Compare with a loop over the entries, as MISP has one for these two types."""
    substrings = hosts[:5000]
    ours, _ = rate(WarninglistMatcher(WarninglistType.SUBSTRING, substrings).match, values)
    peer, _ = rate(lambda value: next((entry for entry in substrings if entry in value), None), values)
    yield Row("substring: 5,000 entries, values/s beside a plain loop", ours, peer, ours / peer)
    patterns = [rf"(^|[./@]){re.escape(host)}(/|$)" for host in hosts[:200]]
    ours, _ = rate(WarninglistMatcher(WarninglistType.REGEX, [f"#{pattern}#i" for pattern in patterns]).match, values)
    compiled = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
    peer, _ = rate(lambda value: next((one for one in compiled if one.search(value)), None), values)
    yield Row("regex: 200 entries, values/s beside a plain loop of Python's re", ours, peer, ours / peer)


def rate(match: Callable[[str], object], values: Iterable[str]) -> tuple[float, int]:
    """Ask for a while, and say how many values a second were answered and how many of those asked were found."""
    asked = found = 0
    pending = iter(values)
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS and (some := list(itertools.islice(pending, 20))):
        found += sum(match(value) is not None for value in some)
        asked += len(some)
    return asked / elapsed, found


def entries_of(kind: WarninglistType, hosts: list[str]) -> list[str]:
    """Make as many entries of a type as an index is measured with."""
    if kind is WarninglistType.CIDR:
        return [f"{10 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/24" for number in range(ENTRIES)]
    if kind is WarninglistType.REGEX:
        return [f"#(^|\\.){re.escape(host)}$#i" for host in hosts[:ENTRIES]]
    return hosts[:ENTRIES]


def in_a_process_of_its_own(kind: WarninglistType, entries: list[str]) -> tuple[float, float]:
    """Measure where no other index has left room in the heap."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(build, (kind, entries))


def build(kind: WarninglistType, entries: list[str]) -> tuple[float, float]:
    """Build an index, ask it once, and say the seconds and by how many megabytes the process grew."""
    before = resident()
    started = time.perf_counter()
    matcher = WarninglistMatcher(kind, entries)
    matcher.match("www.unlisted.example")
    return time.perf_counter() - started, resident() - before


def resident() -> float:
    """Read how much memory this process has, in MB (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
