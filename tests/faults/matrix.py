"""Calls x faults: every call of a run goes wrong in every way, once and always."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import judging
from proxy import FAULTS, Call, Script
from stage import Stage
from warm import Warm

TIMES = ("once", "always")
AROUND_THE_WRITE = ("select", "view", "before the write", "write", "read back", "enable", "see enabled")
"""What appending does otherwise than creating."""


@dataclass(frozen=True)
class Cell:
    """One call of one run, and one fault: at this call, or at it and at all later ones of its name.

    `position` is how many calls of its service come before it.
    """

    run: str
    call: str
    position: int
    fault: str
    times: str

    def __str__(self) -> str:
        return f"{self.run}: {self.call}: {self.fault}, {self.times}"

    @property
    def group(self) -> str:
        """Where the results count it."""
        return f"calls x faults: {self.run}, {judging.place(self.run, self.call)}"

    def wrong(self, folder: Path, warm: Warm) -> list[str]:
        """Run the command with the fault in a new folder, and say what is not as it must be."""
        service, _, rest = self.call.partition(" ")
        name, _, number = rest.rpartition(" ")

        def strikes(call: Call) -> bool:
            if (call.service, call.name) != (service, name):
                return False
            return call.number == int(number) or (self.times == "always" and call.number > int(number))

        script = Script(self.fault, strikes)
        if self.fault == "refused":
            script = Script(refuses=(service, self.position), for_good=self.times == "always")
        with Stage(folder, self.run, script, warm) as stage:
            seen = stage.run(*stage.given)
            if self.fault != "refused" and not seen.struck:
                return [f"the call was not made: {seen.output[-300:]}"]
            row = judging.expected(self.run, self.call, self.fault, self.times)
            found = [*judging.wrong(row, seen), *judging.always_wrong(seen)]
            if row["later"] != judging.ANY and seen.manifests:
                script.strikes = lambda _: False
                stage.run("notify", seen.manifests[0]["run_id"], "--vault", str(stage.vault))
                after = stage.seen(seen.exit_code)
                found += [*judging.wrong_later(row, seen, after), *judging.always_wrong(after)]
            return found


def cells(run: str, calls: Sequence[str]) -> Iterator[Cell]:
    """Return the cells of a run that makes these calls; of appending, those of the calls around its write."""
    services = [call.partition(" ")[0] for call in calls]
    for index, call in enumerate(calls):
        place = judging.place(run, call)
        if run == "append" and place not in AROUND_THE_WRITE:
            continue
        position = services[:index].count(services[index])
        for fault in FAULTS:
            for times in TIMES:
                if fault != "refused" or place != "question":  # which of them comes first is left to chance
                    yield Cell(run, call, position, fault, times)
