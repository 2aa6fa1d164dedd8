"""Fits a summary into parts: split at rows and sections, tables whole where they fit, what is left out counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from misp_playbook_lib.report.summary import Section, Summary
from misp_playbook_lib.report.tables import Table, markdown_head, markdown_line, markdown_rows
from misp_playbook_lib.report.views import Block

MAX_PARTS = 5
"""Messages that one summary may become in a chat: more would drown the channel."""

MAX_ROWS = 2_000
"""Rows of a table that are rendered at all: more than all parts together have room for."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that belong together under a head that each piece of them repeats; `more` rows were left out before.

    A text is a chunk of one row without a head. `name` is what its rows are counted as, by default the section's.
    """

    section: str
    head: str
    rows: tuple[str, ...]
    more: int = 0
    name: str = ""

    @property
    def counted_as(self) -> str:
        """What rows that have no room are counted as."""
        return self.name or self.section


@dataclass(slots=True)
class Part:
    """The pieces of one message, and how much more it has room for."""

    free: int
    chunks: list[Chunk] = field(default_factory=list)

    def sections(self) -> Iterator[tuple[str, list[Chunk]]]:
        """Yield each section's title with its pieces."""
        by_title: dict[str, list[Chunk]] = {}
        for chunk in self.chunks:
            by_title.setdefault(chunk.section, []).append(chunk)
        yield from by_title.items()


def markdown_chunks(summary: Summary, *, brief: bool) -> list[Chunk]:
    """Return the summary's sections in Markdown, in short where `brief`."""
    chunks = []
    for section in summary.sections:
        for block in blocks_of(section, brief=brief):
            if isinstance(block, Table):
                caption = f"**{block.caption}**\n\n" if section.captioned else ""
                head = f"{caption}{markdown_head(block)}"
                chunks.append(Chunk(section.title, head, markdown_rows(block), block.left_out, section.name_of(block)))
            else:
                chunks.append(Chunk(section.title, "", (markdown_line(block),)))
    return chunks


def blocks_of(section: Section, *, brief: bool) -> list[Block]:
    """Return a section's blocks, its tables with as many rows as there can be room for, in short no empty columns."""
    blocks: list[Block] = []
    for block in section.brief or section.blocks if brief else section.blocks:
        if isinstance(block, Table):
            bounded = replace(block, rows=block.rows[:MAX_ROWS])
            blocks.append(_without_empty_columns(bounded) if brief else bounded)
        else:
            blocks.append(block)
    return blocks


def pack(
    chunks: Iterable[Chunk], *, room: int, most: int, each: int, weigh: Callable[[str], int] = len
) -> tuple[list[Part], Mapping[str, int]]:
    """Fill at most `most` parts; return them, and how many rows of each kind had no room.

    Args:
        chunks: what is to be said, in order.
        room: what a part holds, as `weigh` counts.
        most: how many parts there may be.
        each: what a piece costs beside its text.
        weigh: how heavy a text is; of two texts joined, the sum.

    """
    parts = [Part(room)]
    left: Counter[str] = Counter()
    for chunk in chunks:
        left[chunk.counted_as] += chunk.more
        whole = _cost(chunk, chunk.rows, each, weigh)
        if parts[-1].free < whole <= room and len(parts) < most:
            parts.append(Part(room))
        rows = chunk.rows
        while rows:
            taken = _fitting(chunk, rows, parts[-1].free, each, weigh)
            if taken:
                parts[-1].chunks.append(Chunk(chunk.section, chunk.head, rows[:taken]))
                parts[-1].free -= _cost(chunk, rows[:taken], each, weigh)
                rows = rows[taken:]
            elif len(parts) < most and parts[-1].chunks:
                parts.append(Part(room))
            else:
                left[chunk.counted_as] += len(rows)
                break
    return parts, +left


def left_out(left: Mapping[str, int]) -> str:
    """Say how many rows of what are not shown."""
    if not left:
        return ""
    kinds = "; ".join(f"{name} {count:,}" for name, count in list(left.items())[:4])
    return f"Left out here: {sum(left.values()):,} rows ({kinds}{'; …' if len(left) > 4 else ''})."  # noqa: PLR2004


def _without_empty_columns(one: Table) -> Table:
    kept = [index for index in range(len(one.columns)) if any(row[index] for row in one.rows)]
    if not kept:
        return one
    rows = tuple(tuple(row[index] for index in kept) for row in one.rows)
    return replace(one, columns=tuple(one.columns[index] for index in kept), rows=rows)


def _cost(chunk: Chunk, rows: Iterable[str], each: int, weigh: Callable[[str], int]) -> int:
    """Weigh a piece: as if its section's title stood above every one."""
    texts = [*rows, chunk.head, chunk.section]
    return each + sum(map(weigh, texts)) + len(texts) * weigh("\n")


def _fitting(chunk: Chunk, rows: tuple[str, ...], free: int, each: int, weigh: Callable[[str], int]) -> int:
    free -= _cost(chunk, (), each, weigh)
    for count, row in enumerate(rows):
        free -= weigh(row) + weigh("\n")
        if free < 0:
            return count
    return len(rows)
