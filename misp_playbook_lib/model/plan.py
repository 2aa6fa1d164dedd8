"""What a run would change about a warninglist, worked out before anything is sent."""

from dataclasses import dataclass, replace
from enum import StrEnum

from misp_playbook_lib.model.impact import Impact
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
    REMOVE = "remove"


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
    `added`, `removed`, `kept` and `commented` say how that comes about. `absent` are values to remove that the list
    does not hold.
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
    absent: tuple[str, ...] = ()
    impact: Impact | None = None

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

    @property
    def diff(self) -> tuple[str, ...]:
        """Every change as a line of a diff: fields first, then what goes, changes and comes."""
        fields = (
            line
            for change in self.fields
            for line in (
                *(() if change.before is None else (f"- {change.field}: {_text(change.before)}",)),
                f"+ {change.field}: {_text(change.after)}",
            )
        )
        commented = (
            line
            for change in self.commented
            for line in (_signed("-", change.value, change.before), _signed("+", change.value, change.after))
        )
        removed = (_signed("-", entry.value, entry.comment) for entry in self.removed)
        added = (_signed("+", entry.value, entry.comment) for entry in self.added)
        return (*fields, *removed, *commented, *added)

    @property
    def result(self) -> Warninglist:
        """The list that carrying out the plan leaves; `id` 0 where MISP has yet to give one."""
        current = self.current
        return Warninglist(
            id=current.id if current else 0,
            name=self.name,
            description=self.description,
            type=self.type,
            category=self.category,
            matching_attributes=self.matching_attributes,
            entries=self.entries,
            version=(current.version if current else 0) + self.changes,
            enabled=current.enabled if current else False,
            default=current.default if current else False,
        )


def plan(spec: WarninglistSpec, current: Warninglist | None, action: WarninglistAction) -> WarninglistPlan:
    """Work out the list that `spec` and `action` make of `current` (None: of nothing).

    Entries are compared by their exact value, as MISP stores it. `append` keeps every entry there is, as it is, and
    adds what is missing; a comment given for a known entry replaces its comment. `replace` leaves exactly the entries
    given, in their order. `remove` takes the entries whose value is given, whatever their comments.
    The defaults of a new list are string, known and all attribute types.
    """
    wanted = merge_doubles(spec.entries)
    if action is WarninglistAction.REMOVE:
        return _removing(spec, current, wanted)
    if action is WarninglistAction.APPEND and current is not None:
        wanted = _appended(current.entries, wanted)
    return difference(spec, current, action, wanted)


def restoring(before: Warninglist, current: Warninglist | None) -> WarninglistPlan:
    """Work out what makes `current` (None: there is none) the list that was there `before`, doubles included."""
    spec = WarninglistSpec(
        name=before.name,
        entries=before.entries,
        description=before.description,
        type=before.type,
        category=before.category,
        matching_attributes=before.matching_attributes,
    )
    return difference(spec, current, WarninglistAction.REPLACE, before.entries)


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
        matching = (ALL_ATTRIBUTES,) if spec.matching_attributes is None else spec.matching_attributes
    else:
        description = current.description if spec.description is None else spec.description
        type_ = spec.type or current.type
        category = spec.category or current.category
        matching = current.matching_attributes if spec.matching_attributes is None else spec.matching_attributes
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


def _removing(
    spec: WarninglistSpec, current: Warninglist | None, named: tuple[WarninglistEntry, ...]
) -> WarninglistPlan:
    existing = current.entries if current else ()
    going = {entry.value for entry in named}
    there = {entry.value for entry in existing}
    left = tuple(entry for entry in existing if entry.value not in going)
    absent = tuple(entry.value for entry in named if entry.value not in there)
    return replace(difference(spec, current, WarninglistAction.REMOVE, left), absent=absent)


def _appended(
    existing: tuple[WarninglistEntry, ...], wanted: tuple[WarninglistEntry, ...]
) -> tuple[WarninglistEntry, ...]:
    """Add what is missing; of a value that the list holds several times, one entry comes to carry the comment."""
    known = {entry.value for entry in existing}
    comments = {entry.value: entry.comment for entry in wanted if entry.comment and entry.value in known}
    if comments:
        for entry in existing:
            if comments.get(entry.value) == entry.comment:
                del comments[entry.value]
        kept = []
        for entry in existing:
            comment = comments.pop(entry.value, None)
            kept.append(entry if comment is None else WarninglistEntry(entry.value, comment))
        existing = tuple(kept)
    return (*existing, *(entry for entry in wanted if entry.value not in known))


def _compare(
    before: tuple[WarninglistEntry, ...], after: tuple[WarninglistEntry, ...]
) -> tuple[
    tuple[WarninglistEntry, ...],
    tuple[WarninglistEntry, ...],
    tuple[WarninglistEntry, ...],
    tuple[CommentChange, ...],
]:
    """Pair the entries by value: a value that a list holds twice pairs twice. What both begin with is kept at once."""
    first = next(
        (number for number, (old, new) in enumerate(zip(before, after, strict=False)) if old is not new and old != new),
        None,
    )
    first = min(len(before), len(after)) if first is None else first
    comments_before: dict[str, list[str]] = {}
    for entry in before[first:]:
        comments_before.setdefault(entry.value, []).append(entry.comment)
    added, kept, commented = [], list(after[:first]), []
    for entry in after[first:]:
        comments = comments_before.get(entry.value)
        if not comments:
            added.append(entry)
        elif entry.comment in comments:
            comments.remove(entry.comment)
            kept.append(entry)
        else:
            commented.append(CommentChange(entry.value, comments.pop(0), entry.comment))
    removed = []
    for entry in before[first:]:
        comments = comments_before[entry.value]
        if entry.comment in comments:
            comments.remove(entry.comment)
            removed.append(entry)
    return tuple(added), tuple(removed), tuple(kept), tuple(commented)


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


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _signed(sign: str, value: str, comment: str) -> str:
    return f"{sign} {value} # {comment}" if comment else f"{sign} {value}"
