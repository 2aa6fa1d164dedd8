"""Write a plan to MISP: refuse early, send one request with only what changes, read back, compare."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import ChangedMeanwhile, InvalidEntries, NotEditable, WarninglistError
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.results import Applied, ApplyOutcome
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistEntry

MAX_ENTRIES = 300_000
"""MISP's add and edit fail at 500,000 (one INSERT over MariaDB's max_allowed_packet) and take 300,000."""


def check_writable(misp: MispClient, fresh: WarninglistPlan) -> None:
    """Refuse, before MISP is asked, what it would refuse or what would do harm.

    Raises:
        NotEditable: the list ships with MISP, which answers an edit with 404 "Invalid Warninglist.".
        InvalidEntries: no entry at all, or too many.
        PermissionDenied: the user's role lacks perm_warninglist.

    """
    if not fresh.changes:
        return
    if fresh.current is not None and fresh.current.default:
        raise NotEditable(
            f"{fresh.name} (ID {fresh.current.id}) ships with MISP and cannot be edited: "
            "give a warninglist_name of your own to create a list beside it."
        )
    if not fresh.entries:
        raise InvalidEntries(
            f"The list {fresh.name} would have no entry, which MISP refuses: give warninglist_values at least one."
        )
    if len(fresh.entries) > MAX_ENTRIES:
        raise InvalidEntries(
            f"The list {fresh.name} would have {len(fresh.entries):,} entries, more than the {MAX_ENTRIES:,} "
            "that MISP takes in one request: split it into several lists."
        )
    misp.require_warninglist_permission()


def apply(
    misp: MispClient,
    planned: WarninglistPlan,
    *,
    keep: Callable[[Warninglist], None],
    dry_run: bool = False,
) -> Applied:
    """Plan again against the list as it is, create or update it, and believe only what is read back.

    `keep` is given the list as it was, just before the request.

    Raises:
        ChangedMeanwhile: a list to be replaced is not what the plan was made for, or what is there afterwards is not
            what was sent.
        PlaybookError: it was refused before or by MISP; nothing is changed.

    """
    current = current_list(misp, planned)
    fresh = plan(planned.spec, current, planned.action)
    check_writable(misp, fresh)
    if not fresh.changes:
        return Applied(fresh, ApplyOutcome.UNCHANGED, current)
    if planned.action is WarninglistAction.REPLACE and current != planned.current:
        raise ChangedMeanwhile(
            f"The list {planned.name} changed since the plan to replace its entries was made; nothing was written. "
            "Look at it in MISP, plan again (IN:2 to IN:4), then apply."
        )
    if dry_run:
        return Applied(fresh, ApplyOutcome.NOT_WRITTEN, current)
    if current is None:
        list_id = misp.add_warninglist(_fields_of_new_list(fresh))
        outcome = ApplyOutcome.CREATED
    else:
        list_id = current.id
        keep(current)
        misp.edit_warninglist(list_id, _changed_fields(fresh))
        outcome = ApplyOutcome.UPDATED
    written = misp.warninglist(list_id)
    if differences := differs(fresh, written):
        raise ChangedMeanwhile(
            f"After writing, the list {fresh.name} (ID {list_id}) differs from the plan in {', '.join(differences)}: "
            "somebody else may have written to it; look at it in MISP and run again."
        )
    return Applied(fresh, outcome, written)


def current_list(misp: MispClient, planned: WarninglistPlan) -> Warninglist | None:
    """Read the list that a plan is about as it is, None if there still is none."""
    if planned.current is not None:
        return misp.warninglist(planned.current.id)
    found = [row.id for row in misp.warninglists() if row.name == planned.name]
    return misp.warninglist(found[0]) if found else None


def enable(misp: MispClient, applied: Applied) -> Applied:
    """Enable the list and see in the server's index that it is.

    Raises:
        WarninglistError: it is not enabled afterwards.

    """
    current = applied.warninglist
    if current is None or current.enabled:
        return applied
    misp.require_warninglist_permission()
    misp.enable_warninglist(current.id)
    if not any(row.id == current.id and row.enabled for row in misp.warninglists()):
        raise WarninglistError(
            f"MISP said it enabled {current.name} (ID {current.id}), but it is not: look at it in MISP."
        )
    return replace(applied, warninglist=replace(current, enabled=True))


def differs(planned: WarninglistPlan, written: Warninglist) -> tuple[str, ...]:
    """Name the fields in which a list on the server is not what the plan says."""
    pairs = {
        "name": (planned.name, written.name),
        "description": (planned.description, written.description),
        "type": (planned.type, written.type),
        "category": (planned.category, written.category),
        "matching attributes": (set(planned.matching_attributes), set(written.matching_attributes)),
        "entries": (Counter(planned.entries), Counter(written.entries)),
    }
    return tuple(field for field, (wanted, found) in pairs.items() if wanted != found)


def _fields_of_new_list(planned: WarninglistPlan) -> dict[str, Any]:
    return {
        "name": planned.name,
        "description": planned.description,
        "type": planned.type.value,
        "category": planned.category.value,
        "matching_attributes": list(planned.matching_attributes),
        "entries": _payload(planned.entries),
    }


def _changed_fields(planned: WarninglistPlan) -> dict[str, Any]:
    """Send only what changes: what is omitted stays, and matching attributes must be plain strings."""
    fields: dict[str, Any] = {
        change.field: list(change.after) if isinstance(change.after, tuple) else str(change.after)
        for change in planned.fields
    }
    if planned.changes_entries:
        fields["entries"] = _payload(planned.entries)
    return fields


def _payload(entries: tuple[WarninglistEntry, ...]) -> list[dict[str, str]]:
    """Write entries as a JSON list, which MISP stores verbatim; as text it would cut each line at its first `#`."""
    return [
        {"value": entry.value, "comment": entry.comment} if entry.comment else {"value": entry.value}
        for entry in entries
    ]
