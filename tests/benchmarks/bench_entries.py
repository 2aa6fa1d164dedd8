"""Entries from a file to a plan: rate, growth and memory, beside the original's loop and two finders of indicators.

The finders are installed beside the environment, not into it: one of their dependencies brings a package named `tests`.
`pip install --target <environment>/bench-peers ioc-finder iocsearcher`
"""

import importlib
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from misp_playbook_lib.model.corrections import correct
from misp_playbook_lib.model.indicators import Indicators, classify
from misp_playbook_lib.model.lint import lint
from misp_playbook_lib.model.plan import WarninglistAction, plan
from misp_playbook_lib.model.reading import read_entries
from misp_playbook_lib.model.warninglist import WarninglistSpec, WarninglistType

SIZES = (3_000, 30_000, 300_000)
PEER_VALUES = 20_000
LOOP_VALUES = (10_000, 40_000)
PEERS = Path(sys.prefix) / "bench-peers"


class Row(NamedTuple):
    """One comparison; `peer` and `ratio` (ours to the peer's) are None where nothing stands beside ours."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def run() -> list[Row]:
    """Measure everything, in about a minute."""
    rows: list[Row] = []
    for size in SIZES:
        seconds, megabytes = in_a_process_of_its_own(size)
        rows.append(Row(f"read, classify, correct, check and plan {size:,} mixed values, values/s", size / seconds))
        rows.append(Row(f"the most memory for these {size:,} values, interpreter and all, MB", megabytes))
    rows += beside_finders(mixed_lines(PEER_VALUES))
    for size in LOOP_VALUES:
        lines = mixed_lines(size)
        ours = timed(lambda lines=lines: read_entries("\n".join(lines).encode(), "list", WarninglistType.STRING))
        peer = timed(lambda lines=lines: original_loop(lines))
        rows.append(Row(f"read {size:,} values, values/s beside the original's loop", *rates(size, ours, peer)))
    return rows


def beside_finders(lines: list[str]) -> Iterator[Row]:
    """Compare with what finds indicators in a text, one value a line."""
    values = [line.partition(" # ")[0] for line in lines]
    ours = timed(lambda: [classify(value) for value in values])
    if not PEERS.is_dir():
        yield Row(f"classify {len(values):,} values, values/s (no peers in {PEERS.name})", len(values) / ours)
        return
    sys.path.append(str(PEERS))
    searcher = importlib.import_module("iocsearcher.searcher").Searcher()
    finders = {
        "ioc-finder": importlib.import_module("ioc_finder").find_iocs,
        "iocsearcher": searcher.search_data,
    }
    for name, find in finders.items():
        peer = timed(lambda find=find: find("\n".join(values)))
        yield Row(f"classify {len(values):,} values, values/s beside {name}", *rates(len(values), ours, peer))


def rates(size: int, ours: float, peer: float) -> tuple[float, float, float]:
    """Turn seconds into rates and their ratio."""
    return size / ours, size / peer, peer / ours


def timed(work: Callable[[], object]) -> float:
    """Time one run, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def mixed_lines(size: int) -> list[str]:
    """Mix the kinds of indicators as lists have them, a fifth with a comment, some defanged, some no indicator."""
    chance = random.Random(6)  # noqa: S311  the same values in every run
    makers: list[Callable[[int], str]] = [
        lambda number: f"evil-{number}.com",
        lambda number: f"www.c2-{number}.evil.org",
        lambda number: f"cdn{number}.example.net",
        lambda number: f"https://evil-{number}.com/gate.php?id={number}",
        lambda number: f"http://{23 + number % 60}.51.100.{number % 256}/{number}/a.js",
        lambda number: f"{23 + number % 60}.{chance.randrange(256)}.{chance.randrange(256)}.7",
        lambda number: f"{128 + number % 40}.{chance.randrange(256)}.{chance.randrange(256)}.7",
        lambda number: f"{23 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/24",
        lambda number: f"2a00:{number % 65536:x}::{number:x}",
        lambda _: chance.randbytes(16).hex(),
        lambda _: chance.randbytes(20).hex(),
        lambda _: chance.randbytes(32).hex(),
        lambda _: chance.randbytes(32).hex(),
        lambda number: f"user{number}@evil.com",
        lambda number: f"invoice-{number}.exe",
        lambda number: f"evil-{number}[.]ru",
        lambda number: f"EVIL-{number}.net",
        lambda number: f"CVE-2024-{10_000 + number}",
        lambda number: f"Agent/{number} (evil; x)",
    ]
    lines = [makers[number % len(makers)](number) for number in range(size)]
    lines[::5] = [f"{line} # seen by the SOC" for line in lines[::5]]
    chance.shuffle(lines)
    return lines


def pipeline(data: bytes) -> int:
    """Take a file to a plan, as a run does."""
    indicators = Indicators()
    entries, _ = correct(read_entries(data, "list", WarninglistType.STRING), WarninglistType.STRING, indicators)
    lint(entries, WarninglistType.STRING, ["ALL"], indicators=indicators)
    spec = WarninglistSpec(name="benchmark", entries=entries)
    return len(plan(spec, None, WarninglistAction.APPEND).added)


def in_a_process_of_its_own(size: int) -> tuple[float, float]:
    """Measure seconds and the process's largest size in MB, where nothing else has grown."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (size,))


def measure(size: int) -> tuple[float, float]:
    """Run the pipeline once over a few values, which loads what is loaded once, then over all."""
    data = "\n".join(mixed_lines(size)).encode()
    pipeline(b"evil.com\n")
    seconds = timed(lambda: pipeline(data))
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def original_loop(lines: list[str]) -> list[str]:
    """Do what the original does with the values: cut at the first #, and look each up in the list made so far."""
    known: list[str] = []
    for line in lines:
        value = line.split("#")[0].strip()
        if value not in known:
            known.append(value)
    return known
