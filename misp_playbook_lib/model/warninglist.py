"""A warninglist as it is wanted (`WarninglistSpec`) and as it stands on the server (`Warninglist`)."""

import re
from dataclasses import dataclass
from enum import StrEnum

from misp_playbook_lib.model.findings import Finding

ALL_ATTRIBUTES = "ALL"
"""The matching attribute by which MISP applies a list to every type (app/Model/Warninglist.php)."""
LONGEST_NAME = 255
"""Characters of a list's name: the type of MISP's column is varchar(255)."""
LONGEST_TEXT = 65_535
"""Bytes of a description, a value or a comment: the type of MISP's columns is TEXT."""
UNSTORABLE = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
"""What MISP's tables, which hold three bytes a character, do not take: it answers with an error 500."""


class WarninglistType(StrEnum):
    """How MISP compares an attribute with the entries (app/Model/Warninglist.php)."""

    STRING = "string"
    SUBSTRING = "substring"
    HOSTNAME = "hostname"
    CIDR = "cidr"
    REGEX = "regex"


class WarninglistCategory(StrEnum):
    """What a hit means: likely a false positive, or something known (app/Model/Warninglist.php)."""

    FALSE_POSITIVE = "false_positive"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class WarninglistEntry:
    """One value of a list, as MISP stores it, with its comment (empty: none)."""

    value: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class WarninglistSpec:
    """A list as an analyst wants it; None keeps what the list has, or takes a new list's default.

    `findings` is what the check says of its entries: what blocks is refused before it is written.
    """

    name: str
    entries: tuple[WarninglistEntry, ...] = ()
    description: str | None = None
    type: WarninglistType | None = None
    category: WarninglistCategory | None = None
    matching_attributes: tuple[str, ...] | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Warninglist:
    """A list as the server has it; `default` marks one that ships with MISP and cannot be edited."""

    id: int
    name: str
    description: str
    type: WarninglistType
    category: WarninglistCategory
    matching_attributes: tuple[str, ...]
    entries: tuple[WarninglistEntry, ...]
    version: int
    enabled: bool
    default: bool = False


@dataclass(frozen=True, slots=True)
class WarninglistRow:
    """A list as the server's index shows it, without its entries."""

    id: int
    name: str
    type: str
    category: str
    entry_count: int
    version: int
    enabled: bool
    default: bool


@dataclass(frozen=True, slots=True)
class WarninglistRows:
    """The server's lists at a glance."""

    rows: tuple[WarninglistRow, ...]
