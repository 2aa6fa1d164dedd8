"""An executed notebook as one self-contained HTML page: the verdict, the notebook's story, the record."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from traitlets.config import Config

from misp_playbook_lib.model.recognise import public_suffixes
from misp_playbook_lib.report import workflow
from misp_playbook_lib.report.page import Page, page
from misp_playbook_lib.report.tables import as_html, html_link, html_text, plain_text

TEMPLATE = Path(__file__).parent / "template"
STYLE = TEMPLATE / "style.css"

_FENCE = re.compile(r"^(```|~~~)")
_HEADING = re.compile(r"^(#{1,6}) +(.+?)(?: +#+)?$")
_CODE = re.compile(r"[A-Z]{2}:[0-9]\b")
_TAG = re.compile(r"(</?h)([1-6])\b")
_CAPTIONED = re.compile(r"(?:(<h[2-6]>([^<]*)</h[2-6]>)|<p><strong>([^<]*)</strong></p>)\s*<table>")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SHOWN = ("text/html", "text/markdown", "image/png", "image/jpeg", "text/plain")
_LOWEST = 6


@dataclass(frozen=True, slots=True)
class Part:
    """A heading of a Markdown cell and what stands below it; `status` is what became of that step, if it is one."""

    level: int
    title: str
    anchor: str
    status: str
    body: str


def prepare() -> None:
    """Load what takes a while to load: this module, its templates, the suffixes by which host names are recognised."""
    public_suffixes()
    _exporter()


def render(notebook: Path, manifest: Mapping[str, Any], pictures: Path) -> str:
    """Render a run's page; nothing in it runs or is fetched when it is opened.

    Args:
        notebook: the executed notebook; one that is not there leaves the verdict and the record.
        manifest: the run, as in run.json.
        pictures: the folder from which relative pictures are taken and embedded, `assets/` below it among them.

    """
    node = nbformat.read(notebook, as_version=4) if notebook.exists() else nbformat.v4.new_notebook()
    node.cells = [cell for cell in node.cells if not _of_papermill(cell.metadata.get("tags", []))]
    about = page(manifest)
    parts = [_parts(cell.source, about.statuses) if cell.cell_type == "markdown" else [] for cell in node.cells]
    for cell, headed in zip(node.cells, parts, strict=True):
        cell.metadata["parts"] = headed
    title = next((part.title for headed in parts for part in headed if part.level == 1), manifest["playbook"])
    report = {
        "page": about,
        "style": STYLE.read_text(encoding="utf-8"),
        "title": title,
        "subject": manifest["warninglist"],
        "run_id": manifest["run_id"],
        "workflow": _picture(pictures / "assets" / f"{manifest['playbook']}.svg", about),
        "contents": _contents([part for headed in parts for part in headed]),
    }
    resources = {"report": report, "metadata": {"path": str(pictures)}}
    # HTMLExporter's own method would then parse and rewrite the whole page for classes that it does not have.
    result, _ = TemplateExporter.from_notebook_node(_exporter(), node, resources)
    return str(result)


@cache
def _exporter() -> HTMLExporter:
    """Return what renders notebooks; compiling its templates takes longer than a small page."""
    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": list(_SHOWN)}}),
        default_preprocessors=[],
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        exclude_anchor_links=True,
        embed_images=True,
    )
    exporter.register_filter("line", lambda text: html_text(plain_text(text)))
    exporter.register_filter("own", lambda own: html_link(own.url, own) if own.url else html_text(own))
    exporter.register_filter("lines", _lines)
    exporter.register_filter("table", as_html)
    exporter.register_filter("below", _below)
    _ = exporter.template  # compiled before threads share it
    return exporter


def _of_papermill(tags: Sequence[str]) -> bool:
    """Whether a cell was put in by papermill: its error marks, and the parameters, which the record shows."""
    return any(tag.startswith("papermill-error") or tag == "injected-parameters" for tag in tags)


def _parts(source: str, statuses: Mapping[str, str]) -> list[Part]:
    """Split a Markdown cell at its headings (CommonMark 4.2), not within fenced code."""
    found: list[tuple[int, str, list[str]]] = []
    fenced = False
    for line in source.splitlines():
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.match(line)
        if heading:
            found.append((len(heading[1]), heading[2], []))
        elif found:
            found[-1][2].append(line)
        else:
            found.append((0, "", [line]))
    return [
        Part(level, title, _anchor(title), _status(title, statuses), "\n".join(body).strip())
        for level, title, body in found
    ]


def _anchor(title: str) -> str:
    code = _CODE.match(title)
    return re.sub(r"\W+", "-", code[0] if code else title).strip("-").lower()


def _status(title: str, statuses: Mapping[str, str]) -> str:
    code = _CODE.match(title)
    return workflow.status_of(code[0], statuses) if code else ""


def _contents(parts: Sequence[Part]) -> list[tuple[Part, list[Part]]]:
    """Gather the H3 under their H2."""
    chapters: list[tuple[Part, list[Part]]] = []
    for part in parts:
        if part.level == 2:  # noqa: PLR2004 - an H2
            chapters.append((part, []))
        elif part.level == 3 and chapters:  # noqa: PLR2004 - an H3
            chapters[-1][1].append(part)
    return chapters


def _picture(path: Path, about: Page) -> tuple[str, str] | None:
    """Return the marked workflow picture as a data URI and its alternative text."""
    if not path.is_file():
        return None
    picture, words = workflow.marked(path.read_text(encoding="utf-8"), about.statuses)
    return base64.b64encode(picture.encode()).decode(), f"Workflow. {words}."


def _below(page_part: str, level: int) -> str:
    """Fit the HTML of a Markdown output in: headings below `level`, captions into their tables."""
    shift = level - 1
    shifted = _TAG.sub(lambda tag: f"{tag[1]}{min(int(tag[2]) + shift, _LOWEST)}", page_part)
    boxed, boxes = _CAPTIONED.subn(_captioned, shifted)
    boxed = boxed.replace("<th>", '<th scope="col">')
    return boxed.replace("</table>", "</table></div>", boxes)


def _captioned(before: re.Match[str]) -> str:
    """Give a table the caption that stands before it, in bold or as its heading, and a box to scroll in."""
    heading, title, bold = before.groups()
    caption = title or bold
    return (
        f'{heading or ""}<div class="table" role="group" tabindex="0" aria-label="{caption}">'
        f"<table><caption>{caption}</caption>"
    )


def _lines(text: str | Sequence[str]) -> str:
    """Write lines as they are, without colours, indicators defanged."""
    joined = text if isinstance(text, str) else "\n".join(text)
    return "\n".join(html_text(plain_text(line)) for line in _ANSI.sub("", joined).splitlines())
