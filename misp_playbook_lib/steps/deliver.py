"""What a run tells to whom: which services are wanted, whether there is news, what arrived, what is sent later."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from misp_playbook_lib.clients.deadline import beyond_deadline
from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.model.results import ApplyOutcome, Delivery, DeliveryStatus
from misp_playbook_lib.parameters import NOTIFY_ON_CHANGE, PlaybookParameters
from misp_playbook_lib.report import history
from misp_playbook_lib.report.summary import Summary, broken_off
from misp_playbook_lib.report.written import Became
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.state import RunState, StepRecord
from misp_playbook_lib.steps.notify import Message, Notifier, send_all
from misp_playbook_lib.steps.notify_mattermost import MattermostNotifier
from misp_playbook_lib.steps.notify_slack import SlackNotifier
from misp_playbook_lib.steps.notify_thehive import TheHiveNotifier, reference
from misp_playbook_lib.steps.sent import FILE, Sent, SentLog, digest

STEPS: Mapping[str, tuple[str, str]] = {
    "Mattermost": ("EN:2 Mattermost", "Send a summary to Mattermost"),
    "Slack": ("EN:2 Slack", "Send a summary to Slack"),
    "TheHive": ("EN:3 TheHive", "Send an alert to TheHive"),
}
"""Each service's step: code and heading."""

_NOTIFIERS: Mapping[str, Callable[[PlaybookParameters, Settings], Notifier]] = {
    "Mattermost": MattermostNotifier,
    "Slack": SlackNotifier,
    "TheHive": TheHiveNotifier,
}


