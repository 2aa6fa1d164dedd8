"""One run of a batch, as a worker carries it out: wait for the list, look what a dead worker left, run, tell."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from misp_playbook_lib.archiving import archive_dead
from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report.archive import REPORT, RunFolder, private_folder, state_folder
from misp_playbook_lib.report.history import find_run, read_manifest
from misp_playbook_lib.runner import find_playbook, run_playbook
from misp_playbook_lib.settings import Settings, load_settings, without_services
from misp_playbook_lib.state import Outcome

MAX_ATTEMPTS = 2
_LISTS_WRITTEN = "EN:1"
"""The last step before the first that delivers anything: up to here IN:5 sees what is there and repeats nothing."""
_POLL = 1.0


class Gate(Protocol):
    """Something that one run at a time may hold, on this machine or on a cluster."""

    def acquire(self, *, timeout: float) -> Any:
        """Wait up to `timeout` seconds, and tell whether it is held."""

    def release(self) -> object:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to know of a run; all paths are absolute.

    `folder` is the batch's, which all its workers see; `variables` go into the run's environment.
    """

    number: int
    playbook: str
    texts: dict[str, str | list[str]]
    warninglist: str
    archive: Path
    folder: Path
    vault: Path | None = None
    hermetic: bool = False
    run_timeout: float | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def attempts(self) -> Path:
        """The file that names the run of every attempt, a line each."""
        return self.folder / ".attempts" / str(self.number)

    @property
    def stop(self) -> Path:
        """The file that ends the batch; it holds the number of the signal."""
        return self.folder / ".stop"


@dataclass(frozen=True, slots=True)
class RunFigures:
    """How a run ended. `folder` is relative to the archive; None: there is no such figure.

    `died` are the runs before it whose workers died.
    """

    run_id: str
    folder: str
    outcome: str
    message: str
    change: str
    entries: int | None
    matches: int | None
    failures: int
    report: bool
    died: tuple[str, ...] = ()


def list_digest(where: str, warninglist: str) -> str:
    """Name the lock of a list on a server."""
    return hashlib.sha256(f"{where}\n{warninglist}".encode("utf-8", "surrogatepass")).hexdigest()


class ListGate:
    """Lets one run at a time at a list among this user's batches on this machine."""

    def __init__(self, where: str, warninglist: str) -> None:
        folder = private_folder(state_folder() / "locks")
        self._lock = FileLock(folder / f"run-{list_digest(where, warninglist)}.lock", mode=0o600)

    def acquire(self, *, timeout: float) -> bool:
        """See `Gate`."""
        try:
            self._lock.acquire(timeout=timeout)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """See `Gate`."""
        self._lock.release()


def server_of(vault: Path | None, *, hermetic: bool) -> str:
    """Return which server a vault points to; every sandbox is the same one to a batch, as its address changes.

    Raises:
        SettingsError: the vault is missing or malformed.

    """
    settings = settings_of(vault, hermetic=hermetic)
    return "sandbox" if settings.sandbox else settings.misp_url


def settings_of(vault: Path | None, *, hermetic: bool) -> Settings:
    """Read the settings that a run will have.

    Raises:
        SettingsError: the vault is missing or malformed.

    """
    return load_settings(vault, without_services(os.environ) if hermetic else os.environ)


def run_here(job: Job, where: str) -> RunFigures | None:
    """Carry out a job on this machine, one at a time for each list of the server `where`."""
    return run_job(job, [ListGate(where, job.warninglist)])


def run_job(job: Job, gates: Sequence[Gate]) -> RunFigures | None:
    """Carry out a job, None if the batch was interrupted before it began.

    An attempt whose worker died is archived, and repeated once if it delivered nothing.

    Raises:
        PlaybookError: it could not begin, or not be archived.

    """
    died: list[str] = []
    left = None
    for run_id in job.attempts.read_text(encoding="utf-8").split() if job.attempts.exists() else ():
        found = _left_behind(job, run_id)
        if found is None:
            continue
        left = found
        if left["outcome"] != Outcome.INTERRUPTED:
            return _figures(job, left, died)
        died.append(run_id)
    if left and (len(died) == MAX_ATTEMPTS or not safe_to_repeat(left)):
        return _figures(job, left, died[:-1])
    with ExitStack() as held:
        for gate in gates:
            while not gate.acquire(timeout=_POLL):
                if job.stop.exists():
                    return _figures(job, left, died[:-1]) if left else None
            held.callback(gate.release)
        if job.stop.exists():
            return _figures(job, left, died[:-1]) if left else None
        folder = RunFolder(job.archive)
        with private_folder(job.attempts.parent).joinpath(job.attempts.name).open("a", encoding="utf-8") as attempts:
            attempts.write(f"{folder.run_id}\n")
        ran = run_playbook(
            find_playbook(job.playbook),
            job.texts,
            vault=job.vault,
            hermetic=job.hermetic,
            environ={**os.environ, **job.variables},
            folder=folder,
            run_timeout=job.run_timeout,
            stop=lambda: int(job.stop.read_text()) if job.stop.exists() else 0,
        )
    if not ran.archived:
        raise SettingsError("; ".join(dict.fromkeys([ran.message, *ran.problems])))
    return _figures(job, read_manifest(ran.folder), died)


def safe_to_repeat(manifest: dict[str, Any]) -> bool:
    """Tell whether a run that broke off can be repeated.

    What it wrote to the list IN:5 finds there and does not write again. A message that was perhaps sent nothing finds:
    such a run is repeated only if it had not come so far, or was to send none.
    """
    wanted = PlaybookParameters.model_validate(manifest["parameters"])
    sends = wanted.send_to_mattermost_option or wanted.send_to_slack or wanted.send_to_thehive
    came_so_far = any(step["step"] == _LISTS_WRITTEN for step in manifest["steps"])
    return wanted.dry_run or not (sends and came_so_far)


def _left_behind(job: Job, run_id: str) -> dict[str, Any] | None:
    """Archive an attempt that its worker did not end, and return the manifest of the attempt.

    None: the run had not begun.
    """
    folder = RunFolder.taken_over(job.archive, run_id, given_up=True)
    if folder is not None and archive_dead(folder, {**os.environ, **job.variables}) is None:
        return None
    return read_manifest(find_run(job.archive, run_id))


def _figures(job: Job, manifest: dict[str, Any], died: Sequence[str]) -> RunFigures:
    folder = find_run(job.archive, manifest["run_id"])
    facts = manifest["facts"]
    warninglist = facts.get("warninglist", {})
    return RunFigures(
        run_id=manifest["run_id"],
        folder=folder.relative_to(job.archive).as_posix(),
        outcome=manifest["outcome"],
        message=manifest["message"],
        change=warninglist.get("outcome", ""),
        entries=warninglist.get("entries"),
        matches=facts.get("matches", {}).get("attributes"),
        failures=len(manifest["problems"]),
        report=(folder / REPORT).is_file(),
        died=tuple(died),
    )
