"""Find the attributes in MISP that hold an entry's value."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from misp_playbook_lib.clients.misp import MispClient, parse_attribute
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.model.matching import parts
from misp_playbook_lib.model.results import Attribute, AttributeMatch, CorrelationResult, Published

CHUNK_VALUES = 10_000
"""Values a query: MISP answers 10,000 in 0.5 s and fails at 300,000."""


def retrosearch(
    misp: MispClient,
    values: Sequence[str],
    *,
    published: Published,
    tags: Sequence[str] = (),
) -> CorrelationResult:
    """Search attributes whose value, or half of it, is one of `values`.

    A query that fails leaves what was found and says in `incomplete` what was not searched.
    """
    matches: dict[int, AttributeMatch] = {}
    incomplete = []
    wanted = {value: value for value in reversed(values) if value.strip()}
    folded = {_folded(value): value for value in wanted}
    for chunk in _chunks(list(wanted)):
        try:
            for page in misp.attributes(_filters([_queried(value) for value in chunk], published, tags)):
                for row in page:
                    attribute = parse_attribute(row)
                    if match := _match(attribute, wanted, folded):
                        matches[attribute.id] = match
        except ServiceError as error:
            incomplete.append(f"{len(chunk)} of {len(wanted)} entries were not searched: {error}")
    return CorrelationResult(
        matches=tuple(matches[attribute_id] for attribute_id in sorted(matches)),
        entries_searched=len(wanted),
        published=published,
        tags=tuple(tags),
        incomplete=tuple(incomplete),
    )


def _filters(values: Sequence[str], published: Published, tags: Sequence[str]) -> dict[str, Any]:
    """Build restSearch's filters in forms that MISP cannot misread.

    `published` false or null is no filter at all: unpublished is 0, both is [0, 1]; an empty tag list is left out.
    """
    filters: dict[str, Any] = {
        "value": list(values),
        "published": {Published.YES: 1, Published.NO: 0, Published.BOTH: [0, 1]}[published],
    }
    if tags:
        filters["tags"] = list(tags)
    return filters


def _queried(value: str) -> str:
    """Write a value so that MISP's answer holds at least its exact matches; what is too much is dropped by `_match`.

    A leading `!` would negate, and can return every row: behind a `%` it is an ordinary character of a LIKE pattern.
    In a LIKE pattern, which a leading or trailing `%` makes of a value, a backslash escapes: `_` stands for it.
    """
    pattern = f"%{value}" if value.startswith("!") else value
    return pattern.replace("\\", "_") if pattern.startswith("%") or pattern.endswith("%") else pattern


def _match(attribute: Attribute, wanted: dict[str, str], folded: dict[str, str]) -> AttributeMatch | None:
    """Trace an attribute to its entry: exactly, else as MISP's database compares."""
    candidates = parts(attribute.type, attribute.value)
    lookups: Iterable[tuple[dict[str, str], Callable[[str], str]]] = ((wanted, str), (folded, _folded))
    for table, key in lookups:
        for part in candidates:
            if (entry := table.get(key(part))) is not None:
                return AttributeMatch(entry, part, attribute)
    return None


def _folded(value: str) -> str:
    """Fold as utf8mb4's default collation compares: without regard to case and trailing spaces."""
    return value.rstrip(" ").casefold()


def _chunks(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + CHUNK_VALUES] for start in range(0, len(values), CHUNK_VALUES))
