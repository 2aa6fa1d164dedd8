"""Progress is for those who watch."""

import io
import sys
import threading

import pytest

from misp_playbook_lib.report.progress import shown_count, shown_progress, shown_waiting
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


class Terminal(io.StringIO):
    """Says when something was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = threading.Event()

    def write(self, text: str) -> int:
        if "IN:5" in text:
            self.shown.set()
        return super().write(text)


def test_what_cannot_be_counted_shows_for_how_long_it_runs_and_nothing_after_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown_waiting("IN:5", quiet=False, after=0.0):
        assert terminal.shown.wait(60)
    assert "IN:5: 00:0" in terminal.getvalue()
    assert not [one for one in threading.enumerate() if one.name.endswith("(show)")]


def test_what_is_quick_or_unwatched_shows_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_waiting("IN:5", quiet=False, after=3600.0):
        pass
    with shown_waiting("IN:5", quiet=True, after=0.0):
        pass
    with shown_count("Retro-search", quiet=True) as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")


def test_an_error_goes_on_and_ends_the_bar() -> None:
    with pytest.raises(KeyboardInterrupt), shown_waiting("IN:5", quiet=False, after=3600.0):
        raise KeyboardInterrupt
    assert not [one for one in threading.enumerate() if one.name.endswith("(show)")]
