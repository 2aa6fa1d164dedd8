"""Runs a batch: each run in a process of its own on this machine, or on the workers of a Dask cluster.

A pool of one process for each run at a time, not one pool of many: `concurrent.futures` ends every process of a pool
when one of them dies, and with them the runs of others.
"""

import multiprocessing
import os
import secrets
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from misp_playbook_lib.batch_file import Batch
from misp_playbook_lib.batch_results import DONE_BEFORE, BatchRecord, BatchRow, digest, done_before
from misp_playbook_lib.batch_run import MAX_ATTEMPTS, Job, RunFigures, run_here, server_of
from misp_playbook_lib.errors import PlaybookError, SettingsError
from misp_playbook_lib.report import filing
from misp_playbook_lib.report.archive import private_folder, write_whole
from misp_playbook_lib.report.batches import BATCHES
from misp_playbook_lib.state import Outcome
from misp_playbook_lib.untrusted import visible
from misp_playbook_lib.watch import SIGNALS, on_signal


class Pool(Protocol):
    """Where runs go. `where` is the server they work on, `died` what a future raises whose worker died."""

    where: str
    died: tuple[type[BaseException], ...]
    variables: dict[str, str]

    @property
    def capacity(self) -> int:
        """How many runs go on at a time."""

    def submit(self, job: Job) -> "Future[RunFigures | None]":
        """Begin a run."""


class Processes:
    """Processes of this machine, each for one run at a time.

    Args:
        jobs: how many.
        vault: see `run_playbook`.
        hermetic: see `run_playbook`.

    Raises:
        SettingsError: the vault is missing or malformed: no run could do anything.

    """

    died: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, jobs: int, vault: Path | None = None, *, hermetic: bool = False) -> None:
        self.capacity = jobs
        self.where = server_of(vault, hermetic=hermetic)
        self.variables: dict[str, str] = {}
        self._busy: dict[Future[RunFigures | None], ProcessPoolExecutor] = {}
        self._idle: list[ProcessPoolExecutor] = []

    def submit(self, job: Job) -> "Future[RunFigures | None]":
        """See `Pool`."""
        for ended in [future for future in self._busy if future.done()]:
            executor = self._busy.pop(ended)
            if isinstance(ended.exception(), BrokenProcessPool):
                executor.shutdown()
            else:
                self._idle.append(executor)
        executor = self._idle.pop() if self._idle else _executor()
        with _signals_held():  # which a process that is being started would die of
            future = executor.submit(run_here, job, self.where)
        self._busy[future] = executor
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for executor in (*self._idle, *self._busy.values()):
            executor.shutdown()


def place(
    batch: Batch, archive: Path, jobs: int | None, cluster: str | None, vault: Path | None, *, hermetic: bool
) -> "AbstractContextManager[Pool]":
    """Return where a batch goes: the cluster of that address, else as many processes as jobs, or as there are cores.

    Raises:
        SettingsError: it is not ready for it.

    """
    if cluster is None:
        return Processes(jobs or os.cpu_count() or 1, vault, hermetic=hermetic)
    try:
        from misp_playbook_lib.batch_cluster import Cluster  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        raise SettingsError(f"--cluster needs {error.name}: pip install 'misp-playbook[cluster]'.") from None
    return Cluster(cluster, batch, archive, vault, hermetic=hermetic)


