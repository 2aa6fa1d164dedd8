"""Everything that can go wrong, split by what a caller can do about it.

PlaybookError
├── SettingsError               the vault or the environment
│   └── MissingSecret           a required key is not there
├── ParameterError              what the playbook was asked to do
├── ServiceError                a service did not do what it was asked
│   ├── ServiceUnavailable      no connection, a timeout, a 5xx
│   │   └── DeadlineReached     the run's time is over
│   ├── AuthenticationFailed    the key was refused
│   ├── PermissionDenied        the key is good, its user may not
│   ├── RateLimited             asked too often
│   ├── RequestRejected         the server's own words
│   └── UnexpectedResponse      not JSON, or not the promised shape
├── WarninglistError            the list itself
│   ├── NotEditable             a built-in list
│   ├── InvalidEntries          entries that MISP must not get
│   └── ChangedMeanwhile        somebody else wrote
├── StepOrderError              a step that needs an earlier one
└── RunError                    a run failed; its artefacts are archived
"""

import copyreg
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from misp_playbook_lib.untrusted import visible


class PlaybookError(Exception):
    """What happened and what to do about it, in one line: words from outside may be in it, a secret is not."""

    def __init__(self, message: str = "") -> None:
        super().__init__(visible(message))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let every error of the tree get from one process to another, whatever its class was called with."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def more(self, words: str) -> Self:
        """Make it say more, in a sentence of its own, and return it."""
        self.args = (f"{str(self).rstrip('.')}. {words}",)
        return self

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook instead of a traceback (IPython's hook for exceptions)."""
        return [f"{type(self).__name__}: {self}"]


class SettingsError(PlaybookError):
    """The vault or the environment is malformed, unreadable or unsafe."""


class MissingSecret(SettingsError):
    """A key that a step cannot do without is neither in the vault nor in the environment."""


class ParameterError(PlaybookError):
    """One or more parameters are wrong; every problem is named at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(visible, problems))
        super().__init__("; ".join(self.problems))


class ServiceError(PlaybookError):
    """A service did not do what it was asked to.

    Args:
        message: what happened and what to do.
        service: the service's name, as an analyst knows it.
        operation: what it was asked to do.
        status: the HTTP status, or None where there was no answer.

    """

    not_taken = False
    """Whether the service certainly did not carry out what it was asked; otherwise it may have."""

    def __init__(self, message: str, *, service: str, operation: str, status: int | None = None) -> None:
        self.service = service
        self.operation = operation
        self.status = status
        super().__init__(f"{service}: {message}")

    @property
    def answer_lost(self) -> bool:
        """Whether it was asked and its answer did not come, here or to a proxy (504): nobody knows what it did."""
        return not self.not_taken and self.status in {None, 504}


class ServiceUnavailable(ServiceError):
    """No connection, a timeout, or a server error: worth another try later; `not_taken` where nothing was sent."""

    def __init__(
        self, message: str, *, service: str, operation: str, status: int | None = None, not_taken: bool = False
    ) -> None:
        self.not_taken = not_taken
        super().__init__(message, service=service, operation=operation, status=status)


class DeadlineReached(ServiceUnavailable):
    """The run's deadline was reached before the service was asked, or before it answered."""


class AuthenticationFailed(ServiceError):
    """The service does not accept the key."""

    not_taken = True


class PermissionDenied(ServiceError):
    """The key is good, but its user may not do this."""

    not_taken = True


class RateLimited(ServiceError):
    """The service was asked too often; `retry_after` is in seconds, None where it did not say."""

    not_taken = True

    def __init__(
        self,
        message: str,
        *,
        service: str,
        operation: str,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.retry_after = retry_after
        super().__init__(message, service=service, operation=operation, status=status)


class RequestRejected(ServiceError):
    """The service refused what it was sent; `errors` has its own words by field."""

    not_taken = True

    def __init__(
        self,
        message: str,
        *,
        service: str,
        operation: str,
        status: int | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.errors = {field: tuple(map(visible, words)) for field, words in (errors or {}).items()}
        super().__init__(message, service=service, operation=operation, status=status)


class UnexpectedResponse(ServiceError):
    """The answer is not JSON, or not of the promised shape."""


class WarninglistError(PlaybookError):
    """Something about the warninglist itself."""


class NotEditable(WarninglistError):
    """A built-in list: MISP answers an edit with 404 (WarninglistsController::edit)."""


class InvalidEntries(WarninglistError):
    """Entries that MISP would refuse, or would take and never match."""


class ChangedMeanwhile(WarninglistError):
    """Somebody else wrote to the list between reading and writing."""


class StepOrderError(PlaybookError):
    """A step that needs what an earlier one makes; the message names it."""


class RunError(PlaybookError):
    """A run failed; `archive` is the folder with what it left behind."""

    def __init__(self, message: str, *, archive: Path) -> None:
        self.archive = archive
        super().__init__(message)
