"""Two writers at once who know nothing of each other: two runs, each with a state folder of its own."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import judging
from proxy import Call, Script
from stage import BEFORE, ENDED_AT_THE_LATEST, NAME, PLAYBOOK, Stage
from warm import Warm

MEETINGS = (
    "",
    "GET /warninglists/index before",
    "POST /warninglists/add before",
    "POST /warninglists/edit/* before",
    "POST /warninglists/edit/* after",
    "GET /warninglists/view/* before",
    "POST /warninglists/toggleEnable before",
)
ROUNDS = 3
PATIENCE = 5
"""Seconds that one waits for the other."""
MINE = {"one": ("a.example", "b.example"), "other": ("c.example", "d.example")}


@dataclass(frozen=True)
class Writers:
    """Two runs that wait for each other at the first call of a name, before it is passed on, or once it was."""

    run: str
    meeting: str
    round: int

    def __str__(self) -> str:
        return f"two writers, {self.run}, round {self.round}: {self.meeting or 'as it comes'}"

    @property
    def group(self) -> str:
        """Where the results count it."""
        return "two writers"

    def wrong(self, folder: Path, warm: Warm) -> list[str]:
        """Let both write in a new folder, and say what is not as it must be."""
        barrier = threading.Barrier(2)

        def watch(call: Call, moment: str) -> bool:
            if f"{call.name} {moment}" == self.meeting:
                with suppress(threading.BrokenBarrierError):
                    barrier.wait(PATIENCE)  # once broken it holds nobody again
            return True

        with Stage(folder, self.run, Script(watch=watch), warm) as stage:
            processes = {}
            for name, values in MINE.items():
                stage.environment["XDG_STATE_HOME"] = str(folder / f"state-{name}")
                given = [f"warninglist_name={NAME}", f"warninglist_values={[*values]}", "enrich_with=[]"]
                words = [word for one in given for word in ("-p", one)]
                processes[name] = stage.start("run", PLAYBOOK, "--vault", str(stage.vault), *words)
            codes = []
            for process in processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(ENDED_AT_THE_LATEST)
                codes.append(process.poll())
                process.kill()
                process.wait()
            seen = stage.seen(0 if codes == [0, 0] else None)
        found = (
            [] if codes == [0, 0] else [f"ended with {codes}: {'; '.join(one['message'] for one in seen.manifests)}"]
        )
        wanted = sorted([*(BEFORE if self.run == "append" else ()), *MINE["one"], *MINE["other"]])
        if sorted(seen.entries or ()) != wanted:
            found.append(f"the list holds {seen.entries}")
        return [*found, *judging.shown_wrongly(seen)]


def meetings() -> Iterator[Writers]:
    """Return every meeting, some times each."""
    for number in range(ROUNDS):
        for run in ("create", "append"):
            for meeting in MEETINGS:
                if run == "create" or "add" not in meeting:
                    yield Writers(run, meeting, number + 1)
