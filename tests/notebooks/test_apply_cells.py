"""Cells again: the playbook's steps run twice, after somebody else's edit, and after a kernel restart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from misp_playbook_lib import Playbook, PlaybookParameters
from misp_playbook_lib.errors import ChangedMeanwhile
from misp_playbook_lib.model.plan import WarninglistPlan
from misp_playbook_lib.model.results import ApplyOutcome
from misp_playbook_lib.report import display, undo, views
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.state import Outcome
from misp_playbook_lib.steps.restore import restore_run


class Notebook:
    """An open notebook: its kernel, and the cells IN:2 to IN:5."""

    def __init__(self, **parameters: Any) -> None:
        self.run = Playbook.open(PlaybookParameters(warninglist_name="Mine", enrich_with=[], **parameters))

    def in4(self) -> WarninglistPlan:
        selection = self.run.select_warninglist(self.run.warninglists())
        details = self.run.details(selection)
        return self.run.plan(selection, details, self.run.read_values(selection, details))


@pytest.fixture(autouse=True)
def _vault(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISP_PLAYBOOK_VAULT", str(vault))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The run folder of a run without hands."""
    folder = tmp_path / "reports" / ".incomplete" / "run-1"
    folder.mkdir(parents=True)
    monkeypatch.setenv("MISP_PLAYBOOK_RUN_DIR", str(folder))
    return folder


def held(sandbox: Sandbox) -> list[str]:
    found = sandbox.misp.warninglist("Mine")
    assert found is not None
    return [value for value, _ in found["entries"]]


def edit_by_hand(sandbox: Sandbox, *values: str) -> None:
    found = sandbox.misp.warninglist("Mine")
    assert found is not None
    Notebook().run.misp.edit_warninglist(found["id"], {"entries": list(values)})


def edits(sandbox: Sandbox) -> int:
    return sum(
        request.path.startswith(("/warninglists/add", "/warninglists/edit")) for request in sandbox.misp.requests
    )


@pytest.mark.parametrize("action", ["append", "replace"])
def test_in4_and_in5_twice_write_once_and_double_nothing(sandbox: Sandbox, action: str) -> None:
    notebook = Notebook(warninglist_values=["a", "b"], warninglist_values_action=action)
    planned = notebook.in4()
    notebook.run.apply(planned)
    assert notebook.run.apply(planned).outcome is ApplyOutcome.UNCHANGED
    again = notebook.in4()
    assert not again.changes
    assert notebook.run.apply(again).outcome is ApplyOutcome.UNCHANGED
    assert held(sandbox) == ["a", "b"]
    assert edits(sandbox) == 1


def test_in5_after_somebody_elses_edit_appends_again_and_loses_nothing(sandbox: Sandbox) -> None:
    notebook = Notebook(warninglist_values=["a", "b"])
    planned = notebook.in4()
    notebook.run.apply(planned)
    edit_by_hand(sandbox, "theirs", "b")
    assert notebook.run.apply(planned).outcome is ApplyOutcome.UPDATED
    assert held(sandbox) == ["theirs", "b", "a"]


def test_in5_after_somebody_elses_edit_does_not_replace_it(sandbox: Sandbox) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("x", "")])
    notebook = Notebook(warninglist_values=["a"], warninglist_values_action="replace")
    planned = notebook.in4()
    notebook.run.apply(planned)
    edit_by_hand(sandbox, "a", "theirs")
    with pytest.raises(ChangedMeanwhile, match="theirs"):
        notebook.run.apply(planned)
    assert held(sandbox) == ["a", "theirs"]
    notebook.run.apply(notebook.in4())
    assert held(sandbox) == ["a"]


@pytest.mark.parametrize("cells", ["IN:4", "IN:5"])
def test_a_kernel_restart_between_the_cells_doubles_and_loses_nothing(sandbox: Sandbox, cells: str) -> None:
    first = Notebook(warninglist_values=["a", "b"])
    planned = first.in4()
    if cells == "IN:5":
        first.run.apply(planned)
    second = Notebook(warninglist_values=["a", "b"])
    second.run.apply(second.in4())
    assert held(sandbox) == ["a", "b"]
    assert edits(sandbox) == 1


