"""What became of a write, by what its record holds at each moment."""

from dataclasses import replace
from pathlib import Path

import pytest

from misp_playbook_lib.errors import WarninglistError
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistCategory, WarninglistEntry, WarninglistType
from misp_playbook_lib.report import undo
from misp_playbook_lib.report.written import Fate, telling, what_became

SERVER = "https://misp.example"
BEFORE = Warninglist(
    id=7,
    name="Mine",
    description="",
    type=WarninglistType.STRING,
    category=WarninglistCategory.KNOWN,
    matching_attributes=("domain",),
    version=1,
    enabled=False,
    default=False,
    entries=(WarninglistEntry("a"),),
)
WANTED = replace(BEFORE, version=2, entries=(WarninglistEntry("a"), WarninglistEntry("b")))
ENABLED = replace(WANTED, enabled=True)


@pytest.fixture
def record(tmp_path: Path) -> undo.UndoRecord:
    return undo.UndoRecord(tmp_path / "run-1", SERVER)


def became(record: undo.UndoRecord) -> tuple[Fate, str]:
    found = what_became(record.folder, "Mine")
    assert [fate for fate in Fate if fate in found.line] == [found.fate]
    return found.fate, found.line


def test_a_run_that_sent_nothing_wrote_nothing(record: undo.UndoRecord) -> None:
    assert became(record) == (Fate.NOT_WRITTEN, "The list Mine: not written.")


def test_a_write_that_was_not_read_back_says_where_to_look_and_what_to_do(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    fate, line = became(record)
    assert fate is Fate.NOT_SEEN
    assert line == (
        "The list Mine (ID 7): sent, not seen. Look in MISP whether it is as wanted (2 entries, not enabled), "
        f"or run again: nothing is written twice. {SERVER}/warninglists/view/7"
    )


def test_a_list_that_was_about_to_be_created_has_no_page_to_look_at(record: undo.UndoRecord) -> None:
    record.sending(None, replace(WANTED, id=0))
    fate, line = became(record)
    assert fate is Fate.NOT_SEEN
    assert line.startswith("The list Mine: sent, not seen. Look in MISP")
    assert SERVER not in line


def test_a_write_that_was_read_back_is_seen(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    record.written(WANTED)
    assert became(record) == (Fate.SEEN, "The list Mine (ID 7): written and seen (2 entries, not enabled).")
    assert what_became(record.folder, "").url == f"{SERVER}/warninglists/view/7"


def test_a_write_that_was_not_carried_out_wrote_nothing(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    record.not_written()
    assert became(record)[0] is Fate.NOT_WRITTEN


def test_a_toggle_that_was_not_seen_says_that_the_write_before_it_was(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    record.written(WANTED)
    record.sending(WANTED, ENABLED)
    fate, line = became(record)
    assert fate is Fate.NOT_SEEN
    assert "What the run sent before was read back." in line
    assert "as wanted (2 entries, enabled)" in line


def test_after_a_toggle_that_was_not_carried_out_the_list_is_as_seen_before_it(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    record.written(WANTED)
    record.sending(WANTED, ENABLED)
    record.not_written()
    assert became(record) == (Fate.SEEN, "The list Mine (ID 7): written and seen (2 entries, not enabled).")
    assert undo.load(record.folder).left == (BEFORE, WANTED)


def test_a_refusal_makes_nothing_of_an_earlier_request_that_may_have_been_carried_out(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    record.sending(BEFORE, ENABLED)
    record.not_written()
    assert became(record)[0] is Fate.NOT_SEEN


def test_what_is_found_as_it_was_sent_is_seen(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    record.found(replace(WANTED, version=3))
    assert became(record)[0] is Fate.NOT_SEEN
    record.found(WANTED)
    assert became(record)[0] is Fate.SEEN


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"name": 1}', "\x00"])
def test_a_record_that_cannot_be_read_is_one_of_something_sent(record: undo.UndoRecord, damaged: str) -> None:
    record.sending(BEFORE, WANTED)
    (record.folder / undo.HEADER).write_text(damaged)
    fate, line = became(record)
    assert fate is Fate.NOT_SEEN
    assert "undo.json cannot be read" in line


def test_an_error_says_what_became_of_its_own_write_alone(record: undo.UndoRecord) -> None:
    record.sending(BEFORE, WANTED)
    record.written(WANTED)
    with (
        pytest.raises(WarninglistError, match=r"^It broke\. The list Mine \(ID 7\): written and seen"),
        telling(record, "Mine"),
    ):
        raise WarninglistError("It broke.")
    record.begin()
    with pytest.raises(WarninglistError, match=r"^It broke\. The list Mine: not written\.$"), telling(record, "Mine"):
        raise WarninglistError("It broke")
