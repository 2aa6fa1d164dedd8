"""Rows as terminal text, Markdown and HTML; the only place that escapes what comes from outside."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prettytable import PrettyTable

from misp_playbook_lib.model.indicators import defang

SHARED_CELL = 256
"""Characters of a text in what leaves the house; a longer one is cut and says how long it is."""

_WORDS = re.compile(r"(?![0-9]+\.)[^\W_](?:[^\W_]|[ ,()%+=…→'-]|[.;:](?= |$))*")
_BACKTICKS = re.compile(r"`+")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption. `total` is how many rows there are, where only the first are shown."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int

    @property
    def left_out(self) -> int:
        """How many rows are not shown."""
        return self.total - len(self.rows)


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]], first: int | None = None) -> Table:
    """Build a table from rows of anything that has a text; `first` bounds how many are shown."""
    shown = rows if first is None else rows[:first]
    texts = tuple(tuple(str(cell) for cell in row) for row in shown)
    return Table(caption, tuple(columns), texts, len(rows))


def as_text(one: Table) -> str:
    """Render for a terminal."""
    pretty = _pretty(one, visible)
    return "\n".join([visible(one.caption), pretty.get_string(), *_note(one)])


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
    """Render as an HTML table with a caption and header cells."""
    head = "".join(f'<th scope="col">{html_text(column)}</th>' for column in one.columns)
    body = "".join(f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in row)}</tr>" for row in one.rows)
    note = "".join(f"<p>{html_text(line)}</p>" for line in _note(one))
    return (
        f"<table><caption>{html_text(one.caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
    )


def html_text(text: str) -> str:
    """Escape a text for HTML, attribute values included."""
    return html.escape(visible(text), quote=True)


def html_link(url: str, text: str) -> str:
    """Link to an http(s) address; anything else stays text."""
    if not url.startswith(("http://", "https://")):
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
    return cut(" ".join(visible(text[: 2 * longest]).split()), longest, len(text))


def cut(text: str, longest: int, length: int = 0) -> str:
    """Cut a text to `longest` characters, saying how long it is (or was: `length`)."""
    length = max(length, len(text))
    if length <= longest and len(text) <= longest:
        return text
    note = f"… ({length:,} characters)"
    return text[: max(longest - len(note), 0)] + note


def visible(text: str) -> str:
    """Show control, direction and other invisible characters as their code points; line breaks become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return f"<U+{ord(character):04X}>" if unicodedata.category(character) in _INVISIBLE else character


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pretty(one: Table, cell: Callable[[str], str]) -> PrettyTable:
    pretty = PrettyTable(field_names=[cell(column) for column in one.columns])
    pretty.align = "l"
    pretty.add_rows([[cell(text) for text in row] for row in one.rows])
    return pretty


def _note(one: Table) -> list[str]:
    return [f"{one.left_out:,} more of {one.total:,} rows are not shown."] if one.left_out else []
