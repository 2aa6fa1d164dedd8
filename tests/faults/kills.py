"""Kills: at every request of a run, runner, kernel or batch gets a signal, before or after it was passed on."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import judging
from proxy import Call, Script
from stage import ENDED_AT_THE_LATEST, PLAYBOOK, Stage
from warm import Warm

VICTIMS = ("runner", "kernel", "batch")
SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")
MOMENTS = ("before", "after")
PAUSE = 0.3
"""Seconds that a service takes once a signal was sent, or the run is over before the runner looks for one."""
LEFT_ALONE = 10
"""Seconds in which a kernel ends whose runner is dead."""


@dataclass(frozen=True)
class Kill:
    """One signal to one process, at one call: before it reaches the service, or once it did."""

    run: str
    call: str
    victim: str
    signal: str
    moment: str

    def __str__(self) -> str:
        return f"{self.run}: {self.signal} to the {self.victim} {self.moment} {self.call}"

    @property
    def group(self) -> str:
        """Where the results count it."""
        return f"kills: {self.signal} to the {self.victim}"

    def wrong(self, folder: Path, warm: Warm) -> list[str]:
        """Kill in a new folder, and say what is not as it must be."""
        return played(self, folder, warm)


def kills(run: str, calls: Sequence[str]) -> Iterator[Kill]:
    """Return every kill at every call of a run."""
    for call in calls:
        for victim in VICTIMS:
            for name in SIGNALS:
                for moment in MOMENTS:
                    yield Kill(run, call, victim, name, moment)


def played(kill: Kill, folder: Path, warm: Warm) -> list[str]:
    """Run the command until it is killed, then `runs`, which archives what was left, and say what is wrong."""
    fired = threading.Event()

    def watch(call: Call, moment: str) -> bool:
        if not fired.is_set() and (str(call), moment) == (kill.call, kill.moment):
            fired.set()
            role = "kernel" if kill.victim == "kernel" else "runner"
            os.kill(int((folder / role).read_text()), getattr(signal, kill.signal))
            if kill.victim == "kernel":
                return False
        if fired.is_set():
            script.over.wait(PAUSE)
        return True

    script = Script(watch=watch)
    with Stage(folder, kill.run, script, warm) as stage:
        words = stage.given
        if kill.victim == "batch":
            (folder / "runs.yaml").write_text(json.dumps({"playbook": PLAYBOOK, "runs": [stage.values]}))
            words = ["batch", str(folder / "runs.yaml"), "--vault", str(stage.vault)]
        begun = time.monotonic()
        process = stage.start(*words)
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(ENDED_AT_THE_LATEST)
        seconds = time.monotonic() - begun
        process.kill()
        process.wait()
        if kill.signal == "SIGKILL":
            alone(int((folder / "kernel").read_text()))
            stage.run("runs")
        seen = stage.seen(code, seconds)
        if not fired.is_set():
            return [f"the call was not made: {seen.output[-300:]}"]
        return [*judging.wrong_kill(kill.run, kill.call, kill.victim, kill.signal, seen), *judging.always_wrong(seen)]


def alone(kernel: int) -> None:
    """Wait until the kernel of a dead runner ended."""
    until = time.monotonic() + LEFT_ALONE
    while Path(f"/proc/{kernel}").exists() and time.monotonic() < until:
        time.sleep(0.05)  # between two looks, until the process has ended
