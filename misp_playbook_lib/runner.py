"""Runs a playbook without hands: papermill, then the report, the archive and the exit code."""

import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

from misp_playbook_lib.engine import ENGINE
from misp_playbook_lib.errors import ParameterError, SettingsError
from misp_playbook_lib.model.tlp import label
from misp_playbook_lib.notebook import check_notebook
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report import archive
from misp_playbook_lib.report.written import Became, Fate, what_became
from misp_playbook_lib.settings import (
    RUN_DIR_VARIABLE,
    VAULT_VARIABLE,
    find_vault,
    learn_secrets,
    load_settings,
    without_services,
)
from misp_playbook_lib.state import STATE_FILE, Outcome, RunState, StepRecord, StepStatus
from misp_playbook_lib.untrusted import visible
from misp_playbook_lib.watch import Watch

KERNEL_LOG = "kernel.log"
DIED = "the process that ran it died"
PACKAGED = Path(__file__).parent / "playbooks"
CHECKOUT = Path(__file__).parent.parent / "playbooks"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended and where its artefacts are."""

    run_id: str
    outcome: Outcome
    message: str
    folder: Path
    problems: tuple[str, ...]


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
    watch: Watch | None = None,
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
        watch: ends the run when it takes too long or is wanted no more.
        progress: called with each step as it ends.

    Raises:
        ParameterError: the parameters are wrong; nothing was started.
        SettingsError: the archive cannot be written; nothing was started.

    """
    learn_secrets(vault, environ)
    parameters = PlaybookParameters.from_text(texts)
    given = parameters.model_dump(include=set(texts))
    folder = folder or archive.RunFolder(archive_folder)
    started = datetime.now(UTC)
    watch = watch or Watch()
    environment = _environment(folder.path, vault, environ, hermetic=hermetic)
    crash = _execute(notebook, folder, given, environment, watch, progress)
    state = RunState.load(folder.path) or RunState(folder.run_id, crash=crash or "the playbook did not start")
    if crash and not state.crash and state.outcome is not Outcome.FAILED:
        state.crash = crash
    if watch.reason and state.crash:
        state.crash = f"the run was ended: {watch.reason} ({state.crash})"
    became = what_became(folder.path, _named(parameters))
    if not state.finished and ("warninglist" in state.facts or became.fate is not Fate.NOT_WRITTEN):
        _tell_of_crash(parameters, state, environment, became)
    return _archive(folder, notebook, parameters, state, started)


def archive_dead(
    folder: archive.RunFolder,
    notebook: Path,
    texts: Mapping[str, str | list[str]],
    *,
    vault: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> RunResult:
    """Archive what a run left behind whose process died; see `run_playbook` for the arguments."""
    learn_secrets(vault, environ)
    state = RunState.load(folder.path) or RunState(folder.run_id)
    state.crash = DIED
    _drop_half_a_notebook(folder.path / archive.NOTEBOOK)
    started = datetime.fromisoformat(state.started) if state.started else datetime.now(UTC)
    return _archive(folder, notebook, PlaybookParameters.from_text(texts), state, started)


def _drop_half_a_notebook(path: Path) -> None:
    """Remove a notebook whose writer died over it."""
    with suppress(FileNotFoundError):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            path.unlink()


def _environment(folder: Path, vault: Path | None, environ: Mapping[str, str], *, hermetic: bool) -> dict[str, str]:
    environment = without_services(environ) if hermetic else dict(environ)
    environment[RUN_DIR_VARIABLE] = str(folder)
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    named = vault or find_vault(environment)
    if named is not None:
        environment[VAULT_VARIABLE] = str(named.absolute())
    return environment


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
        with tempfile.TemporaryDirectory(prefix="misp-playbook-") as sockets, watch:
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
                kernel_manager_class=_kernel_manager(environment, log, Path(sockets), watch),
                on_cell_executed=reporter.cell_executed,
            )
    except PapermillExecutionError as error:
        return visible(f"{error.ename}: {error.evalue}")
    except RuntimeError as error:
        return f"the kernel died: {error}"
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


