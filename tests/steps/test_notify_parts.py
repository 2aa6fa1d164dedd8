"""Fitting into parts: tables whole where they fit, split between rows where not, what is left out counted."""

from hypothesis import given
from hypothesis import strategies as st
from summaries import match, summary

from misp_playbook_lib.steps.notify_parts import MAX_ROWS, Chunk, left_out, markdown_chunks, pack


def rows(count: int, width: int = 10) -> tuple[str, ...]:
    return tuple(f"{number:0{width}}" for number in range(count))


def test_what_fits_is_one_part() -> None:
    parts, left = pack([Chunk("A", "", ("one",)), Chunk("B", "head", ("two",))], room=100, most=3, each=1)
    assert [chunk.rows for chunk in parts[0].chunks] == [("one",), ("two",)]
    assert len(parts) == 1
    assert left == {}


def test_a_table_that_fits_a_part_is_never_split() -> None:
    table = Chunk("B", "head", rows(5))
    parts, left = pack([Chunk("A", "", ("x" * 60,)), table], room=100, most=3, each=1)
    assert [part.chunks[-1] for part in parts] == [Chunk("A", "", ("x" * 60,)), table]
    assert left == {}


def test_a_table_too_long_for_a_part_is_split_between_rows_under_its_head() -> None:
    parts, left = pack([Chunk("A", "head", rows(20))], room=100, most=9, each=1)
    assert len(parts) > 2
    assert {chunk.head for part in parts for chunk in part.chunks} == {"head"}
    assert tuple(row for part in parts for chunk in part.chunks for row in chunk.rows) == rows(20)
    assert left == {}


def test_rows_beyond_the_last_part_are_counted_with_those_left_out_before() -> None:
    parts, left = pack([Chunk("A", "head", rows(20), more=1_000)], room=100, most=2, each=1)
    shown = sum(len(chunk.rows) for part in parts for chunk in part.chunks)
    assert len(parts) == 2
    assert 0 < shown < 20
    assert left == {"A": 1_020 - shown}
    assert left_out(left) == f"Left out here: {1_020 - shown:,} rows (A {1_020 - shown:,})."


def test_a_row_longer_than_a_part_is_counted_not_cut() -> None:
    parts, left = pack([Chunk("A", "", ("x" * 200,)), Chunk("B", "", ("end",))], room=100, most=2, each=1)
    assert left == {"A": 1}
    assert parts[0].chunks == [Chunk("B", "", ("end",))]


@given(
    tables=st.lists(st.lists(st.text(max_size=80), max_size=30), max_size=8),
    room=st.integers(60, 400),
    most=st.integers(1, 4),
)
def test_every_row_is_in_a_part_or_counted_and_no_part_is_too_heavy(
    tables: list[list[str]], room: int, most: int
) -> None:
    chunks = [Chunk(f"S{number}", "head", tuple(table)) for number, table in enumerate(tables)]
    parts, left = pack(chunks, room=room, most=most, each=3)
    assert len(parts) <= most
    for number, table in enumerate(tables):
        shown = [row for part in parts for one in part.chunks if one.section == f"S{number}" for row in one.rows]
        assert shown == table[: len(shown)]
        assert len(shown) + left.get(f"S{number}", 0) == len(table)
    for part in parts:
        said = [text for title, pieces in part.sections() for text in (title, *(t for p in pieces for t in p.rows))]
        assert sum(len(text) + 1 for text in said) <= room


def test_a_column_in_which_nothing_stands_is_left_out_in_short() -> None:
    heads = [
        [
            chunk.head.split("\n")[-2]
            for chunk in markdown_chunks(summary(found), brief=True)
            if "Event info" in chunk.head
        ]
        for found in ([match(1)], [match(1, comment="seen")])
    ]
    columns = "| Entry | Event info | Event | Date | Type | MISP warns |"
    assert heads == [[columns], [f"{columns} Comment |"]]


def test_no_more_rows_are_rendered_than_there_can_be_room_for() -> None:
    [table] = [
        chunk
        for chunk in markdown_chunks(summary([match(number) for number in range(MAX_ROWS + 50)]), brief=True)
        if chunk.section == "MISP event matches" and chunk.head
    ]
    assert (len(table.rows), table.more) == (MAX_ROWS, 50)
