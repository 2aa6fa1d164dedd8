"""Batches for tests: notebooks of a few lines that leave a state as the playbook does, and the command as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from misp_playbook_lib.cli import main

BEGIN = """
import os, signal, threading
from pathlib import Path
from misp_playbook_lib.state import RunState
folder = Path(os.environ["MISP_PLAYBOOK_RUN_DIR"])
here = Path({here!r})
state = RunState(folder.name, folder)
def step(code):
    with state.step(code, "A step") as step:
        step.summary = "done"
"""
END = """
state.facts["warninglist"] = {
    "name": warninglist_name, "outcome": "updated", "id": 7, "url": "", "type": "string", "category": "known",
    "matching_attributes": [], "version": 1, "enabled": True, "entries": 3, "added": 1, "removed": 0, "commented": 0,
}
state.finished = True
state.save()
"""
VAULT = """
misp_url = "http://127.0.0.1:9"
misp_key = "a-key-of-a-test-0123456789"
virustotal_apikey = "another-key-of-a-test-0123456789"
misp_modules_url = "http://127.0.0.1:9"
sandbox = True
sandbox_addresses = ["http://127.0.0.1:9"]
"""


@dataclass(frozen=True)
class Batched:
    """What the command left behind."""

    exit_code: int
    output: str
    errors: str
    archive: Path

    @property
    def folders(self) -> list[Path]:
        """The batches, the oldest first."""
        return sorted((self.archive / "batches").glob("*"), key=lambda path: path.stat().st_mtime_ns)

    @property
    def record(self) -> dict[str, Any]:
        """The latest batch.json."""
        loaded: dict[str, Any] = json.loads((self.folders[-1] / "batch.json").read_text())
        return loaded

    @property
    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.record["runs"]]

    @property
    def manifests(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.archive.glob("*/*/run.json"))]


def small_notebook(folder: Path, code: str = "") -> Path:
    """Write a playbook that runs `code` between a beginning and an end; in it, `here` is `folder`."""
    cells = [("warninglist_name = ''", ["parameters"]), (BEGIN.replace("{here!r}", repr(str(folder))), [])]
    cells += [(code or "step('IN:5')", []), (END, [])]
    path = folder / "small.ipynb"
    path.write_text(
        json.dumps(
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "id": f"cell-{number}",
                        "metadata": {"tags": tags},
                        "source": source,
                        "outputs": [],
                        "execution_count": None,
                    }
                    for number, (source, tags) in enumerate(cells)
                ],
                "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )
    return path


def batch_file(folder: Path, playbook: Path | str, runs: Sequence[Mapping[str, object]], **keys: object) -> Path:
    """Write a batch file; JSON is YAML."""
    path = folder / "runs.yaml"
    path.write_text(json.dumps({"playbook": str(playbook), **keys, "runs": list(runs)}, default=str))
    return path


def small_vault(folder: Path) -> Path:
    """Write a vault of a sandbox that nobody asks."""
    path = folder / "small-keys.py"
    path.touch(0o600)
    path.write_text(VAULT)
    return path


def arguments(folder: Path, file: Path, *more: str) -> list[str]:
    return ["batch", str(file), "--archive", str(folder / "reports"), *more]


def batched(folder: Path, file: Path, *more: str) -> Batched:
    """Run `misp-playbook batch` in this process; the runs are in others."""
    result = CliRunner().invoke(main, arguments(folder, file, *more))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Batched(result.exit_code, result.stdout, result.stderr, folder / "reports")


def started(folder: Path, file: Path, *more: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Start `misp-playbook batch` as a process of its own."""
    command = [sys.executable, "-m", "misp_playbook_lib", *arguments(folder, file, *more)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=stderr, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )


def ended(folder: Path, process: "subprocess.Popen[str]") -> Batched:
    """Wait for a started batch."""
    output, errors = process.communicate(timeout=120)
    return Batched(process.returncode, output, errors or "", folder / "reports")
