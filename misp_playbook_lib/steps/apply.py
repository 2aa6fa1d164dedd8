"""Write a plan to MISP: refuse early, keep what undoes it, send one request, believe only what is read back.

MISP has no locking (40 edits at once ended at version 28 of 41): whoever writes last wins. Runs on one machine take a
lock per list; others are noticed by the version and by what is there afterwards.
"""

from collections.abc import Callable
from dataclasses import replace

import stamina

from misp_playbook_lib.clients.deadline import seconds_left
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import (
    ChangedMeanwhile,
    InvalidEntries,
    NotEditable,
    PlaybookError,
    RequestRejected,
    ServiceError,
    ServiceUnavailable,
    WarninglistError,
)
from misp_playbook_lib.model.changes import changed, in_words
from misp_playbook_lib.model.payload import request_fields
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.results import Applied, ApplyOutcome
from misp_playbook_lib.model.warninglist import Warninglist
from misp_playbook_lib.report.undo import UndoRecord
from misp_playbook_lib.report.written import telling
from misp_playbook_lib.steps.locks import list_lock
from misp_playbook_lib.steps.read_back import read_back

MAX_ENTRIES = 300_000
"""MISP's add and edit fail at 500,000 (one INSERT over MariaDB's max_allowed_packet) and take 300,000."""
ATTEMPTS = 12
"""How often a plan is made and sent again, with growing pauses of chance length, before the run gives up."""
LONGEST = 600.0
"""Seconds after which no other attempt begins."""
LONGEST_PAUSE = 3.0


def check_writable(misp: MispClient, fresh: WarninglistPlan) -> None:
    """Refuse, before MISP is asked, what it would refuse or what would do harm.

    Raises:
        NotEditable: the list ships with MISP, which answers an edit with 404 "Invalid Warninglist.".
        InvalidEntries: no entry at all, or too many.
        WarninglistError: there is no list to remove anything from.
        PermissionDenied: the user's role lacks perm_warninglist.

    """
    if not fresh.changes:
        return
    if fresh.current is not None and fresh.current.default:
        raise NotEditable(
            f"{fresh.name} (ID {fresh.current.id}) ships with MISP and cannot be edited: "
            "give a warninglist_name of your own to create a list beside it."
        )
    if fresh.creates and fresh.action is WarninglistAction.REMOVE:
        raise WarninglistError(f"There is no list {fresh.name} to remove entries from: check warninglist_name.")
    if not fresh.entries and (fresh.creates or fresh.changes_entries):
        if fresh.action is WarninglistAction.REMOVE:
            raise InvalidEntries(
                f"This would remove all {len(fresh.removed):,} entries of {fresh.name}, and MISP keeps no empty list: "
                "disable or delete it in MISP instead."
            )
        raise InvalidEntries(
            f"The list {fresh.name} would have no entry, which MISP refuses: give warninglist_values at least one."
        )
    if len(fresh.entries) > MAX_ENTRIES:
        raise InvalidEntries(
            f"The list {fresh.name} would have {len(fresh.entries):,} entries, more than the {MAX_ENTRIES:,} "
            "that MISP takes in one request: split it into several lists."
        )
    misp.require_warninglist_permission()


def apply(misp: MispClient, planned: WarninglistPlan, record: UndoRecord, *, dry_run: bool = False) -> Applied:
    """Plan again against the list as it is, create or update it, and see that it is as planned.

    While others write, append and remove plan again against what is there and say so, a replacement stops.

    Raises:
        ChangedMeanwhile: somebody else wrote, and what was wanted is not there or was not to be written over theirs.
        PlaybookError: it was refused before or by MISP, or could not be read back. Each says what became of the write.

    """

    def replan(current: Warninglist | None) -> WarninglistPlan:
        fresh = plan(planned.spec, current, planned.action)
        if planned.action is WarninglistAction.REPLACE and fresh.changes and changed(planned.current, current):
            raise ChangedMeanwhile(
                f"The list {planned.name} changed since the plan to replace its entries was made: "
                f"{in_words(planned.current, current)}. Look at it in MISP, plan again (IN:2 to IN:4), then apply."
            )
        check_writable(misp, fresh)
        return fresh

    record.begin()
    with telling(record, planned.name):
        if dry_run:
            current = current_list(misp, planned)
            fresh = replan(current)
            return Applied(fresh, ApplyOutcome.NOT_WRITTEN if fresh.changes else ApplyOutcome.UNCHANGED, current)
        with list_lock(misp.server.url, planned.name):
            known = unchanged(misp, planned.current)
            return carry_out(misp, lambda: current_list(misp, planned), replan, record, known)


