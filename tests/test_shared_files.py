"""Files that runs share: many threads and processes open a new one at the same moment."""

import multiprocessing
import multiprocessing.synchronize
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from misp_playbook_lib.batch_run import ListGate
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import Quota
from misp_playbook_lib.model.results import LookupStatus
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistCategory, WarninglistType
from misp_playbook_lib.report import filing
from misp_playbook_lib.report.archive import RunFolder, state_folder
from misp_playbook_lib.report.undo import UndoRecord, interactive_folder, undoable
from misp_playbook_lib.sandbox.misp.state import State
from misp_playbook_lib.steps.locks import list_lock
from misp_playbook_lib.steps.lookup_cache import LookupCache
from misp_playbook_lib.steps.quota import Booking, QuotaLedger
from misp_playbook_lib.steps.sent import Sent, SentLog

THREADS, PROCESSES = 8, 4
OPENERS = THREADS + PROCESSES
NOW = 1_700_000_000.0
Barrier = multiprocessing.synchronize.Barrier
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["misp_playbook_lib.batch_run"])  # imported once, not in each of the processes


def quota(folder: Path, me: str, path: Path | None = None) -> None:
    with closing(QuotaLedger("key", Quota(per_minute=0, per_day=OPENERS), path or folder / "quota.sqlite")) as ledger:
        assert isinstance(ledger.reserve([1], NOW), Booking), me


def quota_of_a_cluster(folder: Path, me: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(folder / ".state")
    quota(folder, me, state_folder() / "quota.sqlite")


def cache(folder: Path, me: str) -> None:
    question = Indicator("domain", me)
    with closing(LookupCache("http://127.0.0.1:6666", "shodan", folder / "lookups.sqlite")) as answers:
        answers.put(question, LookupStatus.NOTHING_KNOWN, "", (), NOW)
        assert question in answers.get([question], NOW)


def lock_of_a_list(folder: Path, me: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(folder)
    with list_lock("https://misp.example", "Mine"):
        _alone(folder, me)


def lock_of_a_list_in_a_batch(folder: Path, me: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(folder)
    gate = ListGate("https://misp.example", "Mine")
    assert gate.acquire(timeout=60)
    _alone(folder, me)
    gate.release()


def _alone(folder: Path, me: str) -> None:
    """Fail if another one holds the same lock."""
    (folder / "held").mkdir()
    (folder / me).touch()
    (folder / "held").rmdir()


def archive_and_its_index(folder: Path, me: str) -> None:
    run = RunFolder(folder)
    run.write("summary.md", me)
    filing.write_index(folder)


def undo_of_interactive_runs(folder: Path, me: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(folder)
    before = Warninglist(1, "Mine", "", WarninglistType.STRING, WarninglistCategory.KNOWN, (), (), 1, enabled=True)
    UndoRecord(interactive_folder(me), "https://misp.example").sending(before, None)
    assert me in {one.run_id for one in undoable(folder / "reports")}


def deliveries(folder: Path, me: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(folder)
    SentLog(folder / "deliveries.json").note("Slack", me, Sent("", "", 1, whole=True))


def state_of_a_sandbox(folder: Path, me: str) -> None:
    with closing(State(folder / "misp.sqlite")) as state, state.write() as db:
        db.execute("INSERT INTO settings VALUES (?, ?)", (me, me))


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own name


Open = Callable[[Path, str], None]
SHARED: dict[Open, Callable[[Path], int]] = {
    quota: lambda folder: count(folder / "quota.sqlite", "debits"),
    quota_of_a_cluster: lambda folder: count(folder / ".state" / "misp-playbook" / "quota.sqlite", "debits"),
    cache: lambda folder: count(folder / "lookups.sqlite", "answers"),
    lock_of_a_list: lambda folder: len(list(folder.glob("opener-*"))),
    lock_of_a_list_in_a_batch: lambda folder: len(list(folder.glob("opener-*"))),
    archive_and_its_index: lambda folder: len(list(folder.glob(".incomplete/*/summary.md"))),
    undo_of_interactive_runs: lambda folder: len(list(folder.glob("misp-playbook/runs/*/undo.json"))),
    deliveries: lambda folder: len(msgspec.json.decode((folder / "deliveries.json").read_bytes())),
    state_of_a_sandbox: lambda folder: count(folder / "misp.sqlite", "settings"),
}
"""How each is opened and written to, and how many of the writers are to be seen in it afterwards."""

ROUNDS = dict.fromkeys((lock_of_a_list, lock_of_a_list_in_a_batch, archive_and_its_index, undo_of_interactive_runs), 10)
"""How many new files are opened, if not 50: these keep their lock for long, poll it rarely, or wait for the disk."""

together: Barrier


def begin(barrier: Barrier) -> None:
    global together  # noqa: PLW0603 - how a barrier gets into a process of a pool
    together = barrier


def open_every_round(open_: Open, folders: list[Path], me: str) -> list[str]:
    """Open the file of every round at the same moment as the others; return what went wrong."""
    wrong = []
    for folder in folders:
        together.wait(60)
        try:
            open_(folder, me)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others wait at the barrier
            wrong.append(f"{type(error).__name__}: {error}")
    return wrong


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    barrier = processes.Barrier(OPENERS)
    begin(barrier)
    with ProcessPoolExecutor(PROCESSES, processes, begin, (barrier,)) as pool:
        yield pool


@pytest.mark.parametrize("open_", SHARED, ids=lambda open_: open_.__name__)
def test_a_new_file_that_many_open_at_once_takes_what_each_of_them_writes(
    open_: Open, pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    folders = [tmp_path / str(number) for number in range(ROUNDS.get(open_, 50))]
    for folder in folders:
        folder.mkdir()
    wrong: list[str] = []
    running = [pool.submit(open_every_round, open_, folders, f"opener-{number}") for number in range(PROCESSES)]
    threads = [
        threading.Thread(
            target=lambda me: wrong.extend(open_every_round(open_, folders, me)), args=[f"opener-{number}"]
        )
        for number in range(PROCESSES, OPENERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in running:
        wrong += one.result()
    assert wrong == []
    assert {SHARED[open_](folder) for folder in folders} == {OPENERS}
