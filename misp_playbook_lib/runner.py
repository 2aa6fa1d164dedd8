"""Runs a playbook without hands: papermill, then the report, the archive and the exit code."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

from misp_playbook_lib.archiving import Begun, RunResult, archive_run, list_name
from misp_playbook_lib.engine import ENGINE
from misp_playbook_lib.errors import ParameterError, SettingsError
from misp_playbook_lib.notebook import check_notebook
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report import archive
from misp_playbook_lib.report.owned import temporary_folder
from misp_playbook_lib.report.written import Became, Fate, what_became
from misp_playbook_lib.settings import RUN_TIMEOUT_VARIABLE, learn_secrets, load_settings
from misp_playbook_lib.state import Outcome, RunState, StepRecord, StepStatus
from misp_playbook_lib.steps.run_time import DEFAULT_SECONDS
from misp_playbook_lib.untrusted import visible
from misp_playbook_lib.watch import Watch

KERNEL_LOG = "kernel.log"
PACKAGED = Path(__file__).parent / "playbooks"
CHECKOUT = Path(__file__).parent.parent / "playbooks"


def find_playbook(name: str) -> Path:
    """Return a notebook by its path, or by the name of a shipped one.

    Raises:
        ParameterError: there is none.

    """
    path = Path(name)
    if path.suffix == ".ipynb" and os.path.exists(path):  # noqa: PTH110 - False too for a name that no file can have
        check_notebook(path)
        return path
    shipped = {one.stem: one for one in (PACKAGED if PACKAGED.is_dir() else CHECKOUT).glob("*.ipynb")}
    if path.parent == Path() and path.stem in shipped:
        return shipped[path.stem]
    names = ", ".join(sorted(shipped))
    raise ParameterError([f"There is no playbook {name}: give the path of a notebook, or one of {names}"])


def run_playbook(
    notebook: Path,
    texts: Mapping[str, str | list[str]],
    *,
    archive_folder: Path = archive.DEFAULT_ARCHIVE,
    vault: Path | None = None,
    hermetic: bool = False,
    environ: Mapping[str, str] = os.environ,
    folder: archive.RunFolder | None = None,
    run_timeout: float | None = None,
    stop: Callable[[], int] = lambda: 0,
    progress: Callable[[StepRecord], None] = lambda _: None,
) -> RunResult:
    """Check the parameters, run the notebook, and archive whatever came of it.

    Args:
        notebook: the playbook.
        texts: the parameters as texts, converted by their declared types alone.
        archive_folder: where the run's folder goes.
        vault: the vault file; None: what the environment or the default places say.
        hermetic: whether to take every service variable out of the run's environment.
        environ: the run's environment.
        folder: the run's folder in the archive if it is open already.
        run_timeout: seconds until lookups and search end; 0: no limit; None: an hour and what the lookups' quota needs.
        stop: asked all the time; the signal for which the run must end, 0 as long as it may go on.
        progress: called with each step as it ends.

    Raises:
        ParameterError: the parameters are wrong; nothing was started.
        SettingsError: the archive cannot be written; nothing was started.

    """
    learn_secrets(vault, environ)
    parameters = PlaybookParameters.from_text(texts)
    given = parameters.model_dump(include=set(texts))
    folder = folder or archive.RunFolder(archive_folder)
    seconds = DEFAULT_SECONDS if run_timeout is None else run_timeout
    begun = Begun(notebook, texts, vault, hermetic, datetime.now(UTC), seconds)
    begun.keep(folder)
    environment = begun.environment(folder.path, environ)
    if run_timeout is not None:
        environment[RUN_TIMEOUT_VARIABLE] = f"{run_timeout:g}"
    watch = Watch(
        stop,
        lambda: archive.run_timeout(folder.path, seconds),
        lambda: what_became(folder.path, "").fate is Fate.NOT_SEEN,
    )
    crash = _execute(notebook, folder, given, environment, watch, progress)
    state = RunState.load(folder.path) or RunState(folder.run_id, crash=crash or "the playbook did not start")
    if crash and not state.crash and state.outcome is not Outcome.FAILED:
        state.crash = crash
    if watch.late and state.crash:
        state.crash = f"the run was ended: {watch.late} ({state.crash})"
    if crash:
        state.signal = watch.signal
    became = what_became(folder.path, list_name(parameters))
    if not state.finished and ("warninglist" in state.facts or became.fate is not Fate.NOT_WRITTEN):
        _tell_of_crash(parameters, state, environment, became)
    return archive_run(folder, begun, state, environ)


def _execute(
    notebook: Path,
    folder: archive.RunFolder,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    watch: Watch,
    progress: Callable[[StepRecord], None],
) -> str:
    """Run the notebook and return what broke it, in a line, empty if nothing did."""
    reporter = _Progress(folder.path, progress)
    log = folder.path / KERNEL_LOG
    log.touch()
    # What renders the report takes a while to load, and this process is idle while the kernel starts.
    threading.Thread(target=_load_report, daemon=True).start()
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    try:
        with temporary_folder() as sockets, watch:
            papermill.execute_notebook(
                str(notebook),
                str(folder.path / archive.NOTEBOOK),
                parameters=dict(given),
                engine_name=ENGINE,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                shutdown_kernel="immediate",
                cwd=str(Path.cwd()),
                kernel_manager_class=_kernel_manager(environment, log, sockets, watch, folder.locks),
                on_cell_executed=reporter.cell_executed,
            )
    except PapermillExecutionError as error:
        return visible(f"{error.ename}: {error.evalue}")
    except RuntimeError as error:
        return f"the kernel died: {error}"
    except OSError as error:
        return f"the notebook cannot be written to {folder.path}: {error.strerror}"
    finally:
        reporter.report()
        if not log.stat().st_size:
            log.unlink()
    return ""


def _load_report() -> None:
    from misp_playbook_lib.report import html  # noqa: PLC0415 - nbconvert is loaded while the kernel starts

    html.prepare()


class _Progress:
    """Tells of each step once, from the state that the playbook leaves after it."""

    def __init__(self, folder: Path, tell: Callable[[StepRecord], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._told: set[str] = set()

    def cell_executed(self, **_: Any) -> None:
        self.report()

    def report(self) -> None:
        state = RunState.load(self._folder)
        for code, step in state.steps.items() if state else ():
            if code not in self._told:
                self._told.add(code)
                self._tell(step)


def _kernel_manager(
    environment: Mapping[str, str], log: Path, sockets: Path, watch: Watch, locks: tuple[int, ...]
) -> type[AsyncKernelManager]:
    """Make a manager that starts the kernel on this interpreter, whatever kernelspecs the user has."""

    class OwnKernelManager(AsyncKernelManager):
        """Starts ipykernel on our own interpreter with the run's environment, its sockets in a folder of the run's."""

        def _transport_default(self) -> str:
            return "ipc"

        def _ip_default(self) -> str:
            return str(sockets / "kernel")

        def _connection_file_default(self) -> str:
            return str(sockets / "connection.json")

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[
                    *(sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
                    "--HistoryManager.enabled=False",  # an analyst's history is no place for what a scheduler runs
                ],
                display_name="Python 3",
                language="python",
            )

        async def _async_start_kernel(self, **kwargs: Any) -> None:
            with log.open("ab") as output:
                own = {"env": dict(environment), "stdout": output, "stderr": output, "pass_fds": locks}
                await super()._async_start_kernel(**{**kwargs, **own})
            watch.started(getattr(self.provisioner, "pid", 0))

        start_kernel = _async_start_kernel

    return OwnKernelManager


def _tell_of_crash(
    parameters: PlaybookParameters, state: RunState, environment: Mapping[str, str], became: Became
) -> None:
    """Tell the configured services that the run broke off, and what became of the list."""
    from misp_playbook_lib.steps.deliver import tell_of_crash  # noqa: PLC0415 - few runs break off

    try:
        tell_of_crash(parameters, load_settings(environ=environment), state, became)
    except (SettingsError, OSError) as error:  # the vault is gone, or the disk is full
        title = "Tell the configured services"
        state.steps["EN:2"] = StepRecord("EN:2", title, StepStatus.INCOMPLETE, problems=[str(error)])