class Deliveries:
    """The deliveries of one run; a result that was told is not posted again.

    Where an analyst runs the cells, that holds for every run in a kernel, and in JupyterLab and Notebook 7, which name
    the notebook (JPY_SESSION_NAME), for every run in the notebook's folder: restarting and running all posts nothing
    again.

    Args:
        parameters: what the run takes.
        settings: what the services are reached with.
        state: the run's state; deliveries are noted in its facts, messages kept in its folder.

    """

    def __init__(self, parameters: PlaybookParameters, settings: Settings, state: RunState) -> None:
        self._parameters = parameters
        self._settings = settings
        self._state = state
        self._log = SentLog(Path.cwd() / FILE if "JPY_SESSION_NAME" in os.environ and not state.folder else None)

    def use(self, parameters: PlaybookParameters) -> None:
        """Work by other parameters from here on."""
        self._parameters = parameters

    def go_on(self, earlier: "Deliveries") -> None:
        """Remember what an earlier run in this kernel sent."""
        self._log = earlier._log  # noqa: SLF001 - one class

    def preview(self, service: str, summary: Summary) -> tuple[str, tuple[Message, ...]]:
        """Return why a service would not be told, empty if it would, and what it would be told."""
        notifier = _NOTIFIERS[service](self._parameters, self._settings)
        told = self._told(notifier, summary)
        reason = self._not_told(notifier, summary) or (told.detail if told else "")
        if not reason and notifier.missing:
            reason = f"Not configured: {notifier.missing} is not in the vault."
        return reason, _render(notifier, summary) if notifier.wanted else ()

    def deliver(self, service: str, summary: Summary, *, again: bool = False) -> Delivery:
        """Tell one service of a result; once unless `again`. What went wrong is in the delivery and the step's record.

        Raises:
            SettingsError: what was sent before cannot be read, or what was sent cannot be noted.

        """
        with self._state.step(*STEPS[service]) as step:
            notifier = _NOTIFIERS[service](self._parameters, self._settings)
            told = None if again else self._told(notifier, summary)
            delivery = told or self._delivery(notifier, summary, again=again)
            _say(step, delivery)
            if told is None:
                self._state.facts.setdefault("deliveries", {})[service] = asdict(delivery)
            return delivery

    def _delivery(self, notifier: Notifier, summary: Summary, *, again: bool) -> Delivery:
        service = notifier.service
        if reason := self._not_told(notifier, summary):
            return Delivery(service, DeliveryStatus.SKIPPED, reason)
        messages = _render(notifier, summary)
        files = tuple(message.name for message in messages)
        if self._state.folder:
            for message in messages:
                message.write(self._state.folder)
        if self._parameters.dry_run:
            kept = f", rendered as {', '.join(files)}" if self._state.folder else ""
            return Delivery(service, DeliveryStatus.SKIPPED, f"Dry run: nothing is sent{kept}.", files=files)
        if notifier.missing:
            detail = f"Not configured: {notifier.missing} is not in the vault."
            return Delivery(service, DeliveryStatus.FAILED, detail, files=files)
        result, theirs = _result(summary), digest(messages)
        earlier = self._log.find(service, result)
        goes_on = earlier is not None and earlier.messages == theirs and not (again and earlier.whole)
        with beyond_deadline():
            delivery = send_all(notifier, messages, earlier.parts if earlier and goes_on else 0)
        delivery = _with_remedy(notifier, delivery, self._state.run_id if self._state.folder else "")
        whole, unsure = delivery.status is DeliveryStatus.SENT, delivery.status is DeliveryStatus.MAY_HAVE_ARRIVED
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        self._log.note(service, result, Sent(now, theirs, delivery.parts, whole, unsure))
        return delivery

    def _told(self, notifier: Notifier, summary: Summary) -> Delivery | None:
        """Say that a service was told of this result, or may have been, and how to tell it again; None: it was not."""
        service = notifier.service
        earlier = self._log.find(service, _result(summary))
        if earlier is None or not (earlier.whole or earlier.unsure):
            return None
        if earlier.whole:
            once_more = _command(service, force=True)
            detail = f"This result was sent already, at {earlier.at}. To send it again: {once_more}"
            return Delivery(service, DeliveryStatus.SKIPPED, detail)
        if notifier.idempotent:
            return None
        detail = f"Its answer was lost at {earlier.at}"
        unsure = Delivery(service, DeliveryStatus.MAY_HAVE_ARRIVED, detail, earlier.parts)
        return _with_remedy(notifier, unsure)

    def _not_told(self, notifier: Notifier, summary: Summary) -> str:
        """Say why a service is not told, if it is not."""
        if not notifier.wanted:
            return "Not wanted."
        if notifier.chat and self._parameters.tlp == "red" and notifier.max_tlp != "red":
            return "TLP:RED is not for a chat unless chat_max_tlp in the vault is red: nothing is sent."
        if self._parameters.notify_when == NOTIFY_ON_CHANGE and not self._is_news(notifier.service, summary):
            return "Nothing changed since the list's previous run (notify_when is on_change)."
        return ""

    def _is_news(self, service: str, summary: Summary) -> bool:
        """Tell whether a service must hear of this run.

        The list changed, an attribute is hit that the list's previous run did not know, something failed where
        nothing did, or the previous run's message did not arrive for certain.
        """
        applied, matches = summary.applied, summary.matches
        if (
            applied is None
            or matches is None
            or (applied.outcome is not ApplyOutcome.UNCHANGED and applied.plan.changes)
        ):
            return True
        before = self._previous(applied.warninglist.id if applied.warninglist else 0)
        found = {match.attribute.uuid for match in matches.found}
        if before is None:
            return bool(found or summary.failures)
        unsettled = DeliveryStatus(before.deliveries.get(service, DeliveryStatus.SKIPPED)).unsettled
        return unsettled or not found <= before.attributes or bool(summary.failures and not before.problems)

    def _previous(self, list_id: int) -> history.PreviousRun | None:
        server = str(self._state.facts.get("server", {}).get("url", ""))
        folder = self._state.folder
        return history.previous_run(folder.parent.parent, server, list_id) if folder else None


def _render(notifier: Notifier, summary: Summary) -> tuple[Message, ...]:
    """Write a summary for a service, without the matches that it may not get."""
    return notifier.render(summary.up_to(notifier.max_tlp))


