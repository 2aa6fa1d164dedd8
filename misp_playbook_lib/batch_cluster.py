"""The workers of a Dask cluster as a place for runs: checked first, with Dask's own locks between them.

All workers share the archive; beside it, in `.state`, the quota of each key is kept, which one run at a time may use.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distributed import Client, KilledWorker, Lock, Semaphore
from distributed.comm.core import CommClosedError

from misp_playbook_lib.batch_file import Batch
from misp_playbook_lib.batch_run import Gate, Job, RunFigures, list_digest, run_job, server_of, settings_of
from misp_playbook_lib.errors import PlaybookError, SettingsError
from misp_playbook_lib.model.modules import MODULE_TABLE
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report.archive import private_folder
from misp_playbook_lib.runner import find_playbook

STATE = ".state"
CONNECT_TIMEOUT = 10.0
_PACKAGE = "misp-playbook"


class Cluster:
    """The workers behind a scheduler.

    Args:
        address: the scheduler's, as `tcp://host:8786`.
        batch: what is to be run.
        archive: a folder that this machine and every worker share under the same path.
        vault: the vault's path on every worker; None: what the worker's environment or default places say.
        hermetic: whether to take every service variable out of a run's environment.

    Raises:
        SettingsError: there is no such scheduler or no worker, or a worker lacks something; all is told at once.

    """

    died: tuple[type[BaseException], ...] = (KilledWorker, CancelledError, CommClosedError)

    def __init__(self, address: str, batch: Batch, archive: Path, vault: Path | None, *, hermetic: bool) -> None:
        self.variables = {"XDG_STATE_HOME": str(archive.absolute() / STATE)}
        try:
            self._client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SettingsError(f"There is no Dask scheduler at {address} ({error}): start one.") from None
        try:
            self.where = self._checked(batch.playbook, archive.absolute(), vault, hermetic=hermetic)
        except SettingsError:
            self._client.close()
            raise
        self._executor = self._client.get_executor(pure=False)

    @property
    def capacity(self) -> int:
        """How many runs go on at a time: the threads of the workers that are there."""
        return sum(self._client.nthreads().values()) or 1

    def submit(self, job: Job) -> "Future[RunFigures | None]":
        """See `Pool`; a relative file of values is one of this machine's folder."""
        texts = dict(job.texts)
        if file := texts.get("warninglist_values_file"):
            texts["warninglist_values_file"] = str(Path(str(file)).absolute())
        future: Future[RunFigures | None] = self._executor.submit(run_on_worker, replace(job, texts=texts), self.where)
        return future

    def _checked(self, playbook: str, archive: Path, vault: Path | None, *, hermetic: bool) -> str:
        """Return the server that all workers work on.

        Raises:
            SettingsError: what is missing where.

        """
        version = metadata.version(_PACKAGE)
        with _probe(archive) as probe:
            answers: dict[str, Any] = self._client.run(
                check_worker, version, playbook, archive, probe, vault, hermetic, on_error="return"
            )
        if not answers:
            raise SettingsError("The Dask cluster has no workers: start some.")
        problems, servers = [], set()
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                words = f"{type(answer).__name__}: {answer}; install {_PACKAGE} {version} there"
                problems.append(f"{worker}: {words}")
            else:
                server, missing = answer
                servers.add(server)
                problems += [f"{worker}: {words}" for words in missing]
        if not problems and len(servers) > 1:
            problems.append(f"the vaults of the workers name different servers: {', '.join(sorted(servers))}")
        if problems:
            raise SettingsError("The cluster is not ready; nothing was started. " + "; ".join(problems))
        return str(servers.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()


def check_worker(
    version: str, playbook: str, archive: Path, probe: str, vault: Path | None, hermetic: bool
) -> tuple[str, list[str]]:
    """Look, on a worker, for all that a run needs; return which server its vault names, and what is missing."""
    problems, server = [], ""
    if (here := metadata.version(_PACKAGE)) != version:
        problems.append(f"it has {_PACKAGE} {here}, not {version}")
    try:
        find_playbook(playbook)
        server = server_of(vault, hermetic=hermetic)
    except PlaybookError as error:
        problems.append(str(error))
    if not (archive / probe).is_file():
        problems.append(f"the archive {archive} is not the folder that it is here: share it under the same path")
    elif not os.access(archive, os.W_OK):
        problems.append(f"the archive {archive} cannot be written")
    return server, problems


def run_on_worker(job: Job, where: str) -> RunFigures | None:
    """Carry out a job on a worker: one run at a time for each list of the server `where`, and for each key."""
    wanted = PlaybookParameters.from_text(job.texts)
    secrets_ = settings_of(job.vault, hermetic=job.hermetic)
    rows = [MODULE_TABLE[name] for name in wanted.enrich_with if name in MODULE_TABLE and not wanted.dry_run]
    keys = {key for row in rows if row.secret and (key := secrets_.secret(row.secret))}
    names = sorted(hashlib.sha256(key.encode()).hexdigest() for key in keys)
    gates: list[Gate] = [Lock(f"{_PACKAGE} list {list_digest(where, job.warninglist)}")]
    gates += [Semaphore(max_leases=1, name=f"{_PACKAGE} key {name}") for name in names]
    return run_job(job, gates)


@contextmanager
def _probe(archive: Path) -> Iterator[str]:
    """Leave a file in the archive that only those can see who share it, and yield its name.

    Raises:
        SettingsError: the archive cannot be written.

    """
    path = archive / f".probe-{secrets.token_hex(8)}"
    try:
        private_folder(archive)
        path.touch(mode=0o600)
    except OSError as error:
        raise SettingsError(f"The archive {archive} cannot be written: {error.strerror}.") from None
    try:
        yield path.name
    finally:
        path.unlink()
