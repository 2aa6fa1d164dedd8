import csv
import io
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from misp_playbook_lib.errors import InvalidEntries
from misp_playbook_lib.model.indicators import classify
from misp_playbook_lib.model.reading import format_line, merge_doubles, parse_line, read_entries
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType

STRING, REGEX = WarninglistType.STRING, WarninglistType.REGEX


@pytest.mark.parametrize(
    ("line", "value", "comment"),
    [
        ("evil.com", "evil.com", ""),
        ("  evil.com\t", "evil.com", ""),
        ("evil.com # C2, seen twice", "evil.com", "C2, seen twice"),
        ("evil.com\t#C2", "evil.com", "C2"),
        ("evil.com #", "evil.com", ""),
        ("http://d.example/#frag", "http://d.example/#frag", ""),
        ("http://d.example/#frag # with a comment", "http://d.example/#frag", "with a comment"),
        ("evil.com # see http://d.example/#frag", "evil.com", "see http://d.example/#frag"),
        ("Agent/1.0 (x; y)", "Agent/1.0 (x; y)", ""),
    ],
)
def test_a_comment_starts_at_a_hash_after_white_space_and_never_inside_a_url(
    line: str, value: str, comment: str
) -> None:
    assert parse_line(line, STRING) == WarninglistEntry(value, comment)


@pytest.mark.parametrize(
    ("line", "value", "comment"),
    [
        ("/^evil/i # C2", "/^evil/i", "C2"),
        ("#^https?://#", "#^https?://#", ""),
        ("#^https?://# # any URL", "#^https?://#", "any URL"),
        ("/a #b/", "/a #b/", ""),
        ("/a # b/", "/a # b/", ""),
        ("/a # b/x # free-spacing", "/a # b/x", "free-spacing"),
        ("{a # b}i # braces", "{a # b}i", "braces"),
        (r"/a\/ # b/ # escaped", r"/a\/ # b/", "escaped"),
        ("/a/ # see /b/ # and c", "/a/", "see /b/ # and c"),
        ("/a/ #", "/a/", ""),
        ("no delimiters # C2", "no delimiters", "C2"),
    ],
)
def test_in_a_regex_list_a_comment_is_a_lone_hash_behind_the_pattern(line: str, value: str, comment: str) -> None:
    assert parse_line(line, REGEX) == WarninglistEntry(value, comment)


@pytest.mark.parametrize("list_type", WarninglistType)
@pytest.mark.parametrize("line", ["", "   ", "\t", "# comment", "  # comment", "#", "\u00a0"])
def test_blank_and_comment_only_lines_are_nothing(line: str, list_type: WarninglistType) -> None:
    assert parse_line(line, list_type) is None


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=12) | st.text(
    "ab/# \t\\i(){}", max_size=12
)
ENTRIES = st.builds(WarninglistEntry, TEXT, TEXT)


@given(ENTRIES, st.sampled_from(WarninglistType))
def test_a_line_that_was_written_is_read_as_the_same_entry(entry: WarninglistEntry, list_type: WarninglistType) -> None:
    try:
        line = format_line(entry, list_type)
    except InvalidEntries:
        assume(False)
    assert parse_line(line, list_type) == entry
    assert read_entries(line.encode(), "list", list_type) == (entry,) or line[:1] in "[{"


@given(TEXT, st.sampled_from(WarninglistType))
def test_a_line_that_was_read_can_be_written(line: str, list_type: WarninglistType) -> None:
    entry = parse_line(line.replace("\n", "").replace("\r", ""), list_type)
    assume(entry is not None)
    assert parse_line(format_line(entry, list_type), list_type) == entry


@pytest.mark.parametrize("value", ["", " lead", "two\nlines", "a #b", "#a"])
def test_what_one_line_cannot_hold_is_told(value: str) -> None:
    with pytest.raises(InvalidEntries, match="JSON"):
        format_line(WarninglistEntry(value), STRING)


PLAIN = "# a list\nevil.com # C2\r\n\r\n198.51.100.7\rbücher.example # IDN\n"
READ = (WarninglistEntry("evil.com", "C2"), WarninglistEntry("198.51.100.7"), WarninglistEntry("bücher.example", "IDN"))


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with BOM", "utf-16", "utf-16-be with BOM", "utf-16-le bare", "utf-16-be bare"],
)
def test_text_is_read_in_every_encoding_and_with_every_line_ending(data: bytes) -> None:
    assert read_entries(data, "list.txt", STRING) == READ


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"evil.com\nb\xe9b\n", r"list\.txt, line 2: byte 0xE9 is not UTF-8"),
        ("evil.com\nx\ud800".encode("utf-16-le", "surrogatepass"), r"list\.txt, line 2: .* not UTF-16-LE"),
        (b"\xff\xfe\x00\x00e\x00\x00\x00", "UTF-32"),
        (b"evil.com\nx\nPK\x03\0\n", r"list\.txt, line 3: a zero byte"),
    ],
)
def test_what_is_no_text_is_told_with_its_line(data: bytes, told: str) -> None:
    with pytest.raises(InvalidEntries, match=told):
        read_entries(data, "list.txt", STRING)


