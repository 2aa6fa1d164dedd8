"""What stands around the notebook in a report, however far its run came."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import archived
import nbformat
import pytest
from conftest import Ran

from misp_playbook_lib.report import html, runs
from misp_playbook_lib.report.page import FIRST_PROBLEMS

PICTURES = archived.NOTEBOOK.parent
CONTRIBUTING = archived.NOTEBOOK.parent.parent / "CONTRIBUTING.md"
RUN_ID = "20261124T080000Z-abcdef"


def rendered(notebook: Path = archived.NOTEBOOK, **changes: Any) -> str:
    return html.render(notebook, archived.manifest(RUN_ID, **changes) | {"since": None}, PICTURES)


def header(page: str) -> str:
    return page.partition("<header>")[2].partition("</header>")[0]


def test_a_run_without_a_notebook_has_a_report(tmp_path: Path) -> None:
    page = rendered(tmp_path / "none.ipynb", outcome="crashed", message="the kernel died", facts={}, steps=[])
    assert "the kernel died" in header(page)
    assert "not connected" in header(page)
    assert "The record of the run" in page


def test_problems_come_before_figures_the_first_at_once_the_rest_folded() -> None:
    problems = [f"ER:2 Query VirusTotal: problem {number}." for number in range(FIRST_PROBLEMS + 3)]
    top = header(rendered(outcome="partial", problems=problems))
    assert top.index("problem 0.") < top.index("<dl")
    shown, _, folded = top.partition("<details><summary>3 more</summary>")
    assert f"problem {FIRST_PROBLEMS - 1}." in shown
    assert f"problem {FIRST_PROBLEMS}." in folded


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"facts": {"server": archived.SERVER | {"verified": False}}}, "TLS CERTIFICATE NOT VERIFIED"),
        ({"sandbox": True}, "SANDBOX"),
        ({}, "TLP:AMBER"),
        ({}, "analyst@example.org"),
        ({}, "CSIRT"),
        ({"outcome": "partial"}, "Partial."),
    ],
)
def test_the_top_says_where_who_how_and_what_to_beware_of(changes: dict[str, Any], words: str) -> None:
    assert words in header(rendered(**changes))


def test_the_workflow_picture_says_what_became_of_each_step() -> None:
    steps = [
        archived.step("PR:1", "done"),
        archived.step("EN:2 Mattermost", "incomplete"),
        archived.step("EN:2 Slack", "skipped"),
        archived.step("EN:3 TheHive", "skipped"),
    ]
    alternative = re.search(r'alt="(Workflow\..*?)"', header(rendered(steps=steps)))
    assert alternative is not None
    for words in ("PR:1 Vault, MISP: done", "IN:5 Create or update: not reached", "EN:3 TheHive alert: skipped"):
        assert words in alternative[1]
    assert "EN:2 Mattermost, Slack: incomplete" in alternative[1]


def test_a_summarys_headings_go_below_its_steps_and_its_tables_get_captions(tmp_path: Path) -> None:
    summary = "## Summary\n\n### Values\n\n| A |\n| --- |\n| b |\n\n**Rows**\n\n| A |\n| --- |\n| b |\n"
    node = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("execute_result", {"text/markdown": summary}, execution_count=1)
    node.cells = [
        nbformat.v4.new_markdown_cell("# Title\n\n## Closure\n\n### EN:1 Create the summary\n\nText."),
        nbformat.v4.new_code_cell("summary", outputs=[output]),
    ]
    path = tmp_path / "run.ipynb"
    nbformat.write(node, path)
    page = rendered(path)
    assert [int(level) for level in re.findall(r"<h([3-6])", page.partition("<main>")[2])] == [3, 4, 5]
    assert "<caption>Values</caption>" in page
    assert "<caption>Rows</caption>" in page
    assert page.count("<h1>") == 1


def test_what_a_foreign_cell_prints_is_text(tmp_path: Path) -> None:
    node = nbformat.v4.new_notebook()
    outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="\x1b[31m<b>x</b>\x1b[0m http://evil.example/"),
        nbformat.v4.new_output("display_data", {"application/javascript": "alert(1)", "text/plain": "<i>plain</i>"}),
        nbformat.v4.new_output("error", ename="E", evalue="v", traceback=["<u>Traceback</u>"]),
    ]
    node.cells = [nbformat.v4.new_code_cell("<s>code</s>", outputs=outputs)]
    path = tmp_path / "run.ipynb"
    nbformat.write(node, path)
    page = rendered(path)
    for text in ("&lt;b&gt;x&lt;/b&gt; hxxp", "&lt;i&gt;plain", "&lt;u&gt;Traceback", "&lt;s&gt;code"):
        assert text in page
    assert "alert(1)" not in page


def test_an_interrupted_cell_is_shown_without_a_traceback(tmp_path: Path) -> None:
    node = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("error", ename="KeyboardInterrupt", evalue="", traceback=["Traceback (most recent"])
    node.cells = [nbformat.v4.new_code_cell("run.apply(plan)", outputs=[output])]
    path = tmp_path / "run.ipynb"
    nbformat.write(node, path)
    page = rendered(path)
    assert "Interrupted here." in page
    assert "Traceback" not in page


def test_every_field_of_a_runs_run_json_is_documented(play: Callable[..., Ran]) -> None:
    section = CONTRIBUTING.read_text().partition("## run.json")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented == set(play(warninglist_name="Mine", warninglist_values=["a.example"]).manifest) | {"redacted"}
    assert f"`schema` is {runs.SCHEMA}" in section
