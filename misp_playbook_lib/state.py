"""What a run has done so far, written to state.json after each step: a run that dies leaves it behind."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import PlaybookError, SettingsError
from misp_playbook_lib.report.archive import STATE_FILE, write_whole
from misp_playbook_lib.untrusted import redact, visible

_STOPPING = ("PR", "IN")
"""Sections whose failures stop the run: from ER on, the list is written and a failure is recorded."""


class StepStatus(StrEnum):
    """How a step ended."""

    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class Outcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"

    @property
    def exit_code(self) -> int:
        """The command's exit code; of an interrupted one, the shell's for SIGINT."""
        return {"success": 0, "partial": 4, "failed": 3, "crashed": 1, "interrupted": 130}[self]


@dataclass(slots=True)
class StepRecord:
    """One step: its code, heading, how it ended, and what it says of itself."""

    code: str
    title: str
    status: StepStatus = StepStatus.RUNNING
    summary: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def skip(self, reason: str) -> None:
        """Say that there was nothing to do here, and why."""
        self.status, self.summary = StepStatus.SKIPPED, reason

    def incomplete(self, problem: str) -> None:
        """Say what this step could not do."""
        self.status = StepStatus.INCOMPLETE
        self.problems.append(problem)


@dataclass(slots=True)
class RunState:
    """The state of one run; `folder` None keeps it in memory."""

    run_id: str
    folder: Path | None = None
    started: str = ""
    finished: bool = False
    error: str = ""
    crash: str = ""
    signal: int = 0
    """What ended the run: SIGINT, SIGTERM, SIGKILL for a process that died; 0: it came to its own end."""
    steps: dict[str, StepRecord] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, code: str, title: str) -> Iterator[StepRecord]:
        """Run a step, record how it ended, and save; an error is recorded and raised on."""
        record = self.steps[code] = StepRecord(code, title)
        self.error = ""
        if self.crash.startswith(f"{code} {title}: "):  # an analyst runs again what broke
            self.crash = ""
        begun = datetime.now(UTC)
        try:
            yield record
        except PlaybookError as error:
            record.status = StepStatus.FAILED
            record.problems.append(f"{type(error).__name__}: {error}")
            self.error = f"{code} {title}: {error}"
            raise
        except BaseException as error:
            record.status = StepStatus.FAILED
            self.crash = f"{code} {title}: {type(error).__name__}"
            raise
        else:
            if record.status is StepStatus.RUNNING:
                record.status = StepStatus.DONE
        finally:
            record.summary = visible(record.summary)
            record.problems = [*map(visible, record.problems)]
            record.seconds = round((datetime.now(UTC) - begun).total_seconds(), 3)
            self.save()

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that failed or is incomplete, in words."""
        return tuple(
            f"{step.code} {step.title}: {problem}" for step in self.steps.values() for problem in step.problems
        )

    @property
    def outcome(self) -> Outcome:
        """How the run stands: judged by the steps, and by what ended it."""
        if self.signal:
            return Outcome.INTERRUPTED
        if self.crash:
            return Outcome.CRASHED
        if any(step.status is StepStatus.FAILED and code.startswith(_STOPPING) for code, step in self.steps.items()):
            return Outcome.FAILED
        if not self.finished:
            return Outcome.CRASHED
        return Outcome.PARTIAL if self.problems else Outcome.SUCCESS

    @property
    def exit_code(self) -> int:
        """The exit code of the command that ran it: of an interrupted one, what a shell gives a signal."""
        return 128 + self.signal if self.signal else self.outcome.exit_code

    def save(self) -> None:
        """Write the state whole or not at all.

        Raises:
            SettingsError: it cannot be written.

        """
        if self.folder is None:
            return
        data = asdict(self)
        del data["folder"]
        try:
            write_whole(self.folder / STATE_FILE, redact(json.dumps(data, ensure_ascii=False, indent=1)))
        except OSError as error:
            raise SettingsError(
                f"The record of the run cannot be written to {self.folder} ({error.strerror}): make room there."
            ) from None

    @classmethod
    def load(cls, folder: Path) -> "RunState | None":
        """Read what a run left behind, None if it did not come so far; a file that cannot be read counts as a crash."""
        try:
            data = json.loads((folder / STATE_FILE).read_text(encoding="utf-8", errors="surrogatepass"))
            steps = {
                code: StepRecord(**{**step, "status": StepStatus(step["status"])})
                for code, step in data.pop("steps").items()
            }
            return cls(folder=folder, steps=steps, **data)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return cls(folder.name, folder, crash=f"{STATE_FILE}, what the run had done, cannot be read ({error})")
