"""What every notebook in playbooks/ keeps to, so that a reader finds a story and no program."""

import ast
import json
import re
import statistics
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import PLAYBOOK, ROOT

NOTEBOOKS = sorted((ROOT / "playbooks").glob("*.ipynb"))
CODES = [
    *("PR:1", "PR:2", "PR:3", "IN:1", "IN:2", "IN:3", "IN:4", "IN:5", "IN:6", "IN:7"),
    *("ER:1", "ER:2", "ER:3", "EN:1", "EN:2", "EN:3", "EN:4"),
]

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def sources(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path, kind)]


def is_parameters(cell: dict[str, Any]) -> bool:
    return "parameters" in cell["metadata"].get("tags", [])


@notebooks
def test_no_outputs_are_kept(path: Path) -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path, "code"))


@notebooks
def test_the_introduction_has_uuid_purpose_tags_and_audience(path: Path) -> None:
    introduction = sources(path, "markdown")[0]
    assert uuid.UUID(re.search(r"UUID: \*\*([0-9a-f-]{36})\*\*", introduction)[1])  # type: ignore[index]
    assert json.loads(re.search(r"Tags: (\[.*\])", introduction)[1])  # type: ignore[index]
    assert "Purpose: " in introduction
    assert "Target audience: " in introduction


def test_the_playbook_keeps_its_uuid() -> None:
    assert "1c946ff3-0798-4c59-a19e-fc0b622e75e3" in sources(PLAYBOOK, "markdown")[0]


@notebooks
def test_one_h1_and_every_step_is_a_heading_with_a_single_digit_code(path: Path) -> None:
    headings = [line for text in sources(path, "markdown") for line in text.splitlines() if re.match("#+ ", line)]
    assert sum(line.startswith("# ") for line in headings) == 1
    steps = [line for line in headings if re.match(r"#+ [A-Z]{2}:\d", line)]
    assert all(re.match(r"### (PR|IN|ER|EN):\d ", line) for line in steps)


def test_the_steps_are_the_originals_in_their_order() -> None:
    found = re.findall(r"^### ([A-Z]{2}:\d) ", "\n".join(sources(PLAYBOOK, "markdown")), re.MULTILINE)
    assert found == CODES


@notebooks
def test_each_step_says_what_it_does_and_what_it_changes(path: Path) -> None:
    for text in sources(path, "markdown"):
        if re.match(r"(## .*\n\n)?### [A-Z]{2}:[1-6]", text) and not re.search(r"### (IN:7|EN:4)", text):
            assert "*Does*" in text or "*Changes*" in text


@notebooks
def test_code_cells_are_short_and_hold_no_logic(path: Path) -> None:
    lengths = []
    for cell in cells(path, "code"):
        source = "".join(cell["source"])
        if is_parameters(cell):
            continue
        lengths.append(len(source.splitlines()))
        tree = ast.parse(source)
        logic = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.With, ast.Lambda, ast.If)
        assert not [node for node in ast.walk(tree) if isinstance(node, logic)]
        assert "print(" not in source
        assert "\\033" not in source
        assert "import *" not in source
        assert "requests" not in source
    assert max(lengths) <= 12
    assert statistics.median(lengths) <= 4


@notebooks
def test_the_cell_after_the_parameters_collects_them(path: Path) -> None:
    code = cells(path, "code")
    assert is_parameters(code[0])
    assert sum(map(is_parameters, code)) == 1
    assert "PlaybookParameters.collect(globals())" in "".join(code[1]["source"])
