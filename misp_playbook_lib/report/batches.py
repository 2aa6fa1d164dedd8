"""The archive's batches at a glance, each from its batch.json."""

import json
from dataclasses import dataclass
from pathlib import Path

BATCHES = "batches"
RESULTS = "batch.json"
PAGE = "index.html"
NOT_FINISHED = "not finished"


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch: where its page or, as long as it has none, its batch.json is, and how it ended."""

    page: Path
    batch_id: str
    started: str
    outcome: str
    verdict: str
    file: str


@dataclass(frozen=True, slots=True)
class Batches:
    """All batches of an archive, the latest first, and each batch.json that could not be read."""

    batches: tuple[BatchLine, ...]
    unreadable: tuple[str, ...] = ()


def read(archive: Path) -> Batches:
    """Read what every batch left."""
    found, unreadable = [], []
    for path in sorted(archive.glob(f"{BATCHES}/*/{RESULTS}"), reverse=True):
        try:
            found.append(_line(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            unreadable.append(f"{path.relative_to(archive)}: {type(error).__name__} {error}")
    return Batches(tuple(found), tuple(unreadable))


def _line(path: Path) -> BatchLine:
    data = json.loads(path.read_text(encoding="utf-8"))
    page = path.with_name(PAGE)
    return BatchLine(
        page=page if page.is_file() else path,
        batch_id=data["batch_id"],
        started=data["started"],
        outcome=data["outcome"] if data["finished"] else NOT_FINISHED,
        verdict=data["verdict"],
        file=data["file"],
    )
