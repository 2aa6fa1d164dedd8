"""What leaves the house in Markdown or as fixed-width text: on one line, bounded, defanged, without markup."""

from typing import Any

import mistune
import pytest
from hypothesis import given
from hypothesis import strategies as st

from misp_playbook_lib.report.tables import (
    as_markdown,
    cut,
    markdown_code,
    markdown_line,
    one_line,
    shareable,
    table,
    text_lines,
)


@pytest.mark.parametrize(
    "text", ["4 entries searched in published events: 3 of them hit.", "The warninglist Campaign-ZN03 (ID 7)."]
)
def test_a_sentence_of_plain_words_stays_one(text: str) -> None:
    assert markdown_line(text) == text


@pytest.mark.parametrize("text", ["see @all", "1. item", "# head", "a_b_c", "x:tada: y", "http://a.example", "www.a.b"])
def test_any_other_sentence_is_code(text: str) -> None:
    assert markdown_line(text) == f"`{shareable(text)}`"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_a_code_span_ends_where_it_should_whatever_is_in_it(text: str) -> None:
    shown = one_line(text)
    paragraphs: Any = mistune.create_markdown(renderer=None)(f"x {markdown_code(shown)} y")
    kinds = [child["type"] for child in paragraphs[0]["children"]]
    assert kinds == (["text", "codespan", "text"] if shown else ["text"])


def test_a_cut_says_how_long_the_text_is() -> None:
    assert cut("short", 30) == "short"
    assert cut("x" * 1_000, 30) == f"{'x' * 10}… (1,000 characters)"
    assert len(shareable("y" * 100_000)) == 256


def test_indicators_are_defanged_and_invisible_characters_shown() -> None:
    assert (
        shareable("http://evil.example/x\u202e\n198.51.100.7") == "hxxp://evil[.]example/x<U+202E> 198[.]51[.]100[.]7"
    )


def test_a_markdown_table_says_how_many_rows_it_leaves_out() -> None:
    text = as_markdown(table("Rows", ("A",), [("a|b",), ("c",), ("d",)], first=2))
    assert text == "| A |\n| --- |\n| `a\\|b` |\n| `c` |\n\nThe first 2 of 3 rows."


def test_fixed_width_lines_are_a_head_and_a_line_a_row() -> None:
    head, rows = text_lines(table("Rows", ("A", "B"), [("one\ntwo", "x" * 100), ("3", "4")]), longest=20)
    assert head.split("\n")[1].startswith("| A ")
    assert len(rows) == 2
    assert "one two" in rows[0]
    assert {len(line) for line in [*head.split("\n"), *rows]} == {len(rows[0])}