def carry_out(
    misp: MispClient,
    find: Callable[[], Warninglist | None],
    replan: Callable[[Warninglist | None], WarninglistPlan],
    record: UndoRecord,
    known: Warninglist | None = None,
) -> Applied:
    """Read with `find`, plan with `replan`, write, read back; again while others write or MISP fails.

    `known` is the list where it need not be read before the first attempt.

    Raises:
        ChangedMeanwhile: see `apply`.
        PlaybookError: what `find` and `replan` raise, and what MISP refused.

    """
    retrying = stamina.retry(
        on=lambda error: isinstance(error, _Again) and seconds_left() > LONGEST_PAUSE,
        attempts=ATTEMPTS,
        timeout=LONGEST,
        wait_initial=0.1,
        wait_max=LONGEST_PAUSE,
        wait_jitter=0.5,
    )
    try:
        return retrying(_Writing(misp, find, replan, record, known).attempt)()
    except _Again as again:
        raise again.error from again.__cause__


class _Again(Exception):  # noqa: N818 - it asks for another attempt
    """Another attempt may end well; `error` says why this one did not."""

    def __init__(self, error: PlaybookError) -> None:
        self.error = error
        super().__init__(str(error))


class _Writing:
    """The attempts of one write, and what is known from the earlier ones."""

    def __init__(
        self,
        misp: MispClient,
        find: Callable[[], Warninglist | None],
        replan: Callable[[Warninglist | None], WarninglistPlan],
        record: UndoRecord,
        known: Warninglist | None,
    ) -> None:
        self._known = known
        self._misp = misp
        self._find = find
        self._replan = replan
        self._record = record
        self._sent: WarninglistPlan | None = None
        self._others: str = ""
        self._overwritten: str = ""
        self._stored_otherwise: str = ""
        self._unaccounted = 0

    def attempt(self) -> Applied:
        """Read, plan, write and read back once.

        Raises:
            _Again: it did not come to rest, and may at the next attempt.
            PlaybookError: it will not.

        """
        current, self._known = self._known or self._find(), None
        fresh = self._replan(current)
        if not fresh.changes:
            return self._settled(self._sent or fresh, current)
        self._record.planned(fresh)
        self._record.sending(current, fresh.result)
        self._sent, self._stored_otherwise = fresh, ""
        version, lost = self._send(fresh)
        written = read_back(self._record, lost, self._find)
        if lost is not None and not _moved(current, written):
            self._unaccounted += 1
            self._record.not_written()
            raise _Again(lost) from lost
        if written is None:
            raise ChangedMeanwhile(f"The list {fresh.name} is gone after writing: somebody else deleted or renamed it.")
        planned = fresh.result
        ours, differs = self._ours(written.version, planned), changed(planned, written)
        if current is not None and not self._ours(written.version if version is None else version, planned):
            self._overwritten = f"version {current.version} → {written.version}"
        elif not ours:
            self._others = f"version {planned.version} → {written.version}"
        if ours and not differs:
            return self._settled(fresh, written)
        words = (
            f"After writing, the list {fresh.name} (ID {written.id}) is not as planned: {in_words(planned, written)}. "
            f"Somebody else may be writing to it; as it was before, it is in {self._record.before}. "
            "Look at it in MISP and run again."
        )
        if fresh.action is WarninglistAction.REPLACE and differs:
            raise ChangedMeanwhile(words)
        if ours and _adds_alone(planned, written):
            self._others = f"both to version {written.version}"
        elif ours:
            self._stored_otherwise = words
        raise _Again(ChangedMeanwhile(words))

    def _ours(self, version: int, planned: Warninglist) -> bool:
        """Tell whether this run's requests alone explain a version: one whose answer was lost may come late."""
        return planned.version <= version <= planned.version + self._unaccounted

    def _send(self, fresh: WarninglistPlan) -> tuple[int | None, ServiceError | None]:
        """Send the one request; return the version MISP answered, or what became of the answer.

        Raises:
            _Again: a list of that name appeared meanwhile, or MISP carried out an earlier request late.
            ServiceError: MISP refused.

        """
        try:
            if fresh.current is None:
                self._misp.add_warninglist(request_fields(fresh))
                return None, None
            return self._misp.edit_warninglist(fresh.current.id, request_fields(fresh)), None
        except ServiceError as error:
            if isinstance(error, ServiceUnavailable) or not error.not_taken:
                return None, error
            self._record.not_written()
            taken = isinstance(error, RequestRejected) and "name" in error.errors
            if fresh.creates and taken and self._find() is not None:
                raise _Again(error) from error
            raise

    def _settled(self, fresh: WarninglistPlan, written: Warninglist | None) -> Applied:
        """Return the list as it came to rest, and what others wrote to it meanwhile.

        Raises:
            ChangedMeanwhile: MISP stored something else, or a replacement overwrote what others wrote.

        """
        if written is not None and self._sent is None:
            self._record.found(written)
        if self._sent is None or written is None:
            return Applied(fresh, ApplyOutcome.UNCHANGED, written)
        left = self._sent.result
        self._record.written(replace(left, id=written.id) if changed(left, written) else written)
        if self._stored_otherwise:
            raise ChangedMeanwhile(self._stored_otherwise)
        others = []
        if self._overwritten:
            others.append(
                f"Somebody else wrote to it at the same time ({self._overwritten}), and may have been overwritten: let "
                f"them look at it in MISP. As it was before, it is in {self._record.before}."
            )
            if self._sent.action is WarninglistAction.REPLACE:
                raise ChangedMeanwhile(f"The list {fresh.name} holds what was planned. {others[0]}")
        elif self._others:
            others.append(f"Somebody else wrote to it at the same time ({self._others}).")
        if left.enabled and not written.enabled:
            others.append("Somebody else disabled it meanwhile.")
        outcome = ApplyOutcome.CREATED if self._sent.creates else ApplyOutcome.UPDATED
        return Applied(fresh, outcome, written, " ".join(others))


