"""A batch of runs of a few lines each: one process, two, a Dask cluster of two workers; 50 against 200 runs."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from distributed import LocalCluster

sys.path.insert(0, str(Path(__file__).parent.parent))

from batching import batch_file, small_notebook, small_vault

SETS = 100
FEW, MANY = 50, 200
SETTLED = 25
"""Runs after which a process has loaded whatever it will load."""


class Row(NamedTuple):
    """One comparison; `peer` and `ratio` (ours to the peer's) are None where nothing stands beside ours."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


class Measured(NamedTuple):
    """A batch: its seconds, those of the processor, and by how many MB parent and largest worker grew."""

    seconds: float
    processor: float
    parent: float
    worker: float


def run() -> list[Row]:
    """Measure each once."""
    one = batch(SETS, "--jobs=1")
    two = batch(SETS, "--jobs=2")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR) as cluster:
        dask = batch(SETS, "--cluster", cluster.scheduler_address)
    few, many = batch(FEW, "--jobs=2"), batch(MANY, "--jobs=2")
    return [
        Row(
            f"{SETS} runs a second, two processes; peer: one process", *against(SETS / two.seconds, SETS / one.seconds)
        ),
        Row(
            f"{SETS} runs a second, Dask, two workers; peer: two processes",
            *against(SETS / dask.seconds, SETS / two.seconds),
        ),
        Row("Dask's own overhead, seconds a run", (dask.seconds - two.seconds) / SETS),
        Row(f"seconds a run, {MANY} runs; peer: {FEW} runs", *against(many.seconds / MANY, few.seconds / FEW)),
        Row(
            f"processor seconds a run, {MANY} runs; peer: {FEW} runs",
            *against(many.processor / MANY, few.processor / FEW),
        ),
        Row(f"memory of the parent, MB more after {MANY} runs than after {SETTLED}", many.parent),
        Row(f"memory of the largest worker, MB more after {MANY} runs than after {SETTLED}", many.worker),
    ]


def against(ours: float, peer: float) -> tuple[float, float, float]:
    """Return both figures and their ratio."""
    return ours, peer, ours / peer


def batch(runs: int, *words: str) -> Measured:
    """Run `misp-playbook batch` over small notebooks, every one of a list of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = [{"warninglist_name": f"List {number}"} for number in range(runs)]
        file = batch_file(folder, small_notebook(folder), sets)
        command = [sys.executable, "-m", "misp_playbook_lib", "batch", str(file), "--archive", str(folder / "reports")]
        begun, spent = time.perf_counter(), processor_seconds()
        process = subprocess.Popen(
            [*command, "--vault", str(small_vault(folder)), *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(folder / "state")},
        )
        settled = latest = (0.0, 0.0)
        done = 0
        for line in process.stdout or ():
            if line.startswith("success"):
                done += 1
                latest = memory(process.pid)
                settled = latest if done <= SETTLED else settled
        seconds = time.perf_counter() - begun
        outcomes = {
            row["outcome"]
            for path in folder.glob("reports/batches/*/batch.json")
            for row in json.loads(path.read_text())["runs"]
        }
        if process.wait() or done != runs or outcomes != {"success"}:
            raise RuntimeError(f"{done} of {runs} runs succeeded")
    return Measured(seconds, processor_seconds() - spent, latest[0] - settled[0], latest[1] - settled[1])


def processor_seconds() -> float:
    """Return what the processes begun here, and theirs, have used of the processor so far, whatever else ran."""
    times = os.times()
    return times.children_user + times.children_system


def memory(process: int) -> tuple[float, float]:
    """Return the resident MB of a batch and of its largest process that is no kernel."""
    parent = psutil.Process(process)
    workers = [child.memory_info().rss for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
    return parent.memory_info().rss / 1e6, max(workers, default=0) / 1e6
