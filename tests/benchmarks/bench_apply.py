"""Planning and applying beside a bare POST of the same entries with requests, against the sandbox.

The budget is 1.5 times the POST, plus the read-back: `apply` asks the index whether the list still is as it was
planned for, keeps on disk what undoes the write, writes, and reads back. Each size runs in a process of its own.
"""

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import requests

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.model.plan import WarninglistAction, plan
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec
from misp_playbook_lib.report.undo import UndoRecord
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps import apply as applying

REPEATS = {1_000: 5, 10_000: 5, 100_000: 3, 300_000: 2}
"""How often each size is measured; the least of each figure counts, which the machine disturbed least."""


class Row(NamedTuple):
    """One comparison; `peer` and `ratio` (ours to the peer's) are None where nothing stands beside ours."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def run() -> list[Row]:
    """Measure creating a list, and appending one entry to it, of each size."""
    rows: list[Row] = []
    for size, repeats in REPEATS.items():
        figures: dict[str, float] = {}
        for _ in range(repeats):
            found = measured(size)
            figures = {what: min(figure, figures.get(what, figure)) for what, figure in found.items()}
        for what in ("create", "append to"):
            budget = 1.5 * figures[f"{what}: post"] + figures["read"]
            ours = figures[f"{what}: apply"]
            rows.append(Row(f"{what} {size:,}: plan and apply, s; peer: its budget", ours, budget, ours / budget))
            rows.append(Row(f"{what} {size:,}: plan, s", figures[f"{what}: plan"]))
            rows.append(Row(f"{what} {size:,}: bare POST, s", figures[f"{what}: post"]))
        rows.append(Row(f"read back {size:,}, s", figures["read"]))
        rows.append(Row(f"memory of a writer of {size:,}, MB", figures["memory"] / 1e3))
    return rows


def measured(size: int) -> dict[str, float]:
    """Measure in a process of its own, against a sandbox of its own."""
    with Sandbox() as sandbox, multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (sandbox.misp_url, sandbox.misp_key, size))


def measure(url: str, key: str, size: int) -> dict[str, float]:
    """Create a list of all but one of `size` entries and append that, both ways; return seconds, and kB of memory."""
    headers = {"Authorization": key, "Accept": "application/json"}
    entries = tuple(WarninglistEntry(f"host-{number}.example", "seen once") for number in range(size - 1))
    figures: dict[str, float] = {}
    misp = MispClient(Settings.model_validate({"misp_url": url, "misp_key": key}))
    started_with = peak()
    with tempfile.TemporaryDirectory() as folder:
        for what, action_entries in (("create", entries), ("append to", (WarninglistEntry("one-more.example"),))):
            name = "ours"
            record = UndoRecord(Path(folder) / what, url)
            current = applying.list_named(misp, name)
            began = time.perf_counter()
            planned = plan(WarninglistSpec(name, action_entries), current, WarninglistAction.APPEND)
            figures[f"{what}: plan"] = time.perf_counter() - began
            applied = applying.apply(misp, planned, record)
            figures[f"{what}: apply"] = time.perf_counter() - began
    figures["memory"] = peak() - started_with
    began = time.perf_counter()
    written = misp.warninglist(applied.warninglist.id if applied.warninglist else 0)
    figures["read"] = time.perf_counter() - began
    sent: list[dict[str, Any]] = [{"value": one.value, "comment": one.comment} for one in entries]
    path, name = "add", "by hand"
    for what in ("create", "append to"):
        body = {"Warninglist": {"name": name, "description": name, "entries": sent}}
        began = time.perf_counter()
        answer = requests.post(f"{url}/warninglists/{path}", json=body, headers=headers, timeout=300).json()
        figures[f"{what}: post"] = time.perf_counter() - began
        path, sent = f"edit/{answer['Warninglist']['id']}", [*sent, {"value": "one-more.example"}]
    if len(written.entries) != size:
        raise RuntimeError(f"{len(written.entries)} entries stand, not {size}")
    return figures


def peak() -> float:
    """Return the most memory this process has had, in kB (proc(5), VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    for row in run():
        print(*row)  # noqa: T201 - figures are for reading
