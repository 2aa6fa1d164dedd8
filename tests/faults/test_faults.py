"""A tenth of what `make faults` tries, chosen by a fixed seed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from all_cells import known, recorded, some_cells, tried
from judging import place
from stage import SCENARIOS
from warm import Warm

CELLS = some_cells()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with Warm(tmp_path_factory.mktemp("warm")) as warm:
        yield warm


@pytest.mark.parametrize("run", SCENARIOS)
def test_a_run_makes_the_calls_that_the_cells_are_made_of(run: str, tmp_path: Path, warm: Warm) -> None:
    calls = recorded(run, tmp_path, warm)
    assert calls == known()[run], "make faults records them anew"
    assert all(place(run, call) for call in calls)


@pytest.mark.parametrize("part", CELLS)
def test_whatever_goes_wrong_ends_as_expected(part: str, tmp_path: Path, warm: Warm) -> None:
    wrong = {str(cell): found for cell, found in tried(CELLS[part], tmp_path, warm) if found}
    assert not wrong
