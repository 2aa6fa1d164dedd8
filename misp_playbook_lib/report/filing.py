"""Puts finished runs into the archive and takes old ones out, one at a time, and keeps the index."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.report import archive, batches, index, runs, undo

LOCK = ".lock"
_REMOVED = ".removed"


def file_run(folder: archive.RunFolder, manifest: dict[str, Any], pictures: Path) -> tuple[Path, int]:
    """Finish a run's folder, move it into place, and return where it is and how many places held a secret.

    The report is made before it is this run's turn; a run of the same list that was filed meanwhile is the one before
    it, and the report is made again. What kills the process leaves either no run or a whole one.

    Args:
        folder: the run's folder, with its notebook and whatever the run left.
        manifest: run.json but for `since`, which is added, with what goes wrong here.
        pictures: the folder of the notebook's pictures.

    Raises:
        OSError: it cannot be written there; the folder stays where it is.

    """
    place = folder.path.parent.parent
    run = runs.summed_up(folder.path, manifest | {"since": None})
    known = runs.read(place)
    redacted = _complete(folder, manifest, known.before(run), pictures)
    with _turn(place):
        before = runs.read(place, known).before(run)
        if before != known.before(run):
            redacted = max(redacted, _complete(folder, manifest, before, pictures))
        done = folder.finish()
    return done, redacted


def note_problem(manifest: dict[str, Any], problem: str) -> None:
    """Note in run.json what went wrong after the run itself: what was a success is partial."""
    manifest["problems"].append(problem)
    if manifest["outcome"] == "success":
        manifest.update(outcome="partial", exit_code=4)


def write_index(place: Path) -> None:
    """Write the archive's index, with every run and every batch that are in place."""
    with _turn(place):
        _write_index(place)


def prune(place: Path, keep: str) -> tuple[runs.Run, ...]:
    """Remove old runs from the archive at `place` and return them; see `runs.outdated` for `keep`.

    A run is taken out of sight at once and deleted then, so that nothing half is ever listed.

    Raises:
        ParameterError: `keep` is neither a number of runs nor of days, or there is no archive.

    """
    if not place.is_dir():
        raise ParameterError([f"There is no archive {place}"])
    with _turn(place):
        outdated = runs.outdated(runs.read(place), keep, datetime.now(UTC))
        going = tuple(run for run in outdated if not _may_need_undo(run))
        for run in going:
            aside = archive.private_folder(place / archive.INCOMPLETE) / f"{run.run_id}{_REMOVED}"
            run.folder.rename(aside)
            if not any(run.folder.parent.iterdir()):
                run.folder.parent.rmdir()
        for aside in (place / archive.INCOMPLETE).glob(f"*{_REMOVED}"):
            shutil.rmtree(aside)
        _write_index(place)
    return going


def _may_need_undo(run: runs.Run) -> bool:
    """Tell whether a run was interrupted after it sent something: what undoes it is not removed."""
    return run.outcome == "interrupted" and (run.folder / undo.HEADER).exists()


def _turn(place: Path) -> FileLock:
    """Return the lock of an archive, for one at a time to change what is in place."""
    return FileLock(place / LOCK, mode=0o600)


def _write_index(place: Path) -> None:
    index.write(place, runs.read(place), batches.read(place))


def _complete(folder: archive.RunFolder, manifest: dict[str, Any], before: runs.Run | None, pictures: Path) -> int:
    """Write report and manifest of a run whose list's run before is given; return how many places held a secret."""
    from misp_playbook_lib.report import html  # noqa: PLC0415 - nbconvert is loaded while the kernel runs

    manifest["since"] = _since(before, runs.summed_up(folder.path, manifest | {"since": None}))
    try:
        page = html.render(folder.path / archive.NOTEBOOK, manifest, pictures)
    except Exception as error:  # noqa: BLE001 - whatever a renderer breaks on, the run's record must not be lost
        problem = f"The report could not be rendered ({type(error).__name__}: {error}): see {archive.MANIFEST}"
        if problem not in manifest["problems"]:
            note_problem(manifest, problem)
    else:
        folder.write(archive.REPORT, page)
    folder.write_json(archive.MANIFEST, manifest)
    redacted = folder.redact()
    if redacted:
        folder.write_json(archive.MANIFEST, manifest | {"redacted": redacted})
        folder.redact()
    return redacted


def _since(before: runs.Run | None, run: runs.Run) -> dict[str, Any] | None:
    """Count what changed since the list's run before; None where there is none to compare, or its tables are gone."""
    if before is None or not run.comparable:
        return None
    try:
        found = runs.difference(before.folder, run.folder)
    except ParameterError:
        # What somebody took out of an older run must not keep this one out of the archive.
        return None
    return {
        "run_id": before.run_id,
        "entries_added": len(found.entries_added),
        "entries_removed": len(found.entries_removed),
        "matches_new": len(found.matches_new),
        "matches_gone": len(found.matches_gone),
    }