def _say(step: StepRecord, delivery: Delivery) -> None:
    if delivery.status.unsettled:
        step.incomplete(delivery.detail)
    elif delivery.status is DeliveryStatus.SKIPPED:
        step.skip(delivery.detail)
    step.summary = delivery.detail


def _command(service: str, run_id: str = "", *, force: bool) -> str:
    """Return what sends a result again: of an archived run, or the cell; `force`: also what may have arrived."""
    if run_id:
        return f"misp-playbook notify {run_id}{' --resend' if force else ''}"
    return f"run.send_to_{service.lower()}(summary{', again=True' if force else ''})"


def _with_remedy(notifier: Notifier, delivery: Delivery, run_id: str = "") -> Delivery:
    """Add to a message that may have arrived what to do about it."""
    if delivery.status is not DeliveryStatus.MAY_HAVE_ARRIVED:
        return delivery
    service = notifier.service
    look = f"{service} recognises a repeat" if notifier.idempotent else f"look in {service}, and if it is not there"
    command = _command(service, run_id, force=not notifier.idempotent)
    advice = f"It may have arrived: {look}, send it again: {command}"
    return replace(delivery, detail=f"{delivery.detail.rstrip('.')}. {advice}")


def _result(summary: Summary) -> str:
    """Return what tells a result from others: what an alert in TheHive goes by, and the list's page."""
    return f"{reference(summary)} {summary.url}"


def tell_of_crash(parameters: PlaybookParameters, settings: Settings, state: RunState, became: Became) -> None:
    """Tell the services what became of the list of a run that broke off, where they were not told of the run itself."""
    told = state.facts.get("deliveries", {})
    error, crash = state.error, state.crash
    summary = broken_off(
        tlp=parameters.tlp,
        run_id=state.run_id,
        server=state.facts.get("server", {}),
        became=became,
        failures=state.problems,
        crash=crash or error,
    )
    deliveries = Deliveries(parameters, settings, state)
    for service in STEPS:
        if service not in told:
            deliveries.deliver(service, summary)
    state.error, state.crash = error, crash  # a step that goes again clears what it left


def deliver_later(
    archive_folder: Path, run_id: str, settings: Settings, *, resend: bool = False
) -> tuple[Delivery, ...]:
    """Send what an archived run could not, from the messages it kept, and note it in its run.json.

    What may have arrived is sent again only with `resend`, or where the service recognises a repeat; else it is
    returned as it is.

    Raises:
        ParameterError: there is no such run.
        SettingsError: the run was a sandbox's and the vault is not, or the other way round.

    """
    folder = history.find_run(archive_folder, run_id)
    manifest = history.read_manifest(folder)
    if bool(manifest.get("sandbox")) != settings.sandbox:
        raise SettingsError(f"Run {run_id} and the vault do not fit: one is a sandbox's, the other is not.")
    parameters = PlaybookParameters.model_validate(manifest["parameters"])
    noted: dict[str, Any] = manifest["facts"].get("deliveries", {})
    delivered = []
    for service, before in noted.items():
        status = DeliveryStatus(before["status"])
        notifier = _NOTIFIERS[service](parameters, settings)
        if status is DeliveryStatus.MAY_HAVE_ARRIVED and not (resend or notifier.idempotent):
            delivered.append(msgspec.convert(before, Delivery))
        elif status.unsettled:
            sent = _later(notifier, folder, before)
            delivered.append(_with_remedy(notifier, sent, run_id))
            noted[service] = asdict(delivered[-1])
            history.write_manifest(folder, manifest)
    return tuple(delivered)


def _later(notifier: Notifier, folder: Path, before: Mapping[str, Any]) -> Delivery:
    files = tuple(before["files"])
    if notifier.missing:
        detail = f"Not configured: {notifier.missing} is not in the vault."
        return Delivery(notifier.service, DeliveryStatus.FAILED, detail, before["parts"], files=files)
    return send_all(notifier, [Message.read(folder, name) for name in files], before["parts"])
