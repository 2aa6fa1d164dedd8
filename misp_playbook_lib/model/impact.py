"""What a list would do before it is written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Impact:
    """On what the entries that a plan adds would make MISP warn, once the list is enabled.

    `entries` is how many were looked for, `busiest` the entry that hits most and how many attributes it hits (None:
    nothing is hit). `incomplete` says why more may be hit than was seen, empty if all was seen.
    """

    entries: int
    attributes: int
    events: int
    busiest: tuple[str, int] | None
    incomplete: str = ""
