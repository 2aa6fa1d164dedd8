"""Every cell that there is: each has a name (`str`), a group, and says what is wrong when it is tried."""

import json
import os
import uuid
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import kills
import leaks
import matrix
import writers
from proxy import Script
from stage import SCENARIOS, Stage
from warm import Warm

CALLS = Path(__file__).parent / "calls.json"
SEED = 1
PARTS = 8
AT_ONCE = 3 * (os.cpu_count() or 1)
"""Cells at a time: many only wait."""


class Cell(Protocol):
    """Something that is tried."""

    @property
    def group(self) -> str:
        """Where the results count it."""

    def wrong(self, folder: Path, warm: Warm) -> list[str]:
        """Try it in a new folder, and say what is not as it must be."""


def recorded(run: str, folder: Path, warm: Warm) -> list[str]:
    """Run the command without a fault, and return its calls, each service's by itself: only they have an order.

    Raises:
        RuntimeError: it did not succeed.

    """
    with Stage(folder / f"record {run}", run, Script(), warm) as stage:
        seen = stage.run(*stage.given)
    if seen.exit_code != 0:
        raise RuntimeError(f"without a fault the run ended with {seen.exit_code}: {seen.output}")
    services = list(dict.fromkeys(call.service for call in seen.calls))
    calls = {service: [str(call) for call in seen.calls if call.service == service] for service in services}
    calls["misp-modules"] = sorted(calls.get("misp-modules", []))  # which are asked side by side
    return [call for service in services for call in calls[service]]


def known() -> dict[str, list[str]]:
    """Return the calls of each run as calls.json has them, which `make faults` holds to what is recorded."""
    loaded: dict[str, list[str]] = json.loads(CALLS.read_text(encoding="utf-8"))
    return loaded


def every_cell() -> Iterator[Cell]:
    """Return every cell."""
    calls = known()
    for run in SCENARIOS:
        yield from matrix.cells(run, calls[run])
    yield from kills.kills("create", calls["create"])
    yield from writers.meetings()
    yield from leaks.leaks()


def some_cells() -> dict[str, list[Cell]]:
    """Return a tenth of all, chosen by a fixed seed, in lists of like ones by name."""
    chosen = [cell for cell in every_cell() if zlib.crc32(f"{SEED} {cell}".encode()) % 10 == 0]
    return {
        f"{kind} {number + 1} of {PARTS}": [cell for cell in chosen if type(cell).__name__ == kind][number::PARTS]
        for kind in sorted({type(cell).__name__ for cell in chosen})
        for number in range(PARTS)
    }


def tried(cells: Sequence[Cell], folder: Path, warm: Warm, at_once: int = AT_ONCE) -> Iterator[tuple[Cell, list[str]]]:
    """Try cells, some at a time, and yield each with what is wrong."""

    def try_one(cell: Cell) -> list[str]:
        try:
            return cell.wrong(folder / uuid.uuid4().hex, warm)
        except (LookupError, ValueError, OSError) as error:
            return [f"{type(error).__name__}: {error}"]

    with ThreadPoolExecutor(at_once) as pool:
        yield from zip(cells, pool.map(try_one, cells), strict=True)
