import pytest
from hypothesis import given
from hypothesis import strategies as st

from misp_playbook_lib.model.corrections import Correction, correct, normalise_entry
from misp_playbook_lib.model.indicators import RECOGNITION_RULES, classify
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType

STRING = WarninglistType.STRING
VALUES = st.one_of(
    st.sampled_from([value for _, _, value in RECOGNITION_RULES]).flatmap(
        lambda value: st.sampled_from(
            [value, value.upper(), f" {value} ", f'"{value}"', value.replace(".", "[.]"), f"({value})", f"{value}."],
        ),
    ),
    st.text(max_size=20),
    st.text("ab.:/@[]()|\\ 1xdot", max_size=16),
)


@given(VALUES, st.sampled_from(WarninglistType))
def test_a_corrected_entry_is_the_indicator_that_it_was_and_is_correct(value: str, list_type: WarninglistType) -> None:
    entry, _ = normalise_entry(WarninglistEntry(value), list_type)
    if list_type is not WarninglistType.REGEX:
        assert classify(entry.value) == classify(value)
    assert normalise_entry(entry, list_type) == (entry, None)


@given(VALUES, st.sampled_from(WarninglistType))
def test_whatever_changes_is_told(value: str, list_type: WarninglistType) -> None:
    entry, correction = normalise_entry(WarninglistEntry(value, "why"), list_type)
    assert entry.comment == "why"
    assert (correction is None) == (entry.value == value)
    if correction is not None:
        assert (correction.before, correction.after) == (value, entry.value)


@pytest.mark.parametrize(
    ("value", "after", "reason"),
    [
        (" Evil[.]COM ", "evil.com", "trimmed, refanged, in lower case, as MISP stores it"),
        ("D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e", "in lower case, as MISP stores it"),
        ("A.exe|D41D8CD98F00B204E9800998ECF8427E", "A.exe|d41d8cd98f00b204e9800998ecf8427e", "in lower case"),
        ("hxxps://Evil[.]com/A", "https://Evil.com/A", "refanged"),
        ('"evil.com"', "evil.com", "trimmed"),
        ("  Some Agent/1.0 ", "Some Agent/1.0", "trimmed"),
    ],
)
def test_a_correction_says_from_what_to_what_and_why(value: str, after: str, reason: str) -> None:
    _, correction = normalise_entry(WarninglistEntry(value), STRING)
    assert correction is not None
    assert (correction.before, correction.after) == (value, after)
    assert correction.reason.startswith(reason)


@pytest.mark.parametrize("value", ["/^Evil[.]com$/", "/(dot)/", "#^hxxp://#"])
def test_a_pattern_is_never_changed(value: str) -> None:
    assert normalise_entry(WarninglistEntry(value), WarninglistType.REGEX) == (WarninglistEntry(value), None)


@pytest.mark.parametrize("value", ["Mozilla/5.0 [en]", "X[.]y z", "Global\\Mutex(dot)", "/Path[.]php", "EVIL"])
def test_what_is_no_indicator_keeps_its_letters(value: str) -> None:
    assert normalise_entry(WarninglistEntry(value), STRING) == (WarninglistEntry(value), None)


def test_values_that_become_equal_become_one_entry_with_the_first_comment() -> None:
    given_entries = [
        WarninglistEntry("evil.com"),
        WarninglistEntry(" EVIL.com ", "C2"),
        WarninglistEntry("evil[.]com", "x"),
    ]
    entries, corrections = correct(given_entries, STRING)
    assert entries == (WarninglistEntry("evil.com", "C2"),)
    assert corrections == (
        Correction(" EVIL.com ", "evil.com", "trimmed, in lower case, as MISP stores it"),
        Correction("evil[.]com", "evil.com", "refanged"),
    )
