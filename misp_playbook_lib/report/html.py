"""An executed notebook as one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

_TEMPLATE = Path(__file__).parent / "template"


@dataclass(frozen=True, slots=True)
class Report:
    """What stands above the notebook: how the run ended, in a word and in a line, and what went wrong."""

    title: str
    outcome: str
    banner: str
    problems: Sequence[str]


def render(notebook: Path, report: Report, pictures: Path) -> str:
    """Render a notebook without its code; nothing in the page runs or is fetched when it is opened.

    Relative pictures of its Markdown are taken from the folder `pictures` and embedded.
    """
    exporter = HTMLExporter(
        template_name=_TEMPLATE.name,
        extra_template_basedirs=[str(_TEMPLATE.parent)],
        exclude_anchor_links=True,
        embed_images=True,
    )
    style = (_TEMPLATE / "style.css").read_text(encoding="utf-8")
    node = nbformat.read(notebook, as_version=4)
    page, _ = exporter.from_notebook_node(
        node, {"report": {**asdict(report), "style": style}, "metadata": {"path": str(pictures)}}
    )
    return str(page)