def current_list(misp: MispClient, planned: WarninglistPlan) -> Warninglist | None:
    """Read the list that a plan is about as it is, None if there still is none.

    Raises:
        WarninglistError: it is gone, or there are several of its name.

    """
    if planned.current is not None:
        return misp.warninglist(planned.current.id)
    return list_named(misp, planned.name)


def unchanged(misp: MispClient, known: Warninglist | None) -> Warninglist | None:
    """Return the list as it is known if the index says that it still is so: a full view takes as long as half a write.

    Edits at the very same time can end at one version; MISP then has lost one of them already, whatever is read here.
    """
    for row in misp.warninglists() if known else ():
        if known and (row.id, row.name, row.version, row.entry_count) == (
            known.id,
            known.name,
            known.version,
            len(known.entries),
        ):
            return replace(known, enabled=row.enabled)
    return None


def list_named(misp: MispClient, name: str) -> Warninglist | None:
    """Read the list of exactly this name, None if there is none.

    Raises:
        WarninglistError: there are several.

    """
    found = [row.id for row in misp.warninglists() if row.name == name]
    if len(found) > 1:
        ids = ", ".join(map(str, sorted(found)))
        raise WarninglistError(
            f"There are several lists named {name} (IDs {ids}): somebody else may have created one at the same time. "
            "Delete one in MISP, or give the warninglist_id of the other."
        )
    return misp.warninglist(found[0]) if found else None


def append_again(misp: MispClient, applied: Applied, record: UndoRecord) -> str:
    """Look whether what was appended still stands, append it again if not, and say so; empty if it stands.

    Raises:
        PlaybookError: the list is gone, or see `apply`.

    """
    if applied.plan.action is not WarninglistAction.APPEND or applied.warninglist is None:
        return ""
    gone = plan(applied.plan.spec, misp.warninglist(applied.warninglist.id), WarninglistAction.APPEND).added
    if not gone:
        return ""
    others = apply(misp, applied.plan, record).others
    words = f"{len(gone):,} entries had been overwritten by somebody else and were appended again."
    return f"{words} {others}".strip()


def _adds_alone(planned: Warninglist, written: Warninglist) -> bool:
    """Tell whether a list differs from the one planned by entries of other values alone."""
    values = {entry.value for entry in planned.entries}
    more = tuple(entry for entry in written.entries if entry.value in values)
    return not changed(planned, replace(written, entries=more))


def _moved(before: Warninglist | None, after: Warninglist | None) -> bool:
    return (before and before.version) != (after and after.version) or bool(changed(before, after))
