"""Puts finished runs into the archive and takes old ones out, one at a time, and keeps the index."""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.report import archive, index, runs

LOCK = ".lock"
_REMOVED = ".removed"


def file_run(
    folder: archive.RunFolder, manifest: dict[str, Any], pictures: Path, secrets: Iterable[str]
) -> tuple[Path, int]:
    """Finish a run's folder, move it into place, and return where it is and how many places held a secret.

    Runs that finish at once wait for each other, so that each is in the index and knows the list's run before. What
    kills the process leaves either no run or a whole one; an index that misses it is made good by the next run.

    Args:
        folder: the run's folder, with its notebook and whatever the run left.
        manifest: run.json but for `since`, which is added.
        pictures: the folder of the notebook's pictures.
        secrets: what must not be archived in any form.

    """
    from misp_playbook_lib.report import html  # noqa: PLC0415 - nbconvert is loaded while the kernel runs

    place = folder.path.parent.parent
    hidden = tuple(secrets)
    with FileLock(place / LOCK, mode=0o600):
        known = runs.read(place)
        manifest["since"] = _since(known, runs.summed_up(folder.path, manifest | {"since": None}))
        folder.write(archive.REPORT, html.render(folder.path / archive.NOTEBOOK, manifest, pictures))
        folder.write_json(archive.MANIFEST, manifest)
        redacted = folder.redact(hidden)
        if redacted:
            folder.write_json(archive.MANIFEST, manifest | {"redacted": redacted})
            folder.redact(hidden)
        done = folder.finish()
        index.write(place, runs.read(place))
    return done, redacted


def prune(place: Path, keep: str) -> tuple[runs.Run, ...]:
    """Remove old runs from the archive at `place` and return them; see `runs.outdated` for `keep`.

    A run is taken out of sight at once and deleted then, so that nothing half is ever listed.

    Raises:
        ParameterError: `keep` is neither a number of runs nor of days, or there is no archive.

    """
    if not place.is_dir():
        raise ParameterError([f"There is no archive {place}"])
    with FileLock(place / LOCK, mode=0o600):
        going = runs.outdated(runs.read(place), keep, datetime.now(UTC))
        for run in going:
            aside = archive.private_folder(place / archive.INCOMPLETE) / f"{run.run_id}{_REMOVED}"
            run.folder.rename(aside)
            if not any(run.folder.parent.iterdir()):
                run.folder.parent.rmdir()
        for aside in (place / archive.INCOMPLETE).glob(f"*{_REMOVED}"):
            shutil.rmtree(aside)
        index.write(place, runs.read(place))
    return going


def _since(known: runs.Runs, run: runs.Run) -> dict[str, Any] | None:
    """Count what changed since the list's last comparable run; None where there is none, or its tables are gone."""
    before = known.before(run) if run.comparable else None
    if before is None:
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
