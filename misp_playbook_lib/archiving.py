"""Archives what came of a run, however it ended: manifest, summary and report, from the state that it left."""

import json
import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import ParameterError, PlaybookError, SettingsError
from misp_playbook_lib.model.tlp import label
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report import archive, facts, filing, history, runs, undo
from misp_playbook_lib.report.owned import remove_left_temporary
from misp_playbook_lib.report.written import what_became
from misp_playbook_lib.settings import (
    RUN_DIR_VARIABLE,
    VAULT_VARIABLE,
    find_vault,
    load_settings,
    without_services,
)
from misp_playbook_lib.state import Outcome, RunState, StepRecord, StepStatus
from misp_playbook_lib.untrusted import redact

DIED = "the process that ran it died"
_UNDO = (undo.DIFF, undo.BEFORE, undo.WANTED, undo.AFTER, undo.HEADER)


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended and where its artefacts are; `archived` is False where that is not in the archive."""

    run_id: str
    outcome: Outcome
    exit_code: int
    message: str
    folder: Path
    problems: tuple[str, ...]
    archived: bool = True


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run was begun with, kept in its folder: another process can archive the run with it."""

    notebook: Path
    texts: Mapping[str, str | list[str]]
    vault: Path | None
    hermetic: bool
    started: datetime
    run_timeout: float

    def keep(self, folder: archive.RunFolder) -> None:
        """Write it.

        Raises:
            SettingsError: it cannot be written.

        """
        data = {
            "notebook": str(self.notebook.absolute()),
            "texts": dict(self.texts),
            "vault": str(self.vault.absolute()) if self.vault else None,
            "hermetic": self.hermetic,
            "started": self.started.isoformat(timespec="seconds"),
            "run_timeout": self.run_timeout,
        }
        try:
            folder.write_json(archive.BEGUN, data)
        except OSError as error:
            folder.release()
            raise SettingsError(f"The archive cannot be written ({folder.path}): {error.strerror}.") from None

    @classmethod
    def read(cls, folder: Path) -> "Begun | None":
        """Read it, None if the run was not begun.

        Raises:
            ParameterError: it cannot be read.

        """
        try:
            data = json.loads((folder / archive.BEGUN).read_text(encoding="utf-8"))
            return cls(
                notebook=Path(data["notebook"]),
                texts=dict(data["texts"]),
                vault=Path(data["vault"]) if data["vault"] else None,
                hermetic=data["hermetic"],
                started=datetime.fromisoformat(data["started"]),
                run_timeout=float(data["run_timeout"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ParameterError([f"{archive.BEGUN} cannot be read: {error}"]) from None

    def environment(self, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the run's kernel."""
        environment = without_services(environ) if self.hermetic else dict(environ)
        environment[RUN_DIR_VARIABLE] = str(folder)
        environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        named = self.vault or find_vault(environment)
        if named is not None:
            environment[VAULT_VARIABLE] = str(named.absolute())
        return environment


def archive_run(folder: archive.RunFolder, begun: Begun, state: RunState, environ: Mapping[str, str]) -> RunResult:
    """Write manifest, summary and report from the state alone, and put the folder into the archive.

    Where that fails, record and undo are kept in the user's state folder, and the result says so.
    """
    return _file(folder, begun, _manifest(folder, begun, state), environ)


def _file(folder: archive.RunFolder, begun: Begun, manifest: dict[str, Any], environ: Mapping[str, str]) -> RunResult:
    try:
        load_settings(environ=begun.environment(folder.path, environ))  # its secrets are taken out of every file
    except SettingsError as error:
        if "user" in manifest["facts"].get("server", {}) and not manifest["sandbox"]:  # the run itself could read them
            filing.note_problem(manifest, f"The files were not searched for secrets: {error}")
    try:
        if not (folder.path / archive.SUMMARY).exists():
            mark = label(facts.tlp(manifest["parameters"], manifest["facts"]))
            folder.write(archive.SUMMARY, f"**{mark}**\n\n## {manifest['playbook']}\n\n{manifest['message']}\n")
        done, redacted = filing.file_run(folder, manifest, begun.notebook.parent)
    except OSError as error:
        return _kept_elsewhere(folder, manifest, error)
    more = [f"{redacted} places held a secret and were redacted"] if redacted else []
    return _result(manifest, done, *more)


def archive_dead(folder: archive.RunFolder, environ: Mapping[str, str] = os.environ) -> RunResult | None:
    """Archive a run that its own process did not archive; None: the run had not begun, and its folder is removed.

    Raises:
        ParameterError: what it was begun with cannot be read; the folder stays as it is.

    """
    begun = Begun.read(folder.path)
    if begun is None:
        if (folder.path / undo.HEADER).exists():
            raise ParameterError([f"there is no {archive.BEGUN}"])
        folder.discard()
        return None
    _drop_half_a_notebook(folder.path / archive.NOTEBOOK)
    kept = archive.unarchived_folder(folder.run_id)
    if not (kept / archive.MANIFEST).is_file():
        state = RunState.load(folder.path) or RunState(folder.run_id)
        state.signal = signal.SIGKILL
        return archive_run(folder, begun, state, environ)
    result = _file(folder, begun, history.read_manifest(kept), environ)
    if result.archived:
        shutil.rmtree(kept)
    return result


def archive_left_behind(place: Path, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Archive the runs that died in the archive at `place`, and return a line for each.

    Temporary folders of such processes are removed.
    """
    lines = []
    for folder in archive.left_behind(place):
        try:
            result = archive_dead(folder, environ)
        except (PlaybookError, OSError) as error:
            folder.release()
            lines.append(f"The run {folder.run_id} ended badly and cannot be archived ({error}): {folder.path}")
        else:
            if result is not None:
                lines.append(f"The run {result.run_id} had not been archived: {result.message} See {result.folder}")
    remove_left_temporary()
    if lines:
        filing.write_index(place)
    return tuple(lines)


def _drop_half_a_notebook(path: Path) -> None:
    """Remove a notebook that was not written completely."""
    with suppress(FileNotFoundError):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            path.unlink()


def _manifest(folder: archive.RunFolder, begun: Begun, state: RunState) -> dict[str, Any]:
    """Return run.json but for `since`."""
    parameters = PlaybookParameters.from_text(begun.texts)
    warninglist = state.facts.get("warninglist", {}).get("name", list_name(parameters))
    message = _message(folder, state, warninglist)
    broken = state.outcome in (Outcome.CRASHED, Outcome.INTERRUPTED)
    finished = datetime.now(UTC)
    return {
        "schema": runs.SCHEMA,
        "run_id": folder.run_id,
        "playbook": begun.notebook.stem,
        "warninglist": warninglist,
        "outcome": state.outcome.value,
        "exit_code": state.exit_code,
        "message": message,
        "sandbox": bool(state.facts.get("server", {}).get("sandbox")),
        "started": begun.started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - begun.started).total_seconds(), 1),
        "run_timeout": archive.run_timeout(folder.path, begun.run_timeout),
        "parameters": parameters.model_dump(),
        "facts": state.facts,
        "steps": [_step(step) for step in state.steps.values()],
        "problems": list(state.problems or ([message] if broken else [])),
        "version": metadata.version("misp-playbook"),
    }


def list_name(parameters: PlaybookParameters) -> str:
    """Return what the list of a run is called before MISP was asked."""
    return parameters.warninglist_name or f"ID {parameters.warninglist_id}"


def _message(folder: archive.RunFolder, state: RunState, warninglist: str) -> str:
    """Say in a line what was done or went wrong; of an interrupted run, whether the list was written."""
    outcome = state.outcome
    if outcome is Outcome.INTERRUPTED:
        died = state.signal == signal.SIGKILL
        how = DIED if died else f"interrupted by {signal.Signals(state.signal).name}"
        where = next((step for step in reversed(state.steps.values()) if step.status is StepStatus.FAILED), None)
        during = f" in {where.code} {where.title}" if where else ""
        return f"{how}{during}. {what_became(folder.path, warninglist).line}"
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


def _result(manifest: Mapping[str, Any], folder: Path, *more: str, archived: bool = True) -> RunResult:
    return RunResult(
        run_id=manifest["run_id"],
        outcome=Outcome(manifest["outcome"]),
        exit_code=manifest["exit_code"],
        message=manifest["message"],
        folder=folder,
        problems=(*manifest["problems"], *more),
        archived=archived,
    )


def _kept_elsewhere(folder: archive.RunFolder, manifest: dict[str, Any], error: OSError) -> RunResult:
    """Keep record and undo of a run in the user's state folder that could not be put into the archive."""
    problem = f"The run could not be archived ({error.strerror or error}): "
    kept = archive.unarchived_folder(folder.run_id)
    left = [folder.path / name for name in _UNDO if (folder.path / name).is_file()]
    undoing = f"its record and what undoes it (misp-playbook restore {folder.run_id})" if left else "its record"
    where = f"make room; {undoing} is in {kept}"
    try:
        archive.private_folder(kept)
        for path in left:
            archive.write_whole(kept / path.name, path.read_bytes())
        text = json.dumps({**manifest, "since": None}, ensure_ascii=False, indent=2)
        archive.write_whole(kept / archive.MANIFEST, redact(text).encode("utf-8", "replace"))
    except OSError as second:
        where = f"nor could it be kept in {kept} ({second.strerror or second}): see {folder.path}"
        kept = folder.path
    folder.release()
    filing.note_problem(manifest, problem + where)
    return _result(manifest, kept, archived=False)
