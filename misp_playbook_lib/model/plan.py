"""What a run would change about a warninglist, worked out before anything is sent."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from misp_playbook_lib.model.reading import merge_doubles
from misp_playbook_lib.model.warninglist import (
    ALL_ATTRIBUTES,
    Warninglist,
    WarninglistCategory,
    WarninglistEntry,
    WarninglistSpec,
    WarninglistType,
)


class WarninglistAction(StrEnum):
    """What to do with the values given."""

    APPEND = "append"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of the list and its value before (None: the list is not there yet) and after."""

    field: str
    before: str | tuple[str, ...] | None
    after: str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommentChange:
    """An entry that stays and gets another comment."""

    value: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class WarninglistPlan:
    """The list as it will be, and how that differs from the list as it is.

    `current` is None for a list that will be created. `entries` is everything the list will hold, in order;
    `added`, `removed`, `kept` and `commented` say how that comes about.
    """

    spec: WarninglistSpec
    action: WarninglistAction
    current: Warninglist | None
    name: str
    description: str
    type: WarninglistType
    category: WarninglistCategory
    matching_attributes: tuple[str, ...]
    entries: tuple[WarninglistEntry, ...]
    fields: tuple[FieldChange, ...]
    added: tuple[WarninglistEntry, ...]
    removed: tuple[WarninglistEntry, ...]
    kept: tuple[WarninglistEntry, ...]
    commented: tuple[CommentChange, ...]

    @property
    def creates(self) -> bool:
        """Whether the list is not there yet."""
        return self.current is None

    @property
    def changes_entries(self) -> bool:
        """Whether the entries have to be sent."""
        return bool(self.added or self.removed or self.commented)

    @property
    def changes(self) -> bool:
        """Whether anything has to be sent at all."""
        return self.creates or self.changes_entries or bool(self.fields)


def plan(spec: WarninglistSpec, current: Warninglist | None, action: WarninglistAction) -> WarninglistPlan:
    """Work out the list that `spec` and `action` make of `current` (None: of nothing).

    Entries are compared by their exact value. `append` keeps every entry there is, as it is, and adds what is missing;
    a comment given for a known entry replaces its comment. `replace` leaves exactly the entries given, in their order.
    The defaults of a new list are string, known and all attribute types.
    """
    wanted = merge_doubles(spec.entries)
    if action is WarninglistAction.APPEND and current is not None:
        wanted = _appended(current.entries, wanted)
    return difference(spec, current, action, wanted)


def difference(
    spec: WarninglistSpec,
    current: Warninglist | None,
    action: WarninglistAction,
    entries: tuple[WarninglistEntry, ...],
) -> WarninglistPlan:
    """Compare `current` with the fields of `spec` and exactly these `entries`."""
    if current is None:
        description = spec.description or spec.name
        type_ = spec.type or WarninglistType.STRING
        category = spec.category or WarninglistCategory.KNOWN
        matching = spec.matching_attributes or (ALL_ATTRIBUTES,)
    else:
        description = spec.description or current.description
        type_ = spec.type or current.type
        category = spec.category or current.category
        matching = spec.matching_attributes or current.matching_attributes
    added, removed, kept, commented = _compare(current.entries if current else (), entries)
    if current is not None and not (added or removed or commented):
        entries = current.entries
    return WarninglistPlan(
        spec=spec,
        action=action,
        current=current,
        name=spec.name if current is None else current.name,
        description=description,
        type=type_,
        category=category,
        matching_attributes=matching,
        entries=entries,
        fields=_field_changes(current, description, type_, category, matching),
        added=added,
        removed=removed,
        kept=kept,
        commented=commented,
    )


def _appended(
    existing: tuple[WarninglistEntry, ...], wanted: tuple[WarninglistEntry, ...]
) -> tuple[WarninglistEntry, ...]:
    comments = {entry.value: entry.comment for entry in wanted if entry.comment}
    known = {entry.value for entry in existing}
    kept = (
        WarninglistEntry(entry.value, comments[entry.value]) if comments.get(entry.value, "") else entry
        for entry in existing
    )
    return (*kept, *(entry for entry in wanted if entry.value not in known))


def _compare(
    before: tuple[WarninglistEntry, ...], after: tuple[WarninglistEntry, ...]
) -> tuple[
    tuple[WarninglistEntry, ...],
    tuple[WarninglistEntry, ...],
    tuple[WarninglistEntry, ...],
    tuple[CommentChange, ...],
]:
    """Pair the entries by value: a value that a list holds twice pairs twice."""
    comments_before: dict[str, list[str]] = {}
    for entry in before:
        comments_before.setdefault(entry.value, []).append(entry.comment)
    added, kept, commented = [], [], []
    for entry in after:
        comments = comments_before.get(entry.value)
        if not comments:
            added.append(entry)
        elif entry.comment in comments:
            comments.remove(entry.comment)
            kept.append(entry)
        else:
            commented.append(CommentChange(entry.value, comments.pop(0), entry.comment))
    surplus = Counter({value: len(comments) for value, comments in comments_before.items() if comments})
    removed = []
    for entry in reversed(before):
        if surplus[entry.value]:
            surplus[entry.value] -= 1
            removed.append(entry)
    return tuple(added), tuple(reversed(removed)), tuple(kept), tuple(commented)


def _field_changes(
    current: Warninglist | None,
    description: str,
    type_: WarninglistType,
    category: WarninglistCategory,
    matching: tuple[str, ...],
) -> tuple[FieldChange, ...]:
    if current is None:
        return (
            FieldChange("description", None, description),
            FieldChange("type", None, type_),
            FieldChange("category", None, category),
            FieldChange("matching_attributes", None, matching),
        )
    changes = []
    if description != current.description:
        changes.append(FieldChange("description", current.description, description))
    if type_ is not current.type:
        changes.append(FieldChange("type", current.type, type_))
    if category is not current.category:
        changes.append(FieldChange("category", current.category, category))
    if set(matching) != set(current.matching_attributes):
        changes.append(FieldChange("matching_attributes", current.matching_attributes, matching))
    return tuple(changes)