def _kernel_manager(environment: Mapping[str, str], log: Path, sockets: Path, watch: Watch) -> type[AsyncKernelManager]:
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
                await super()._async_start_kernel(
                    **{**kwargs, "env": dict(environment), "stdout": output, "stderr": output}
                )
            watch.started(getattr(self.provisioner, "pid", 0))

        start_kernel = _async_start_kernel

    return OwnKernelManager


def _tell_of_crash(
    parameters: PlaybookParameters, state: RunState, environment: Mapping[str, str], became: Became
) -> None:
    """Tell the configured services that the run broke off, and what became of the list."""
    try:
        settings = load_settings(environ=environment)
    except SettingsError as error:
        title = "Tell the configured services"
        state.steps["EN:2"] = StepRecord("EN:2", title, StepStatus.INCOMPLETE, problems=[str(error)])
        return
    from misp_playbook_lib.steps.deliver import tell_of_crash  # noqa: PLC0415 - few runs break off

    tell_of_crash(parameters, settings, state, became)


def _archive(
    folder: archive.RunFolder,
    notebook: Path,
    parameters: PlaybookParameters,
    state: RunState,
    started: datetime,
) -> RunResult:
    """Write manifest, summary and report from the state alone, and put the folder into the archive."""
    from misp_playbook_lib.report import facts, filing, runs  # noqa: PLC0415 - loaded while the kernel ran

    outcome = state.outcome
    warninglist = state.facts.get("warninglist", {}).get("name", _named(parameters))
    message = _message(folder, state, warninglist)
    problems = state.problems or ((state.crash,) if state.crash else ())
    finished = datetime.now(UTC)
    server = state.facts.get("server", {})
    manifest = {
        "schema": runs.SCHEMA,
        "run_id": folder.run_id,
        "playbook": notebook.stem,
        "warninglist": warninglist,
        "outcome": outcome.value,
        "exit_code": outcome.exit_code,
        "message": message,
        "sandbox": bool(server.get("sandbox")),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 1),
        "parameters": parameters.model_dump(),
        "facts": state.facts,
        "steps": [_step(step) for step in state.steps.values()],
        "problems": list(problems),
        "version": metadata.version("misp-playbook"),
    }
    if not (folder.path / archive.SUMMARY).exists():
        mark = label(facts.tlp(manifest["parameters"], state.facts))
        folder.write(archive.SUMMARY, f"**{mark}**\n\n## {notebook.stem}\n\n{message}\n")
    (folder.path / STATE_FILE).unlink(missing_ok=True)
    done, redacted = filing.file_run(folder, manifest, notebook.parent)
    if redacted:
        problems = (*problems, f"{redacted} places held a secret and were redacted")
    return RunResult(folder.run_id, outcome, message, done, tuple(problems))


def _named(parameters: PlaybookParameters) -> str:
    return parameters.warninglist_name or f"ID {parameters.warninglist_id}"


def _message(folder: archive.RunFolder, state: RunState, warninglist: str) -> str:
    """Say in a line what was done or went wrong; of a run that broke off, what became of the list."""
    outcome = state.outcome
    if outcome is Outcome.CRASHED:
        crash = state.crash or "the playbook did not come to its end"
        return f"{crash.rstrip('.')}. {what_became(folder.path, warninglist).line}"
    if outcome is Outcome.FAILED:
        return state.error
    done = next((step.summary for code, step in state.steps.items() if code == "IN:5"), "")
    return f"{done} {len(state.problems)} failed or incomplete." if outcome is Outcome.PARTIAL else done


def _step(step: StepRecord) -> dict[str, Any]:
    return {
        "step": step.code,
        "title": step.title,
        "status": step.status.value,
        "summary": step.summary,
        "problems": step.problems,
        "seconds": step.seconds,
    }
