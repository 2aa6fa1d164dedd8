"""What comes from outside, in tables: escaped, defanged, linked only where that was meant, neutral for spreadsheets."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from misp_playbook_lib.report.links import linked
from misp_playbook_lib.report.tables import Own, as_csv, as_html, as_text, table

URL = "http://evil.example/a?b=<c>"
PERMALINK = "https://www.virustotal.com/gui/file/030cbd1a51f8583ccfc3fa38a28a5550dc1c84c05d6c0f5eb887d13dedf1da01"


def test_indicators_are_defanged_in_html_and_for_a_terminal() -> None:
    one = table("About evil.example", ("Entry",), [(URL,), ("198.51.100.7",)])
    for shown in (as_html(one), as_text(one)):
        assert "hxxp://evil[.]example/a" in shown
        assert "198[.]51[.]100[.]7" in shown
        assert "evil.example" not in shown
    assert "<a " not in as_html(one)


def test_our_own_servers_are_shown_as_they_are_and_linked() -> None:
    shown = as_html(table("Server", ("Server",), [(Own("https://misp.example.org", "https://misp.example.org/"),)]))
    assert '<a href="https://misp.example.org/" rel="noopener noreferrer">https://misp.example.org</a>' in shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "//evil.example", "a b"])
def test_no_other_scheme_is_linked(url: str) -> None:
    assert "<a " not in as_html(table("Links", ("Link",), [(Own("text", url),)]))


def test_events_link_to_misp_and_permalinks_to_virustotal_and_nothing_else_links() -> None:
    rows = [("7", PERMALINK, "7"), ("7/../x", PERMALINK.replace("www.", "www.evil."), URL), ("x", f"{PERMALINK}?q", "")]
    shown = as_html(linked(table("Matches", ("Event", "Answer", "Entry"), rows), "https://misp.example.org"))
    assert shown.count("<a ") == 2
    assert '<a href="https://misp.example.org/events/view/7"' in shown
    assert f'<a href="{PERMALINK}"' in shown


def test_a_table_has_a_caption_headers_and_says_where_the_rest_is() -> None:
    one = table("Matches", ("Entry", "Event"), [("a", "1")] * 3, first=2, file="matches.csv")
    shown = as_html(one)
    assert "<caption>Matches</caption>" in shown
    assert shown.count('<th scope="col">') == 2
    assert shown.count("<tr>") == 3
    assert "The first 2 of 3 rows. All are in matches.csv, beside this report." in shown


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\ufeff=1"]
)
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(as_csv(["a"], [[text]]), newline=""))
    assert cell == f"'{text}"


@pytest.mark.parametrize(
    "text", ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)", "\0=1", "\x1b]0;title\x07", " \uff1d1"]
)
def test_no_cell_of_a_csv_begins_with_a_formula_in_full_width_or_with_what_is_dropped_before_one(text: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(as_csv(["a"], [[text]]), newline=""))
    assert cell == f"'{text}"


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2), max_size=5))
def test_a_csv_reads_back_as_it_was_written(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(as_csv(["a", "b"], rows), newline="")))[1:]
    assert [[cell.removeprefix("'") for cell in row] for row in read] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


@given(st.text())
def test_no_text_brings_markup_into_a_table(text: str) -> None:
    shown = as_html(table(text, ("A",), [(text,)]))
    inner = shown.split("<td", 1)[1].split(">", 1)[1].rsplit("</td>", 1)[0]
    assert not set(inner) & set("<>\"'")


def test_a_long_address_leaves_other_columns_their_room() -> None:
    shown = as_html(table("A", ("A", "B", "C"), [("short", "x" * 60, "words " * 20)]))
    assert '<td>short</td><td class="long">' in shown
    assert '<td class="text">words' in shown


def test_the_style_knows_the_classes_of_cells() -> None:
    style = (Path(__file__).parents[2] / "misp_playbook_lib/report/template/style.css").read_text()
    assert all(f"td.{room}" in style for room in ("wrap", "text", "long"))
