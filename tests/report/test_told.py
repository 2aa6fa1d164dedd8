"""Archived runs in a terminal: all of them, one of them, how two differ, and making room."""

from collections.abc import Callable
from pathlib import Path

import archived
import pytest
from click.testing import CliRunner, Result

from misp_playbook_lib.cli import main

Command = Callable[..., Result]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return lambda *words: CliRunner().invoke(main, [*words, "--archive", str(tmp_path / "reports")])


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and one after it that has another entry and another match."""
    archive = tmp_path / "reports"
    before = archived.file(archive, ["a.example", "b.example"], [("a.example", "1"), ("b.example", "2")])
    after = archived.file(archive, ["a.example", "c.example"], [("a.example", "1"), ("c.example", "3")])
    return before, after


def test_runs_lists_every_run_with_its_list_outcome_figures_and_what_changed(
    command: Command, runs: tuple[Path, Path]
) -> None:
    result = command("runs")
    assert result.exit_code == 0, result.output
    rows = {line.split()[1]: line for line in result.output.splitlines() if line.startswith("| 2")}
    assert set(rows) == {run.name for run in runs}
    assert "1 entries added, 1 entries removed, 1 matches new, 1 matches gone" in rows[runs[1].name]
    assert "Mine" in rows[runs[0].name]
    assert "✓ success" in rows[runs[0].name]


def test_show_says_what_came_of_a_run_and_where_its_files_are(
    command: Command, tmp_path: Path, runs: tuple[Path, Path]
) -> None:
    failed = archived.file(tmp_path / "reports", outcome="failed", message="no connection", problems=["PR:1: gone"])
    result = command("show", failed.name)
    assert result.output.startswith("failed: no connection\n! PR:1: gone\n")
    assert str(failed / "report.html") in result.output
    shown = command("show", runs[1].name).output
    assert "https://misp.example.org" in shown
    assert runs[1].name in shown


def test_diff_names_entries_and_matches_defanged(command: Command, runs: tuple[Path, Path]) -> None:
    result = command("diff", runs[0].name, runs[1].name)
    assert result.output.startswith("Entries: 1 added, 1 removed. Matches: 1 new, 1 gone.")
    lines = [line.split("|")[1:3] for line in result.output.splitlines() if line.startswith(("| +", "| -"))]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["+", "c[.]example"],
        ["-", "b[.]example"],
        ["+", "c[.]example"],
        ["-", "b[.]example"],
    ]


def test_diff_says_that_a_search_was_incomplete(command: Command, tmp_path: Path, runs: tuple[Path, Path]) -> None:
    facts = archived.manifest("20261124T080000Z-000000")["facts"] | {"search": {"complete": False}}
    last = archived.file(tmp_path / "reports", facts=facts)
    assert f"The search of {last.name} is incomplete" in command("diff", runs[0].name, last.name).output


@pytest.mark.parametrize("words", [("show", "nowhere"), ("diff", "nowhere", "nowhere"), ("show", "../x")])
def test_a_run_that_is_not_there_is_told_in_a_line(command: Command, words: tuple[str, ...]) -> None:
    result = command(*words)
    assert result.exit_code == 2
    assert "There is no run" in result.output


def test_a_run_that_broke_off_early_cannot_be_compared(command: Command, runs: tuple[Path, Path]) -> None:
    (runs[1] / "matches.csv").unlink()
    result = command("diff", runs[0].name, runs[1].name)
    assert result.exit_code == 2
    assert "cannot be compared: matches.csv" in result.output


def test_prune_says_what_it_removed(command: Command, runs: tuple[Path, Path]) -> None:
    old = archived.dated(runs[0], "20250101T000000Z-aaaaaa")
    result = command("prune", "--keep", "1")
    assert result.output == f"removed {old.name} Mine\n1 runs removed.\n"
    assert old.name not in command("runs").output
    assert command("prune", "--keep", "soon").exit_code == 2
