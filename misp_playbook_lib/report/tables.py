"""Rows as terminal text, Markdown, HTML and CSV; the only place that escapes what comes from outside."""

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from prettytable import PrettyTable

from misp_playbook_lib.model.indicators import defang
from misp_playbook_lib.untrusted import redact, visible

SHARED_CELL = 256
"""Characters of a text in what leaves the house; a longer one is cut and says how long it is."""

_WORDS = re.compile(r"(?![0-9]+\.)[^\W_](?:[^\W_]|[ ,()%+=…→'-]|[.;:](?= |$))*")
_BACKTICKS = re.compile(r"`+")
_FORMULA = re.compile("[\\s\ufeff\u200b]*[\t\r\n\0\x1b=+@\uff1d\uff0b\uff0d\uff20-]")
"""What a spreadsheet takes for a formula, in full width too, or drops before it looks; ESC is for terminals."""
_SHORT = 24
_PAGE = re.compile(r"https?://|[0-9A-Za-z][0-9A-Za-z_./-]*\Z")


class Own(str):
    """A text that names one of our own servers or their pages: shown as it is, where any other text is defanged.

    `url` is the page it links to, empty for none.
    """

    __slots__ = ("url",)

    url: str

    def __new__(cls, text: object, url: str = "") -> Self:
        """Take the text of anything."""
        own = super().__new__(cls, text)
        own.url = url
        return own


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption. `total` is how many rows there are, where only the first are shown; `file` has them all."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int
    file: str = ""

    @property
    def left_out(self) -> int:
        """How many rows are not shown."""
        return self.total - len(self.rows)


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    first: int | None = None,
    file: str = "",
) -> Table:
    """Build a table from rows of anything that has a text; `first` bounds how many are shown, `file` has them all."""
    shown = rows if first is None else rows[:first]
    texts = tuple(tuple(cell if isinstance(cell, Own) else str(cell) for cell in row) for row in shown)
    return Table(caption, tuple(columns), texts, len(rows), file)


def as_text(one: Table) -> str:
    """Render for a terminal, indicators defanged."""
    pretty = _pretty(one, plain_text)
    return "\n".join([plain_text(one.caption), pretty.get_string(), *_note(one)])


def as_markdown(one: Table) -> str:
    """Render as a Markdown table for others to read: indicators defanged, no cell with markup."""
    return "\n\n".join(["\n".join([markdown_head(one), *markdown_rows(one)]), *_note(one)])


def markdown_head(one: Table) -> str:
    """Return the two lines that a Markdown table begins with."""
    return "\n".join([_markdown_row(one.columns), _markdown_row(["---"] * len(one.columns))])


def markdown_rows(one: Table) -> tuple[str, ...]:
    """Return a line a row, each cell as code."""
    return tuple(_markdown_row([markdown_code(shareable(cell)) for cell in row]) for row in one.rows)


def text_lines(one: Table, longest: int) -> tuple[str, tuple[str, ...]]:
    """Return the head and the rows of a table of fixed-width text for others to read, cells of `longest` at most."""
    lines = _pretty(one, lambda cell: shareable(cell, longest)).get_string().split("\n")
    return "\n".join(lines[:3]), tuple(lines[3:-1])


def as_html(one: Table) -> str:
    """Render as an HTML table with a caption and header cells, indicators defanged, in a box that scrolls sideways."""
    caption = html_text(plain_text(one.caption))
    head = "".join(f'<th scope="col">{html_text(column)}</th>' for column in one.columns)
    body = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in one.rows)
    note = "".join(f"<p>{html_text(line)}</p>" for line in _note(one))
    return (
        f'<div class="table" role="group" tabindex="0" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
    )


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Render as CSV (RFC 4180), not defanged.

    A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection).
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_csv_cell(str(cell)) for cell in row] for row in rows)
    return text.getvalue()


def plain_text(text: str) -> str:
    """Write a text on one line, with nothing invisible, indicators defanged."""
    return visible(text) if isinstance(text, Own) else defang(visible(text))


def html_text(text: str) -> str:
    """Escape a text for HTML, attribute values included."""
    return html.escape(visible(text), quote=True)


def html_link(url: str, text: str) -> str:
    """Link to an http(s) address or to a file below the page; anything else stays text."""
    if not _PAGE.match(url):
        return html_text(text)
    return f'<a href="{html_text(url)}" rel="noopener noreferrer">{html_text(text)}</a>'


def markdown_line(text: str) -> str:
    """Write a sentence in Markdown: as it is where it holds plain words alone, else as code."""
    text = shareable(text, 4 * SHARED_CELL)
    return text if _WORDS.fullmatch(text) else markdown_code(text)


def markdown_code(text: str) -> str:
    """Write a text as a code span: the one place where neither markup nor a mention, link, tag or emoji is looked for.

    The fence is longer than any run of backticks inside (CommonMark 6.1); a pipe would end the cell of a table, even
    in a code span (GFM 4.10).
    """
    if not text:
        return ""
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", r"\|")


def shareable(text: str, longest: int = SHARED_CELL) -> str:
    """Write a text for others to read: on one line, nothing invisible, bounded, indicators defanged."""
    return defang(one_line(text, longest))


def one_line(text: str, longest: int = SHARED_CELL) -> str:
    """Write a text on one line, nothing invisible, bounded."""
    return cut(" ".join(visible(redact(text)[: 2 * longest]).split()), longest, len(text))


def cut(text: str, longest: int, length: int = 0) -> str:
    """Cut a text to `longest` characters, saying how long it is (or was: `length`)."""
    length = max(length, len(text))
    if length <= longest and len(text) <= longest:
        return text
    note = f"… ({length:,} characters)"
    return text[: max(longest - len(note), 0)] + note


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _html_cell(text: str) -> str:
    shown = plain_text(text)
    content = html_link(text.url, shown) if isinstance(text, Own) else html_text(shown)
    room = _room(shown)
    return f'<td class="{room}">{content}</td>' if room else f"<td>{content}</td>"


def _room(text: str) -> str:
    """Say how a cell may wrap, so that a long address squeezes no other column."""
    if len(text) <= _SHORT:
        return ""
    if max(map(len, text.split()), default=0) > _SHORT:
        return "long"
    return "text" if len(text) > 2 * _SHORT else "wrap"


def _csv_cell(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _pretty(one: Table, cell: Callable[[str], str]) -> PrettyTable:
    pretty = PrettyTable(field_names=[cell(column) for column in one.columns])
    pretty.align = "l"
    pretty.add_rows([[cell(text) for text in row] for row in one.rows])
    return pretty


def _note(one: Table) -> list[str]:
    if not one.left_out:
        return []
    where = f" All are in {one.file}, beside this report." if one.file else ""
    return [f"The first {len(one.rows):,} of {one.total:,} rows.{where}"]
