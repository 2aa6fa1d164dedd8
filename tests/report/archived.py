"""Archived runs made without a kernel: what a run leaves in its folder, and its manifest."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report.archive import RunFolder
from misp_playbook_lib.report.filing import file_run, write_index

NOTEBOOK = Path(__file__).parent.parent.parent / "playbooks" / "create_custom_misp_warninglist.ipynb"
SERVER = {
    "url": "https://misp.example.org",
    "version": "2.5.1",
    "user": "analyst@example.org",
    "organisation": "CSIRT",
    "role": "editor",
    "may_edit_warninglists": True,
    "verified": True,
    "sandbox": False,
}


def manifest(run_id: str, name: str = "Mine", outcome: str = "success", **changes: Any) -> dict[str, Any]:
    """Return a run.json but for `since`."""
    whole = {
        "schema": 1,
        "run_id": run_id,
        "playbook": "create_custom_misp_warninglist",
        "warninglist": name,
        "outcome": outcome,
        "exit_code": {"success": 0, "partial": 4, "failed": 3, "crashed": 1}[outcome],
        "message": f"The warninglist {name} (ID 7) was updated.",
        "sandbox": False,
        "started": f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T{run_id[9:11]}:{run_id[11:13]}:{run_id[13:15]}+00:00",
        "finished": "2026-11-24T08:00:05+00:00",
        "seconds": 5.0,
        "parameters": PlaybookParameters.from_text({"warninglist_name": "Mine"}).model_dump(),
        "facts": {
            "server": SERVER,
            "warninglist": {"name": name, "outcome": "updated", "id": 7, "entries": 2, "added": 1, "removed": 0},
            "matches": {"attributes": 1, "events": 1},
            "lookups": {"virustotal_public": {"asked": 2, "new_indicators": 3, "statuses": {}}},
        },
        "steps": [step("PR:1", "done"), step("IN:5", "done")],
        "problems": [],
        "version": "0.1.0",
    }
    return whole | changes


def step(code: str, status: str, summary: str = "", problems: Sequence[str] = ()) -> dict[str, Any]:
    """Return a step as run.json has it."""
    return {
        "step": code,
        "title": "A step",
        "status": status,
        "summary": summary,
        "problems": list(problems),
        "seconds": 0.1,
    }


def leave(folder: Path, entries: Sequence[str], matches: Sequence[tuple[str, str]] = ()) -> None:
    """Leave in a folder the list and the matches of a run: entry and event ID."""
    (folder / "warninglist.json").write_text(json.dumps({"list": sorted(entries)}))
    columns = ["entry", "attribute_uuid", "type", "value", "event_id", "event_info"]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([columns, *((entry, "u", "domain", entry, event, "info") for entry, event in matches)])
    (folder / "matches.csv").write_text(text.getvalue(), newline="")


def file(
    archive: Path,
    entries: Sequence[str] = ("a.example", "b.example"),
    matches: Sequence[tuple[str, str]] = (("a.example", "1"),),
    **changes: Any,
) -> Path:
    """Put a run into the archive, as the command does."""
    folder = RunFolder(archive)
    leave(folder.path, entries, matches)
    done, _ = file_run(folder, manifest(folder.run_id, **changes), NOTEBOOK.parent)
    write_index(archive)
    return done


def read(folder: Path) -> dict[str, Any]:
    """Return a run's manifest."""
    loaded: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return loaded


def dated(folder: Path, run_id: str) -> Path:
    """Let an archived run have another ID, and the time that is in it."""
    changed = read(folder)
    changed |= {"run_id": run_id, "started": manifest(run_id)["started"]}
    (folder / "run.json").write_text(json.dumps(changed))
    return folder.rename(folder.parent / run_id)
