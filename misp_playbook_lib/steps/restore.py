"""Put a list back as it was before a run, from what the run kept."""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import ChangedMeanwhile, ServiceError, SettingsError, WarninglistError
from misp_playbook_lib.model.changes import changed, in_words
from misp_playbook_lib.model.plan import WarninglistPlan, restoring
from misp_playbook_lib.model.warninglist import Warninglist
from misp_playbook_lib.report import undo, views
from misp_playbook_lib.report.tables import as_text
from misp_playbook_lib.report.undo import Kept, UndoRecord
from misp_playbook_lib.report.written import telling
from misp_playbook_lib.settings import load_settings, without_services
from misp_playbook_lib.steps.apply import carry_out, check_writable, list_named
from misp_playbook_lib.steps.locks import list_lock
from misp_playbook_lib.steps.read_back import read_back, set_enabled


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What undoing a run would do.

    `plan` writes the list (None: it is deleted, or there is nothing to write); `enabled` is what it is switched to
    (None: left as it is).
    """

    kept: Kept
    current: Warninglist | None
    plan: WarninglistPlan | None
    enabled: bool | None = None

    @property
    def deletes(self) -> bool:
        """Whether the list, which the run created, goes."""
        return self.kept.before is None and self.current is not None

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.deletes or self.enabled is not None or (self.plan is not None and self.plan.changes)


def restore_run(
    archive: Path, run_id: str, vault: Path | None, *, force: bool, dry_run: bool, tell: Callable[[str], object]
) -> None:
    """Undo a run by its ID, telling first what that does and then what became of it.

    Raises:
        ParameterError: there is no such run, or it changed no list.
        PlaybookError: it was refused, or it failed.

    """
    kept = undo.load(undo.find(archive, run_id))
    misp = MispClient(load_settings(vault, without_services(os.environ) if vault else None))
    planned = plan_restore(misp, kept, force=force)
    for line in _told(planned):
        tell(line)
    if not planned.changes:
        tell(f"The list {kept.name} is as it was before the run {run_id}: nothing to do.")
        return
    if dry_run:
        tell("Dry run: nothing was changed.")
        return
    own_id = f"restore-{secrets.token_hex(4)}"
    written = restore(misp, planned, undo.UndoRecord(undo.interactive_folder(own_id), kept.server))
    undo.mark_restored(kept.folder, own_id)
    done = f"is as it was before the run {run_id} ({len(written.entries):,} entries)" if written else "is deleted"
    tell(f"The list {kept.name} {done}. To undo this: misp-playbook restore {own_id}")


def _told(planned: RestorePlan) -> Iterator[str]:
    current = planned.current
    if planned.deletes and current is not None:
        yield f"Delete the list {current.name} (ID {current.id}, {len(current.entries):,} entries): the run created it."
    if planned.plan is not None and planned.plan.changes:
        yield views.plan_line(planned.plan)
        yield from as_text(views.plan_diff(planned.plan)).split("\n")
    if planned.enabled is not None:
        yield f"{'Enable' if planned.enabled else 'Disable'} the list, as it was before the run."


def plan_restore(misp: MispClient, kept: Kept, *, force: bool = False) -> RestorePlan:
    """Work out how to undo a run; nothing is sent.

    Raises:
        SettingsError: the run wrote to another server.
        ChangedMeanwhile: the list has changed since, and `force` does not say to restore it all the same.
        WarninglistError: it cannot be written.

    """
    if kept.server != misp.server.url:
        raise SettingsError(
            f"The run {kept.run_id} wrote to {kept.server}, not to {misp.server.url}: use the vault of that server."
        )
    current = _find(misp, kept)
    if not force and all(changed(left, current) for left in kept.left):
        raise ChangedMeanwhile(
            f"The list {kept.name} has changed since the run {kept.run_id}: {in_words(kept.last, current)}. "
            "Nothing was restored; look at it in MISP. --force restores it all the same, and what was changed is lost."
        )
    before = kept.before
    if before is None:
        if current is not None:
            misp.require_warninglist_permission()
        return RestorePlan(kept, current, None)
    planned = restoring(before, current)
    check_writable(misp, planned)
    switched = current is None or (kept.last is not None and kept.last.enabled is not before.enabled)
    differs = before.enabled is not (current is not None and current.enabled)
    return RestorePlan(kept, current, planned, before.enabled if switched and differs else None)


def restore(misp: MispClient, wanted: RestorePlan, record: UndoRecord) -> Warninglist | None:
    """Carry out a `RestorePlan` and return the list as read back, None where it was deleted.

    `record` keeps what undoes the restoring.

    Raises:
        ChangedMeanwhile: the list is not what the plan was made for, or somebody else wrote at the same time.
        PlaybookError: MISP refused, or could not be reached. Each says what became of the list.

    """
    with telling(record, wanted.kept.name), list_lock(misp.server.url, wanted.kept.name):
        before = wanted.kept.before
        if before is None:
            _delete(misp, wanted, record)
            return None
        written = wanted.current
        if wanted.plan is not None and wanted.plan.changes:
            written = carry_out(
                misp, lambda: _find(misp, wanted.kept), lambda current: _replan(wanted, before, current), record
            ).warninglist
        if wanted.enabled is not None and written is not None:
            written = set_enabled(misp, written, record, enabled=wanted.enabled)
        return written


def _replan(wanted: RestorePlan, before: Warninglist, current: Warninglist | None) -> WarninglistPlan:
    fresh = restoring(before, current)
    if fresh.changes and changed(wanted.current, current):
        raise _changed_since_planned(wanted, current)
    return fresh


def _delete(misp: MispClient, wanted: RestorePlan, record: UndoRecord) -> None:
    """Disable the list, which takes it out of MISP's cache, delete it, and see that it is gone.

    Raises:
        ChangedMeanwhile: it is not what the plan was made for.
        ServiceError: it could not be deleted.
        WarninglistError: MISP did not delete it.

    """
    current = _find(misp, wanted.kept)
    if current is None:
        return
    if changed(wanted.current, current):
        raise _changed_since_planned(wanted, current)
    if current.enabled:
        current = set_enabled(misp, current, record, enabled=False)
    record.sending(current, None)
    lost: ServiceError | None = None
    try:
        misp.delete_warninglist(current.id)
    except ServiceError as error:  # whether the list is gone is seen below; the answer does not say
        lost = error
    list_id = current.id
    if read_back(record, lost, lambda: misp.find_warninglist(list_id)) is not None:
        record.not_written()
        raise lost or WarninglistError(f"MISP did not delete {current.name} (ID {current.id}): look at it in MISP.")
    record.written(None)


def _find(misp: MispClient, kept: Kept) -> Warninglist | None:
    """Read the list by its ID, else by its name: it may have been deleted and made again, or its ID be unknown."""
    found = misp.find_warninglist(kept.list_id) if kept.list_id else None
    return found or list_named(misp, kept.name)


def _changed_since_planned(wanted: RestorePlan, current: Warninglist | None) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        f"The list {wanted.kept.name} changed while it was to be restored: {in_words(wanted.current, current)}. "
        "Run the command again."
    )
