"""What earlier runs left in the archive: found again by ID, or as the previous run of a list."""

import csv
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.report import runs
from misp_playbook_lib.report.archive import MANIFEST, is_folder_name, write_whole
from misp_playbook_lib.report.exports import MATCHES
from misp_playbook_lib.untrusted import redact

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreviousRun:
    """What a list's previous run found (UUIDs of attributes), whether it had problems, and how its deliveries ended."""

    run_id: str
    attributes: frozenset[str]
    problems: bool
    deliveries: Mapping[str, str]


def previous_run(archive: Path, server: str, list_id: int) -> PreviousRun | None:
    """Return the latest archived run over a list that searched MISP; a dry run is none."""
    for manifest_file in sorted(archive.glob(f"*/*/{MANIFEST}"), key=lambda path: path.parent.name, reverse=True):
        matches = manifest_file.parent / MATCHES
        if not matches.is_file():
            continue
        try:
            manifest = read_manifest(manifest_file.parent)
        except ParameterError as error:
            logger.warning("%s It is skipped.", error)
            continue
        facts = manifest["facts"]
        same = (facts.get("server", {}).get("url"), facts.get("warninglist", {}).get("id")) == (server, list_id)
        if same and not manifest["parameters"].get("dry_run"):
            with matches.open(encoding="utf-8", newline="") as file:
                attributes = frozenset(row["attribute_uuid"] for row in csv.DictReader(file))
            deliveries = {service: one["status"] for service, one in facts.get("deliveries", {}).items()}
            return PreviousRun(manifest["run_id"], attributes, bool(manifest["problems"]), deliveries)
    return None


def find_run(archive: Path, run_id: str) -> Path:
    """Return the folder of an archived run.

    Raises:
        ParameterError: there is none of that ID.

    """
    if is_folder_name(run_id):
        for day in archive.glob("*/"):
            if (day / run_id / MANIFEST).is_file():
                return day / run_id
    raise ParameterError([f"There is no run {run_id} in {archive}"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a run's run.json.

    Raises:
        ParameterError: it cannot be read.

    """
    path = folder / MANIFEST
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        runs.summed_up(folder, loaded)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError([f"{path} cannot be read ({error}): repair it, or remove the run."]) from None
    return loaded


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a run's run.json whole or not at all, readable by its owner alone."""
    write_whole(folder / MANIFEST, redact(json.dumps(manifest, ensure_ascii=False, indent=2)) + "\n")
