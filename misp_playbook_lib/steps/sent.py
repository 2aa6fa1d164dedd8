"""What was told to whom: a result is posted once, also where PR:1 ran again or the kernel was restarted in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.report.archive import write_whole
from misp_playbook_lib.steps.locks import lock_of
from misp_playbook_lib.steps.notify import Message

FILE = "deliveries.json"
"""Beside the notebook, so that the same result is told once in a case, and again in another."""
LOCK_SECONDS = 30.0
"""How long to wait for another kernel that notes what it sent; it takes milliseconds."""
_POLL = 0.005


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a service was told of a result by the moment `at`: `parts` of the messages with this digest arrived.

    `unsure` says that the next part may have arrived, too.
    """

    at: str
    messages: str
    parts: int
    whole: bool
    unsure: bool = False


class SentLog:
    """Remembers what was sent.

    Args:
        path: the file that tells later kernels of it; None: it is forgotten with this object.

    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._sent: dict[str, Sent] = {}

    def find(self, service: str, result: str) -> Sent | None:
        """Return how far a service was told of a result, None if it was not.

        Raises:
            SettingsError: the file cannot be read.

        """
        self._read()
        return self._sent.get(_key(service, result))

    def note(self, service: str, result: str, sent: Sent) -> None:
        """Remember how far a service was told of a result.

        Raises:
            SettingsError: the file cannot be read or written.

        """
        if self._path is None:
            self._sent[_key(service, result)] = sent
            return
        try:
            with lock_of(str(self._path)).acquire(LOCK_SECONDS, _POLL):
                self._read()
                self._sent[_key(service, result)] = sent
                write_whole(self._path, msgspec.json.format(msgspec.json.encode(self._sent)))
        except OSError as error:
            raise SettingsError(f"What was sent cannot be noted in {self._path}: {error.strerror or error}.") from None

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            self._sent = msgspec.json.decode(self._path.read_bytes(), type=dict[str, Sent])
        except FileNotFoundError:
            self._sent = {}
        except (OSError, msgspec.MsgspecError) as error:
            raise SettingsError(f"What was sent cannot be read from {self._path} ({error}): delete it.") from None


def digest(messages: Sequence[Message]) -> str:
    """Return what tells these messages from others."""
    return sha256(msgspec.json.encode(messages)).hexdigest()


def _key(service: str, result: str) -> str:
    return f"{service} {result}"
