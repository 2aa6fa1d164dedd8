"""Whether a message arrived: the service's own word says so, and where its answer was lost, nobody knows."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from click.testing import CliRunner, Result
from summaries import match, summary
from test_notify_deliver import Run, unchanged

from misp_playbook_lib.cli import main
from misp_playbook_lib.model.results import Delivery, DeliveryStatus
from misp_playbook_lib.report import history
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.faults import Kind
from misp_playbook_lib.sandbox.server import Response, Service
from misp_playbook_lib.settings import Settings, load_settings
from misp_playbook_lib.state import StepStatus
from misp_playbook_lib.steps.deliver import STEPS, Deliveries, deliver_later

CHATS = ("Mattermost", "Slack")


@pytest.fixture
def settings(vault: Path) -> Settings:
    return load_settings(vault, {})


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "reports"


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def service_of(sandbox: Sandbox, service: str) -> Service:
    found: Service = getattr(sandbox, service.lower())
    return found


def told(run: Run, service: str) -> Delivery:
    return run.deliveries.deliver(service, summary())


def arrived(sandbox: Sandbox, service: str) -> int:
    return len(sandbox.inbox()[service.lower()])


def notify(archive: Path, vault: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["notify", "run-1", "--vault", str(vault), "--archive", str(archive), *arguments])


@pytest.mark.parametrize("service", STEPS)
@pytest.mark.parametrize("body", ["null", "", "ok!", "true", "{}", "[]", '{"_id": null}', "<html>Log in</html>"])
def test_what_does_not_answer_in_the_services_own_words_has_not_taken_the_message(
    archive: Path, settings: Settings, sandbox: Sandbox, service: str, body: str
) -> None:
    service_of(sandbox, service).handle = lambda _: Response(200, body)  # type: ignore[method-assign]
    run = Run(archive, settings, "run-1")
    delivery = told(run, service)
    assert delivery.status.unsettled
    assert delivery.status is DeliveryStatus.FAILED or not body
    assert run.state.steps[STEPS[service][0]].status is StepStatus.INCOMPLETE
    assert run.state.problems


@pytest.mark.parametrize("service", STEPS)
@pytest.mark.parametrize("kind", ["lost", "reset", "refusal", "504"])
def test_a_message_whose_answer_was_lost_may_have_arrived(
    archive: Path, settings: Settings, sandbox: Sandbox, service: str, kind: Kind
) -> None:
    service_of(sandbox, service).faults.add(kind=kind, times=1)
    run = Run(archive, settings, "run-1")
    delivery = told(run, service)
    assert delivery.status is DeliveryStatus.MAY_HAVE_ARRIVED
    assert run.state.problems
    assert f"It may have arrived: {'look in ' if service in CHATS else ''}{service}" in delivery.detail
    force = " --resend" if service in CHATS else ""
    assert delivery.detail.endswith(f"misp-playbook notify run-1{force}")


@pytest.mark.parametrize("service", CHATS)
def test_of_a_word_that_is_cut_off_the_message_may_have_arrived(
    archive: Path, settings: Settings, sandbox: Sandbox, service: str
) -> None:
    service_of(sandbox, service).faults.add(kind="truncated", times=1)
    assert told(Run(archive, settings, "run-1"), service).status is DeliveryStatus.MAY_HAVE_ARRIVED


@pytest.mark.parametrize("service", STEPS)
@pytest.mark.parametrize("kind", ["401", "403", "429", "500", "502", "redirect", "html", "shape"])
def test_what_was_refused_or_answered_by_another_did_not_arrive(
    archive: Path, settings: Settings, sandbox: Sandbox, service: str, kind: Kind
) -> None:
    service_of(sandbox, service).faults.add(kind=kind)
    assert told(Run(archive, settings, "run-1"), service).status is DeliveryStatus.FAILED


@pytest.mark.parametrize("service", STEPS)
def test_without_a_connection_it_did_not_arrive(
    archive: Path, settings: Settings, sandbox: Sandbox, service: str
) -> None:
    service_of(sandbox, service).stop()
    assert told(Run(archive, settings, "run-1"), service).status is DeliveryStatus.FAILED


@pytest.mark.parametrize("service", CHATS)
def test_notify_names_what_may_have_arrived_and_sends_it_again_with_resend_alone(
    archive: Path, settings: Settings, sandbox: Sandbox, vault: Path, service: str
) -> None:
    service_of(sandbox, service).faults.add(kind="lost", times=1)
    run = Run(archive, settings, "run-1")
    told(run, service)
    run.archive()
    assert arrived(sandbox, service) == 1

    for _ in range(2):
        named = notify(archive, vault)
        assert named.exit_code == 4
        assert named.output.startswith(f"{service}: may have arrived. ")
        assert named.output.endswith("misp-playbook notify run-1 --resend\n")
        assert arrived(sandbox, service) == 1

    again = notify(archive, vault, "--resend")
    assert (again.exit_code, again.output) == (0, f"{service}: sent. A message.\n")
    assert arrived(sandbox, service) == 2
    assert "nothing left to deliver" in notify(archive, vault, "--resend").output


def test_thehive_recognises_a_repeat_which_has_then_arrived(
    archive: Path, settings: Settings, sandbox: Sandbox, vault: Path
) -> None:
    sandbox.thehive.faults.add(kind="lost", times=1)
    run = Run(archive, settings, "run-1")
    told(run, "TheHive")
    run.archive()
    again = notify(archive, vault)
    assert again.exit_code == 0
    assert "TheHive: sent. The same result was reported before as alert" in again.output
    assert arrived(sandbox, "TheHive") == 1
    noted = history.read_manifest(run.final)["facts"]["deliveries"]["TheHive"]
    assert (noted["status"], noted["reference"]) == ("sent", sandbox.thehive.alerts[0]["_id"])


def test_a_repeat_whose_answer_is_lost_too_may_have_arrived(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    sandbox.slack.faults.add(kind="lost", times=2)
    run = Run(archive, settings, "run-1")
    told(run, "Slack")
    run.archive()
    [delivery] = deliver_later(archive, "run-1", settings, resend=True)
    assert delivery.status is DeliveryStatus.MAY_HAVE_ARRIVED
    assert delivery.detail.endswith("misp-playbook notify run-1 --resend")


def test_resend_goes_on_with_the_part_whose_answer_was_lost(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    sandbox.mattermost.faults.add(kind="lost", after=1, times=1)
    run = Run(archive, settings, "run-1")
    large = summary([match(number) for number in range(300)])
    delivery = run.deliveries.deliver("Mattermost", large)
    assert (delivery.status, delivery.parts) == (DeliveryStatus.MAY_HAVE_ARRIVED, 1)
    run.archive()
    deliver_later(archive, "run-1", settings, resend=True)
    texts = [post["text"] for post in sandbox.mattermost.posts]
    numbers = [1, 2, *range(2, len(delivery.files) + 1)]
    assert [f"part {n} of {len(delivery.files)}" in text for n, text in zip(numbers, texts, strict=True)]


def test_a_cell_run_again_sends_what_may_have_arrived_only_if_told_to(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    run = Run(archive, settings, "run-1")
    run.state.folder = None
    run.deliveries = Deliveries(run.parameters, settings, run.state)
    sandbox.slack.faults.add(kind="lost", times=1)
    first = told(run, "Slack")
    for delivery in (first, told(run, "Slack")):
        assert delivery.status is DeliveryStatus.MAY_HAVE_ARRIVED
        assert delivery.detail.endswith(
            "look in Slack, and if it is not there, send it again: run.send_to_slack(summary, again=True)"
        )
        assert run.state.problems
    assert run.deliveries.preview("Slack", summary())[0].startswith("Its answer was lost at 20")
    assert arrived(sandbox, "Slack") == 1
    assert run.deliveries.deliver("Slack", summary(), again=True).status is DeliveryStatus.SENT
    assert run.state.problems == ()
    assert arrived(sandbox, "Slack") == 2


def test_the_next_run_tells_where_the_one_before_may_not_have(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    given = {"notify_when": "on_change", "send_to_slack": True}
    sandbox.slack.faults.add(kind="lost", times=1)
    first = Run(archive, settings, "run-1", **given)
    first.tell(unchanged([match(1)]))
    first.archive()
    second = Run(archive, settings, "run-2", **given)
    assert second.tell(unchanged([match(1)])) is DeliveryStatus.SENT


def test_a_run_archived_with_an_unsure_delivery_says_so_in_run_json(
    archive: Path, settings: Settings, sandbox: Sandbox
) -> None:
    sandbox.slack.faults.add(kind="lost", times=1)
    run = Run(archive, settings, "run-1")
    told(run, "Slack")
    run.archive()
    noted = json.loads((run.final / "run.json").read_text())["facts"]["deliveries"]["Slack"]
    assert noted["status"] == "may have arrived"
