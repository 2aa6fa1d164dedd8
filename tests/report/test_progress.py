"""Progress is for those who watch."""

import pytest

from misp_playbook_lib.report.progress import shown_progress
from misp_playbook_lib.steps.enrich import Progress


def test_a_watched_run_shows_what_is_asked_and_how_long_it_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=False) as show:
        show("VirusTotal", Progress(total=40, done=12, asking="evil.example", seconds_left=2100.0))
    assert "VirusTotal: 12/40" in (shown := capsys.readouterr().err)
    assert "evil.example, about 35 min left" in shown


def test_an_unwatched_run_and_one_with_nothing_to_ask_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=True) as show:
        show("VirusTotal", Progress(total=40, done=12))
    with shown_progress(quiet=False) as show:
        show("VirusTotal", Progress())
    assert capsys.readouterr() == ("", "")
