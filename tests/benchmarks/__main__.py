"""`make bench`: run every benchmark, or those named, and write results.md beside this file."""

import importlib
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.md"


def main(names: Sequence[str]) -> None:
    """Measure and write; what is not named keeps its section."""
    found = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    sections = read_sections() if names else {}
    for name in names or found:
        module = importlib.import_module(f"tests.benchmarks.bench_{name}")
        print(f"{name} …", flush=True)  # noqa: T201 - a command's progress
        sections[name] = section(name, module.__doc__ or "", module.run())
    header = f"# Figures\n\n{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores.\n"
    RESULTS.write_text("\n".join([header, *(sections[name] for name in sorted(sections))]), encoding="utf-8")


def read_sections() -> dict[str, str]:
    """Return the sections of the last results by name."""
    if not RESULTS.exists():
        return {}
    parts = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.split("\n", 1)[0]: f"## {part.rstrip()}\n" for part in parts}


def section(name: str, about: str, rows: Sequence[Sequence[object]]) -> str:
    """Write one benchmark's rows: what, ours, peer, ratio."""
    lines = [
        f"## {name}\n",
        about.strip().splitlines()[0] + "\n",
        "| what | ours | peer | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {' | '.join(map(cell, (*row, *[None] * (4 - len(row)))))} |" for row in rows]
    return "\n".join(lines) + "\n"


def cell(value: object) -> str:
    """Write a figure with three significant digits."""
    if value is None:
        return ""
    if isinstance(value, float | int):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    main(sys.argv[1:])