def test_remove_says_what_was_not_there(sandbox: Sandbox) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("a", ""), ("b", "")])
    notebook = Notebook(warninglist_values=["b # any comment", "x"], warninglist_values_action="remove")
    planned = notebook.in4()
    notebook.run.apply(planned)
    assert held(sandbox) == ["a"]
    assert "Not in the list, and so not removed: x." in views.plan_line(planned)


def test_a_plan_shows_as_a_table_and_as_a_diff(sandbox: Sandbox) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("a", "old"), ("b", "")])
    planned = Notebook(warninglist_values=["a # new", "c"], warninglist_values_action="replace").in4()
    shown = display.text_of(views.plan_review(planned))
    assert "Entries that change" in shown
    lines = [line.strip("| ") for line in shown.partition("The same as a diff")[2].splitlines() if line[:1] == "|"]
    assert lines == ["Line", "- b", "- a # old", "+ a # new", "+ c"]


def test_a_long_plan_shows_counts_and_is_kept_in_full(sandbox: Sandbox, folder: Path) -> None:
    notebook = Notebook(warninglist_values=[f"{number}.example" for number in range(1000)])
    planned = notebook.in4()
    shown = display.text_of(views.plan_review(planned))
    assert "1,000 entries added" in shown
    assert "The first 200 of 1,004 rows." in shown
    assert undo.DIFF in notebook.run.state.steps["IN:4"].summary
    assert len([line for line in (folder / undo.DIFF).read_text().splitlines() if line.endswith(".example")]) == 1000
    assert sandbox.misp.warninglist("Mine") is None


def test_what_undoes_a_run_is_on_disk_before_misp_is_asked(sandbox: Sandbox, folder: Path) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("a", "x")])
    kept: list[str] = []
    original = sandbox.misp.handle

    def handle(request: Any) -> Any:
        if "/edit/" in request.path:
            kept.extend([(folder / undo.BEFORE).read_text(), (folder / undo.WANTED).read_text()])
        return original(request)

    sandbox.misp.handle = handle  # type: ignore[method-assign]  # a hook into a server of the test's own
    notebook = Notebook(warninglist_values=["b"])
    notebook.run.apply(notebook.in4())
    before, wanted = map(json.loads, kept)
    assert before["entries"] == [{"value": "a", "comment": "x"}]
    assert [entry["value"] for entry in wanted["entries"]] == ["a", "b"]


def test_an_interactive_run_can_be_undone_too(sandbox: Sandbox, tmp_path: Path) -> None:
    notebook = Notebook(warninglist_values=["a"])
    notebook.run.enable(notebook.run.apply(notebook.in4()))
    shown = display.text_of(notebook.run.finish().blocks)
    assert f"misp-playbook restore {notebook.run.state.run_id}" in shown
    restore_run(tmp_path, notebook.run.state.run_id, None, force=False, dry_run=False, tell=lambda _: None)
    assert sandbox.misp.warninglist("Mine") is None


def test_en4_appends_again_what_was_overwritten_and_says_so(sandbox: Sandbox, folder: Path) -> None:
    (folder / "summary.md").write_text("## Summary\n")
    notebook = Notebook(warninglist_values=["a", "b"])
    notebook.run.apply(notebook.in4())
    edit_by_hand(sandbox, "theirs")
    shown = display.text_of(notebook.run.finish().blocks)
    words = "2 entries had been overwritten by somebody else and were appended again."
    assert held(sandbox) == ["theirs", "a", "b"]
    assert words in shown
    assert words in notebook.run.state.steps["EN:4"].summary
    assert words in (folder / "summary.md").read_text()
    assert notebook.run.state.outcome is Outcome.SUCCESS


def test_en4_that_cannot_look_makes_the_run_partial(sandbox: Sandbox) -> None:
    notebook = Notebook(warninglist_values=["a"])
    notebook.run.apply(notebook.in4())
    sandbox.misp.faults.add("/warninglists/view", "403")
    notebook.run.finish()
    assert notebook.run.state.outcome is Outcome.PARTIAL
    assert "was not seen to stand at the end" in notebook.run.state.problems[0]
