"""Many writers at once, and runs that die: in processes of their own, against one sandbox."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from running import ARMED, GAVE_UP, append_many, look_at_the_end, play, play_and_die
from writing import held

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.report import undo
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.server import Request, Response
from misp_playbook_lib.steps.restore import restore_run

PROCESSES, APPENDS = 8, 25
COLLISIONS = 3
"""How often two machines are made to edit after both have read."""
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["misp_playbook_lib.playbook"])  # imported once, not in each of the processes


@pytest.fixture
def other_writes(sandbox: Sandbox) -> Iterator[None]:
    """Keep MISP writing other things, so that writes run beside another one and can deadlock."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.02):
            with sandbox.misp.state.write():
                done.wait(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    yield
    done.set()
    thread.join()


def machine(vault: Path, tmp_path: Path, number: int) -> dict[str, str]:
    """Return the environment of the runs on one machine, whose locks are its own."""
    return {"MISP_PLAYBOOK_VAULT": str(vault), "XDG_STATE_HOME": str(tmp_path / f"state-{number}")}


def append_at_once(
    vault: Path, tmp_path: Path, *, lock: bool, writers: int = PROCESSES, appends: int = APPENDS
) -> dict[str, str]:
    """Let processes append, on one machine (`lock`) or on as many; return what each says of others, by entry."""
    mine = [[f"{number}-{one}.example" for one in range(appends)] for number in range(writers)]
    with ProcessPoolExecutor(writers, mp_context=processes) as pool:
        running = [
            pool.submit(append_many, machine(vault, tmp_path, 0 if lock else number), tmp_path / "runs", entries)
            for number, entries in enumerate(mine)
        ]
        return dict(outcome for one in running for outcome in one.result())


@pytest.mark.usefixtures("other_writes")
def test_eight_processes_appending_at_once_lose_and_double_nothing(
    sandbox: Sandbox, vault: Path, tmp_path: Path
) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("first.example", "")])
    sandbox.misp.faults.add("/warninglists/edit", "deadlock", times=40)
    outcomes = append_at_once(vault, tmp_path, lock=True)
    assert not any(outcomes.values()), outcomes
    assert sorted(held(sandbox)) == sorted(["first.example", *outcomes])
    assert len(outcomes) == PROCESSES * APPENDS
    assert any(request.status == 500 for request in sandbox.misp.requests)


@pytest.mark.usefixtures("other_writes")
def test_without_the_lock_every_loss_is_repaired_or_told_by_who_caused_it(
    sandbox: Sandbox, vault: Path, tmp_path: Path
) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("first.example", "")])
    sandbox.misp.faults.add("/warninglists/edit", "deadlock", times=40)
    original: Callable[[Request], Response] = sandbox.misp.handle
    one_edit = threading.Lock()
    losses: list[tuple[str, set[str]]] = []

    def handle(request: Request) -> Response:
        if "/edit/" not in request.path:
            return original(request)
        with one_edit:
            before = set(held(sandbox))
            response = original(request)
            if lost := before - set(held(sandbox)):
                losses.append((request.json["Warninglist"]["entries"][-1]["value"], lost))
            return response

    sandbox.misp.handle = handle  # type: ignore[method-assign]  # a hook into a server of the test's own
    outcomes = append_at_once(vault, tmp_path, lock=False)
    there = held(sandbox)
    assert losses, "eight processes without a lock did not come into each other's way"
    assert all(outcomes[writer] for writer, _ in losses)
    assert "first.example" in there
    assert len(there) == len(set(there))
    assert outcomes.keys() - set(there) <= set().union(*(lost for _, lost in losses))


def test_two_machines_that_write_to_one_list_both_succeed_and_every_entry_stands(
    sandbox: Sandbox, vault: Path, tmp_path: Path
) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("first.example", "")])
    original: Callable[[Request], Response] = sandbox.misp.handle
    both_have_read, collisions = threading.Barrier(2), iter(range(2 * COLLISIONS))

    def handle(request: Request) -> Response:
        if "/edit/" in request.path and next(collisions, None) is not None:
            both_have_read.wait()  # each machine has one request under way: it is the other's edit that comes
        return original(request)

    sandbox.misp.handle = handle  # type: ignore[method-assign]  # a hook into a server of the test's own
    outcomes = append_at_once(vault, tmp_path, lock=False, writers=2, appends=10)
    assert not [said for said in outcomes.values() if said.startswith(GAVE_UP)]
    assert sum("Somebody else wrote to it at the same time" in said for said in outcomes.values()) >= COLLISIONS
    with ProcessPoolExecutor(1, mp_context=processes) as pool:
        for number in range(2):
            mine = [entry for entry in outcomes if entry.startswith(f"{number}-")]
            pool.submit(look_at_the_end, machine(vault, tmp_path, number), tmp_path / f"end-{number}", mine).result()
    assert sorted(held(sandbox)) == sorted(["first.example", *outcomes])


