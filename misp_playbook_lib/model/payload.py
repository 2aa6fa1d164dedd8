"""What MISP is sent to carry out a plan."""

from typing import Any

from misp_playbook_lib.model.plan import WarninglistPlan


def request_fields(plan: WarninglistPlan) -> dict[str, Any]:
    """Return the fields of `warninglists/add` or `edit`: of an existing list those that change, what is omitted stays.

    Entries go as a JSON list, which MISP stores verbatim; as text it would cut each line at its first `#`. Matching
    attributes must be plain strings: MISP answers 500 to the objects that it shows itself.
    """
    fields: dict[str, Any] = {"name": plan.name} if plan.creates else {}
    for change in plan.fields:
        fields[change.field] = list(change.after) if isinstance(change.after, tuple) else str(change.after)
    if plan.creates or plan.changes_entries:
        fields["entries"] = [
            {"value": entry.value, "comment": entry.comment} if entry.comment else {"value": entry.value}
            for entry in plan.entries
        ]
    return fields