@pytest.mark.parametrize(
    "found",
    [
        ["evil.com", "198.51.100.7"],
        [{"value": "evil.com", "comment": "C2"}, {"value": "198.51.100.7", "comment": None}],
        {"evil.com": "C2", "198.51.100.7": ""},
        {"name": "a list", "type": "string", "version": 1, "list": ["evil.com", "198.51.100.7"]},
        {"name": "a list", "type": "string", "version": 1, "list": {"evil.com": "C2", "198.51.100.7": ""}},
        {"Warninglist": {"id": "7", "WarninglistEntry": [{"value": "evil.com"}, {"value": "198.51.100.7"}]}},
    ],
)
def test_json_is_read_in_the_forms_of_misp_and_misp_warninglists(found: object) -> None:
    comment = "C2" if "C2" in json.dumps(found) else ""
    for name in ("list.json", "entries"):
        entries = read_entries(json.dumps(found).encode(), name, STRING)
        assert entries == (WarninglistEntry("evil.com", comment), WarninglistEntry("198.51.100.7"))


def test_values_in_json_stay_as_they_are_written() -> None:
    data = b'["a # b", " lead", "http://d.example/#frag", 0.10, 123456789012345678901234567890, ""]'
    assert [entry.value for entry in read_entries(data, "list.json", STRING)] == [
        "a # b",
        " lead",
        "http://d.example/#frag",
        "0.10",
        "123456789012345678901234567890",
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'["evil.com",\n"b"\n"c"]', "line 3: no valid JSON"),
        (b'["evil.com", null, true]', r"entry 2 is null.*entry 3 is true"),
        (b'{"list": [{"comment": "x"}]}', "entry 1"),
        (b'"evil.com"', "neither a list"),
        (b"[" + b"1e999," * 20 + b"[]]", "entry 21"),
    ],
)
def test_json_of_another_shape_is_told_with_its_place(data: bytes, told: str) -> None:
    with pytest.raises(InvalidEntries, match=told):
        read_entries(data, "list.json", STRING)


@pytest.mark.parametrize("line", ["[2001:db8::1]", "{a|b}", "[abc]"])
def test_a_line_in_brackets_is_no_json(line: str) -> None:
    assert read_entries(line.encode(), "list", STRING) == (WarninglistEntry(line),)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("value,comment\nevil.com,C2\n198.51.100.7,\n", "list.csv"),
        ("comment;value\nC2;evil.com\n;198.51.100.7\n", "list.csv"),
        ("Value\tcomment\nevil.com\tC2\n\n198.51.100.7\n", "list.tsv"),
        ("evil.com,C2\n198.51.100.7\n", "list.csv"),
        ("# from the report\nevil.com,C2\n198.51.100.7,\n", "list.csv"),
        ('"id","value","seen","comment"\r\n"1","evil.com","2024","C2"\r\n"2","198.51.100.7","2024",""\r\n', "list.csv"),
        ("value,comment\nevil.com,C2\n198.51.100.7,\n", "entries"),
    ],
)
def test_csv_is_read_by_its_header_or_as_value_and_comment(text: str, name: str) -> None:
    assert read_entries(text.encode(), name, STRING) == (
        WarninglistEntry("evil.com", "C2"),
        WarninglistEntry("198.51.100.7"),
    )


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_csv_holds_what_lines_cannot(rows: list[tuple[str, str]]) -> None:
    rows = [(value.strip(), comment.strip()) for value, comment in rows if value.strip() and value.strip()[:2] != "# "]
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("value", "comment"), *rows])
    assert read_entries(out.getvalue().encode(), "list.csv", STRING) == merge_doubles(
        WarninglistEntry(*row) for row in rows
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("evil.com,C2\na,b,c\nd,e,f\n", "line 2 has 3 columns.*line 3 has 3 columns"),
        ('evil.com,"C2\n', "no valid CSV"),
        ("comment,value\nC2\n", "line 2 has 1 columns"),
    ],
)
def test_csv_of_another_shape_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(InvalidEntries, match=told):
        read_entries(text.encode(), "list.csv", STRING)


def test_many_problems_are_counted_and_the_first_ten_told() -> None:
    with pytest.raises(InvalidEntries, match="and 15 more"):
        read_entries(json.dumps([None] * 25).encode(), "list.json", STRING)


def test_doubles_become_one_entry_at_the_first_place_and_a_comment_wins_over_none() -> None:
    text = "1.2.3.4 # a\nevil.com\n1.2.3.4 # b\n evil.com # seen\nevil.com\n"
    assert read_entries(text.encode(), "list", STRING) == (
        WarninglistEntry("1.2.3.4", "a"),
        WarninglistEntry("evil.com", "seen"),
    )


def test_the_lines_of_the_original_keep_their_fragment_and_leave_no_empty_entry() -> None:
    text = "\n# only a comment\nhttp://d.example/#frag\n\n"
    (entry,) = read_entries(text.encode(), "list", WarninglistType.SUBSTRING)
    assert entry == WarninglistEntry("http://d.example/#frag")
    assert classify(entry.value) is not None
