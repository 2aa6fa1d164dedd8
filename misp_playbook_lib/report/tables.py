"""Rows as terminal text, Markdown and HTML; the only place that escapes what comes from outside."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prettytable import PrettyTable, TableStyle

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~])")
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
    """Render as a Markdown table whose cells hold no markup."""
    pretty = _pretty(one, markdown_text)
    pretty.set_style(TableStyle.MARKDOWN)
    return "\n\n".join([pretty.get_string(), *_note(one)])


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


def markdown_text(text: str) -> str:
    """Escape a text so that no Markdown renderer sees markup, a mention or a link in it."""
    return _MARKDOWN.sub(r"\\\1", " ".join(visible(text).split()))


def visible(text: str) -> str:
    """Show control, direction and other invisible characters as their code points; line breaks become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return f"<U+{ord(character):04X}>" if unicodedata.category(character) in _INVISIBLE else character


def _pretty(one: Table, cell: Callable[[str], str]) -> PrettyTable:
    pretty = PrettyTable(field_names=[cell(column) for column in one.columns])
    pretty.align = "l"
    pretty.add_rows([[cell(text) for text in row] for row in one.rows])
    return pretty


def _note(one: Table) -> list[str]:
    return [f"{one.left_out:,} more of {one.total:,} rows are not shown."] if one.left_out else []