class Deadly:
    """Plays the playbook in a process that is killed, and what an analyst does then."""

    def __init__(self, sandbox: Sandbox, vault: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox, self.vault, self.archive = sandbox, vault, archive
        self.monkeypatch = monkeypatch
        self.environment = {"MISP_PLAYBOOK_VAULT": str(vault), "XDG_STATE_HOME": str(archive / "state")}
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def folder(self, run_id: str) -> Path:
        folder = self.archive / ".incomplete" / run_id
        folder.mkdir(parents=True)
        return folder

    def parameters(self, name: str) -> dict[str, object]:
        return {"warninglist_name": name, "warninglist_values": ["b", "c # new"], "enrich_with": []}

    def start(self, name: str, die_at: int | None = None) -> multiprocessing.context.ForkServerProcess:
        environment = {**self.environment, "MISP_PLAYBOOK_RUN_DIR": str(self.folder(f"killed {name}"))}
        child = processes.Process(target=play_and_die, args=(environment, self.parameters(name), die_at))
        child.start()
        return child

    def armed(self, name: str) -> bool:
        return (self.archive / ".incomplete" / f"killed {name}.{ARMED}").exists()

    def run(self, name: str) -> str:
        """Run to the end, here; return the run's ID."""
        run_id = f"next {name} {len(list((self.archive / '.incomplete').iterdir()))}"
        with self.monkeypatch.context() as patch:
            patch.setenv("MISP_PLAYBOOK_RUN_DIR", str(self.folder(run_id)))
            play(self.parameters(name))
        return run_id

    def restore(self, run_id: str) -> None:
        try:
            restore_run(self.archive, run_id, None, force=False, dry_run=False, tell=lambda _: None)
        except ParameterError as error:
            assert "changed no list" in str(error)  # noqa: PT017 - a run that died before it wrote is fine too

    def check(self, name: str, before: list[str] | None, *, restore_first: bool) -> None:
        """See that the list is as before or as wanted, that the next run ends as wanted, and that restoring works."""
        wanted = [*(before or []), "b", "c # new"]
        after_death = self.held(name)
        assert after_death in (before, wanted)
        if restore_first:
            self.restore(f"killed {name}")
            assert self.held(name) == before
        found = self.held(name)
        run_id = self.run(name)
        assert self.held(name) == wanted
        self.restore(run_id)
        assert self.held(name) == found
        if not restore_first:
            self.restore(f"killed {name}")
            assert self.held(name) == before

    def held(self, name: str) -> list[str] | None:
        return held(self.sandbox, name) if self.sandbox.misp.warninglist(name) else None


@pytest.fixture
def deadly(sandbox: Sandbox, vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deadly:
    return Deadly(sandbox, vault, tmp_path / "reports", monkeypatch)


def before_run(sandbox: Sandbox, name: str, *, existing: bool) -> list[str] | None:
    if not existing:
        return None
    sandbox.misp.add_warninglist(name, "string", "known", [("a", "x"), ("a", "")], enabled=False)
    return held(sandbox, name)


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("answered", [False, True])
def test_a_run_killed_at_any_request_of_in5_leaves_the_list_as_before_or_as_wanted(
    sandbox: Sandbox, deadly: Deadly, existing: bool, answered: bool
) -> None:
    original: Callable[[Request], Response] = sandbox.misp.handle
    child: list[multiprocessing.context.ForkServerProcess] = []
    seen, die_at, name = 0, 0, ""

    def handle(request: Request) -> Response:
        nonlocal seen
        if not child or not deadly.armed(name):
            return original(request)
        seen += 1
        if seen != die_at:
            return original(request)
        response = original(request) if answered else Response(500)
        os.kill(child[0].pid or 0, signal.SIGKILL)
        return response

    sandbox.misp.handle = handle  # type: ignore[method-assign]  # a hook into a server of the test's own
    kills = 0
    while True:
        die_at, seen, name = die_at + 1, 0, f"{existing} {answered} {die_at}"
        before = before_run(sandbox, name, existing=existing)
        child[:] = [deadly.start(name)]
        child[0].join()
        exit_code = child.pop().exitcode
        deadly.check(name, before, restore_first=die_at % 2 == 0)
        if exit_code == 0:
            break
        assert exit_code == -signal.SIGKILL
        kills += 1
    assert kills == (5 if existing else 6)


@pytest.mark.parametrize("existing", [True, False])
def test_a_run_killed_at_any_write_to_its_folder_leaves_the_list_as_before_or_as_wanted(
    sandbox: Sandbox, deadly: Deadly, existing: bool
) -> None:
    kills = 0
    for die_at in range(1, 99):
        name = f"{existing} {die_at}"
        before = before_run(sandbox, name, existing=existing)
        child = deadly.start(name, die_at)
        child.join()
        deadly.check(name, before, restore_first=die_at % 2 == 0)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        kills += 1
    assert kills > 20


def test_a_killed_run_is_among_those_that_can_be_restored(sandbox: Sandbox, deadly: Deadly) -> None:
    before_run(sandbox, "Mine", existing=True)
    child = deadly.start("Mine", 8)
    child.join()
    assert [run.state for run in undo.undoable(deadly.archive)] == ["not finished"]
