"""An analyst interrupts the retro-search: what it found until then is kept."""

from pathlib import Path

import pytest

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.model.plan import WarninglistAction, plan
from misp_playbook_lib.model.results import CorrelationResult, Scope
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec
from misp_playbook_lib.settings import load_settings
from misp_playbook_lib.steps.retrosearch import CHUNK_VALUES, retrosearch

ENTRIES = ("158.255.208.168", *(f"{number}.invalid" for number in range(CHUNK_VALUES)), "johnshopkin.net")


def interrupted(vault: Path, *, watched: bool) -> CorrelationResult:
    """Search for what takes two questions, and interrupt after the first answer."""
    spec = WarninglistSpec("Mine", tuple(WarninglistEntry(value) for value in ENTRIES))
    answers = []

    def interrupt(done: int, _total: int) -> None:
        answers.append(done)
        if len(answers) > 1:
            raise KeyboardInterrupt

    misp = MispClient(load_settings(vault))
    planned = plan(spec, None, WarninglistAction.APPEND)
    return retrosearch(misp, planned, Scope(), enabled=True, progress=interrupt, watched=watched)


def test_what_was_found_until_then_is_kept_and_that_it_is_not_all_is_said(vault: Path) -> None:
    result = interrupted(vault, watched=True)
    assert {match.entry for match in result.matches} == {"158.255.208.168"}
    assert "the search was interrupted: what was found until then is kept" in result.incomplete


def test_a_run_that_nobody_watches_ends_with_the_interrupt(vault: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(vault, watched=False)
