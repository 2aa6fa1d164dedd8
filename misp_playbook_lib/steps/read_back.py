"""See in MISP what became of a request, whatever its answer says; the toggle is such a request."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from misp_playbook_lib.clients.deadline import beyond_deadline
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import ServiceError, WarninglistError
from misp_playbook_lib.model.warninglist import Warninglist
from misp_playbook_lib.report.undo import UndoRecord

Seen = TypeVar("Seen")


def set_enabled(misp: MispClient, current: Warninglist, record: UndoRecord, *, enabled: bool) -> Warninglist:
    """Enable or disable the list and see in the server's index that it is, whatever MISP answered.

    Raises:
        ServiceError: MISP refused, or the index could not be read.
        WarninglistError: it is not so afterwards.

    """
    misp.require_warninglist_permission()
    wanted = replace(current, enabled=enabled)
    record.sending(current, wanted)
    lost: ServiceError | None = None
    try:
        misp.set_warninglist_enabled(current.id, enabled=enabled)
    except ServiceError as error:
        lost = error
    rows = read_back(record, lost, misp.warninglists)
    if not any(row.id == current.id and row.enabled is enabled for row in rows):
        record.not_written()
        done = "enabled" if enabled else "disabled"
        raise lost or WarninglistError(
            f"MISP said it {done} {current.name} (ID {current.id}), but it is not so: look at it in MISP."
        )
    record.written(wanted)
    return wanted


def read_back(record: UndoRecord, lost: ServiceError | None, ask: Callable[[], Seen]) -> Seen:
    """Read back with `ask` what became of a request, whatever the run's deadline is.

    `lost` is why the request's answer did not say, None if it did.

    Raises:
        PlaybookError: it could not be read back, or the request certainly was not carried out.

    """
    try:
        with beyond_deadline():
            return ask()
    except ServiceError as error:
        if lost is None:
            error.more("MISP said that it carried out the request, and that could not be read back.")
            raise
        if lost.not_taken:
            record.not_written()
            raise lost from error
        error.more("MISP did not say whether it carried out the request, and that could not be read back.")
        raise
