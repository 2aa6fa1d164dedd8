"""Tell people: what every service has in common. Each has a file of its own, `notify_<service>.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.model.results import Delivery, DeliveryStatus
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.untrusted import redact


@dataclass(frozen=True, slots=True)
class Message:
    """One post, as it is kept in the run folder: the file's name, its text, and the card beside it, if any.

    It holds no address and no secret, so that it can be sent later.
    """

    name: str
    text: str
    card: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", redact(self.text))
        object.__setattr__(self, "card", redact(self.card))

    def write(self, folder: Path) -> None:
        """Keep the message in a folder."""
        (folder / self.name).write_text(self.text, encoding="utf-8")
        if self.card:
            _card(folder, self.name).write_text(self.card, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, name: str) -> "Message":
        """Read a message that was kept.

        Raises:
            OSError: it is not there.

        """
        card = _card(folder, name)
        return cls(
            name,
            (folder / name).read_text(encoding="utf-8"),
            card.read_text(encoding="utf-8") if card.is_file() else "",
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a service said to a message: in words, the reference it gave, and the page on which it shows it."""

    detail: str = ""
    reference: str = ""
    url: str = ""


class Notifier(Protocol):
    """One service that can be told; made from parameters and settings, it does nothing by itself.

    `wanted` says whether the parameters ask for it, `missing` which setting it lacks, `chat` whether what it is told
    is read by a channel, `max_tlp` up to which TLP level it may get matches, `idempotent` whether it recognises a
    message that it has already.
    """

    service: str
    wanted: bool
    missing: str
    chat: bool
    max_tlp: str
    idempotent: bool

    def render(self, summary: Summary) -> tuple[Message, ...]:
        """Write the summary as messages within the service's limits."""

    def send(self, message: Message) -> Receipt:
        """Send one message.

        Raises:
            ServiceError: it was not accepted.

        """


def send_all(notifier: Notifier, messages: Sequence[Message], arrived: int = 0) -> Delivery:
    """Send messages in their order, from the one behind those that arrived; the first that fails ends it."""
    service, files, total = notifier.service, tuple(message.name for message in messages), len(messages)
    receipt = Receipt()
    for number, message in enumerate(messages[arrived:], arrived):
        try:
            receipt = notifier.send(message)
        except ServiceError as error:
            which = f" Part {number + 1} of {total} failed, {number} arrived." if total > 1 else ""
            status = DeliveryStatus.MAY_HAVE_ARRIVED if error.answer_lost else DeliveryStatus.FAILED
            return Delivery(service, status, f"{error}.{which}", parts=number, files=files)
    detail = receipt.detail or (f"{total} messages." if total > 1 else "A message.")
    return Delivery(
        service,
        DeliveryStatus.SENT,
        detail,
        parts=total,
        reference=receipt.reference,
        files=files,
        url=receipt.url,
    )


def _card(folder: Path, name: str) -> Path:
    stem, _, suffix = name.rpartition(".")
    return folder / f"{stem}-card.{suffix}"