def run_batch(
    batch: Batch,
    pool: Pool,
    *,
    archive: Path,
    vault: Path | None = None,
    hermetic: bool = False,
    run_timeout: float | None = None,
    again: bool = False,
    tell: Callable[[BatchRow], None] = lambda _: None,
) -> BatchRecord:
    """Run every set of a batch that is not done yet; sets of the same list one after another, in the file's order.

    SIGINT and SIGTERM end it: runs that go on are ended and archived as interrupted, the others are not begun.

    Args:
        batch: what to run.
        pool: where.
        archive: where reports go; batch.json and a page are in its folder `batches`.
        vault: see `run_playbook`.
        hermetic: see `run_playbook`.
        run_timeout: see `run_playbook`; wins over the file's.
        again: run also what an earlier batch in this archive did with success.
        tell: called with each row as it is settled.

    Raises:
        SettingsError: the archive cannot be written; nothing was started.

    """
    archive = archive.absolute()
    rows = [
        BatchRow(one.number, one.line, one.warninglist, digest(one, batch.notebook, pool.where)) for one in batch.sets
    ]
    done = {} if again else done_before(archive, (row.digest for row in rows))
    record = BatchRecord(archive, _folder(archive), batch, pool.where, rows)
    jobs = []
    for index, (one, row) in enumerate(zip(batch.sets, rows, strict=True)):
        if figures := done.get(row.digest):
            rows[index] = replace(row, outcome=DONE_BEFORE, message=f"run {figures.run_id}", figures=figures)
            tell(rows[index])
        else:
            jobs.append(
                Job(
                    number=one.number,
                    playbook=batch.playbook,
                    texts=dict(one.texts),
                    warninglist=one.warninglist,
                    archive=archive,
                    folder=record.folder,
                    vault=vault.absolute() if vault else None,
                    hermetic=hermetic,
                    run_timeout=batch.run_timeout if run_timeout is None else run_timeout,
                    variables=pool.variables,
                )
            )
    record.save()
    with _interruptible(record.folder) as stopped:
        for number, row in _settled(pool, jobs, rows, stopped):
            rows[number - 1] = row
            record.save()
            tell(row)
    shutil.rmtree(record.folder / ".attempts", ignore_errors=True)
    record.save(finished=True)
    filing.write_index(archive)
    return record


def _settled(
    pool: Pool, jobs: list[Job], rows: list[BatchRow], stopped: threading.Event
) -> Iterator[tuple[int, BatchRow]]:
    """Yield each row as its run ends; a run whose worker died goes to another, which sees what is left of it."""
    running: dict[Future[RunFigures | None], Job] = {}
    tries: Counter[int] = Counter()
    while jobs or running:
        while jobs and len(running) < pool.capacity and not stopped.is_set():
            busy = {job.warninglist for job in running.values()}
            ready = next((job for job in jobs if job.warninglist not in busy), None)
            if ready is None:
                break
            jobs.remove(ready)
            running[pool.submit(ready)] = ready
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job = running.pop(future)
            row = rows[job.number - 1]
            error = CancelledError() if future.cancelled() else future.exception()
            tries[job.number] += 1
            if isinstance(error, pool.died) and tries[job.number] <= MAX_ATTEMPTS:
                running[pool.submit(job)] = job
            elif error is not None:
                message = (
                    str(error) if isinstance(error, PlaybookError) else visible(f"{type(error).__name__}: {error}")
                )
                yield job.number, replace(row, outcome=Outcome.CRASHED.value, message=message)
            elif (figures := future.result()) is not None:
                yield job.number, replace(row, outcome=figures.outcome, message=figures.message, figures=figures)


def _folder(archive: Path) -> Path:
    identity = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    try:
        return private_folder(archive / BATCHES / identity)
    except OSError as error:
        raise SettingsError(f"The archive {archive} cannot be written: {error.strerror}.") from None


@contextmanager
def _interruptible(folder: Path) -> Iterator[threading.Event]:
    """End the batch at the first SIGINT or SIGTERM; a second one is what it always is."""
    stopped = threading.Event()

    def stop(number: int) -> None:
        stopped.set()
        write_whole(folder / ".stop", f"{number:d}")

    try:
        with on_signal(stop):
            yield stopped
    finally:
        (folder / ".stop").unlink(missing_ok=True)


@contextmanager
def _signals_held() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _executor() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    """Leave signals to the batch, which ends runs in order, and end when it is gone."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
