"""The demo's run, report included, beside an empty notebook under papermill; what the command costs to start."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "playbooks" / "examples" / "campaign-zn03.yaml"
REPEATS = 5


class Row(NamedTuple):
    """One comparison; `peer` and `ratio` (ours to the peer's) are None where nothing stands beside ours."""

    what: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def run() -> list[Row]:
    """Measure each, the middle of five, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.ipynb"
        empty.write_text(json.dumps(EMPTY))
        command = [sys.executable, "-m", "misp_playbook_lib"]
        demo = seconds(
            *command, "run", "create_custom_misp_warninglist", "-f", str(EXAMPLE), "--sandbox", "--archive", folder
        )
        peer = seconds(sys.executable, "-m", "papermill", str(empty), str(Path(folder) / "out.ipynb"))
    return [
        Row("the demo's run, seconds; peer: an empty notebook under papermill", demo, peer, demo / peer),
        Row("misp-playbook --help, seconds", seconds(*command, "--help")),
        Row("import misp_playbook_lib, seconds", seconds(sys.executable, "-c", "import misp_playbook_lib")),
        Row("python -c pass, seconds", seconds(sys.executable, "-c", "pass")),
    ]


def seconds(*command: str) -> float:
    """Return the middle of several runs' wall times."""
    return median(once(command) for _ in range(REPEATS))


def once(command: tuple[str, ...]) -> float:
    """Run a command that must succeed and return its wall time."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


EMPTY = {
    "cells": [
        {"cell_type": "code", "id": "one", "metadata": {}, "source": ["pass"], "outputs": [], "execution_count": None}
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
