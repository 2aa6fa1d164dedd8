"""`make faults`: try every cell, and write results.md beside this file."""

import json
import os
import platform
import random
import re
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from all_cells import CALLS, SEED, every_cell, recorded, tried  # noqa: E402 - modules of this folder
from stage import SCENARIOS  # noqa: E402
from warm import Warm  # noqa: E402

RESULTS = HERE / "results.md"


def main(pattern: str = "") -> int:
    """Try every cell whose name fits `pattern`, and write the results if that is all of them."""
    begun = time.monotonic()
    wrong: dict[str, list[str]] = {}
    number: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="faults-") as name, Warm(Path(name)) as warm:
        folder = Path(name)
        calls = {run: recorded(run, folder, warm) for run in SCENARIOS}
        CALLS.write_text(json.dumps(calls, indent=1) + "\n", encoding="utf-8")
        cells = [cell for cell in every_cell() if re.search(pattern, str(cell))]
        random.Random(SEED).shuffle(cells)  # noqa: S311 - so that those that wait stand among those that work
        for cell, found in tried(cells, folder, warm):
            number[cell.group] += 1
            passed[cell.group] += not found
            if found:
                wrong[str(cell)] = found
                print(f"{cell}: {'; '.join(found)}", flush=True)  # noqa: T201 - a command's progress
    seconds = time.monotonic() - begun
    print(f"{sum(number.values())} cells tried, {sum(passed.values())} passed, in {seconds:.0f} s")  # noqa: T201
    if not pattern:
        RESULTS.write_text(results(number, passed, wrong, seconds), encoding="utf-8")
    return bool(wrong)


def results(tried: Counter[str], passed: Counter[str], wrong: dict[str, list[str]], seconds: float) -> str:
    """Write what came of it as Markdown."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("misp-playbook", "requests", "pymisp"))
    versions += f", Python {platform.python_version()}"
    lines = [
        "# Cells tried\n",
        f"{datetime.now(UTC):%Y-%m-%d}, {versions}, {os.cpu_count()} cores, {seconds / 60:.0f} minutes.\n",
        "| group | tried | passed |",
        "| --- | ---: | ---: |",
        *(f"| {group} | {tried[group]:,} | {passed[group]:,} |" for group in sorted(tried)),
        f"| all | {sum(tried.values()):,} | {sum(passed.values()):,} |",
    ]
    if wrong:
        lines += ["", "## Wrong", "", *(f"- {name}: {'; '.join(found)}" for name, found in sorted(wrong.items()))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
