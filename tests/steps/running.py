"""What the tests run in processes of their own: the playbook up to IN:6, and many appends."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import stamina

from misp_playbook_lib import Playbook, PlaybookParameters
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import ChangedMeanwhile
from misp_playbook_lib.model.plan import WarninglistAction, plan
from misp_playbook_lib.model.results import Applied, ApplyOutcome
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec
from misp_playbook_lib.report.undo import UndoRecord
from misp_playbook_lib.settings import load_settings
from misp_playbook_lib.steps import apply as applying

ARMED = "armed"
"""A file that says that IN:5 begins."""
GAVE_UP = "Gave up: "
"""Begins what is said of a run that ended in an error."""


def play(parameters: Mapping[str, Any]) -> tuple[Playbook, Applied]:
    """Run the playbook from PR:1 to IN:6, the environment naming vault and run folder."""
    run = Playbook.open(PlaybookParameters(**parameters))
    selection = run.select_warninglist(run.warninglists())
    details = run.details(selection)
    planned = run.plan(selection, details, run.read_values(selection, details))
    if run.state.folder:
        run.state.folder.with_name(f"{run.state.folder.name}.{ARMED}").touch()
    return run, run.enable(run.apply(planned))


def play_and_die(environment: Mapping[str, str], parameters: Mapping[str, Any], die_at: int | None) -> None:
    """Play in a process of its own, which kills itself before the `die_at`-th write to the run folder in IN:5."""
    os.environ.update(environment)
    folder = Path(environment["MISP_PLAYBOOK_RUN_DIR"])
    armed = folder.with_name(f"{folder.name}.{ARMED}")
    writes = 0

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal writes
        writing = event in {"os.rename", "os.remove"} or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if writing and str(arguments[0]).startswith(f"{folder}{os.sep}") and armed.exists():
            writes += 1
            if writes == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if die_at is not None:
        sys.addaudithook(audit)
    play(parameters)


def append_many(environment: Mapping[str, str], folder: Path, entries: list[str]) -> list[tuple[str, str]]:
    """Append entries one run each, look at the end whether they stand; return (entry, what is said of others)."""
    os.environ.update(environment)
    stamina.set_testing(testing=True, attempts=applying.ATTEMPTS, cap=True)
    misp = MispClient(load_settings())
    found = applying.list_named(misp, "Mine")
    outcomes = []
    for entry in entries:
        record = UndoRecord(folder / entry, misp.server.url)
        spec = WarninglistSpec("Mine", (WarninglistEntry(entry),))
        planned = plan(spec, found, WarninglistAction.APPEND)
        try:
            applied = applying.apply(misp, planned, record)
            again = applying.append_again(misp, applied, record)
        except ChangedMeanwhile as error:
            outcomes.append((entry, f"{GAVE_UP}{error}"))
        else:
            outcomes.append((entry, f"{applied.others} {again}".strip()))
    return outcomes


def look_at_the_end(environment: Mapping[str, str], folder: Path, entries: list[str]) -> None:
    """See at the end of a run that all its entries stand, as EN:4 does."""
    os.environ.update(environment)
    misp = MispClient(load_settings())
    spec = WarninglistSpec("Mine", tuple(map(WarninglistEntry, entries)))
    found = applying.list_named(misp, "Mine")
    planned = plan(spec, found, WarninglistAction.APPEND)
    applied = Applied(planned, ApplyOutcome.UPDATED, found)
    applying.append_again(misp, applied, UndoRecord(folder / "end", misp.server.url))
