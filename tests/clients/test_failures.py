"""Every failure of every service is one line that says what happened and what to do."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina

from misp_playbook_lib.clients.failures import SERVICES, Failure, failed, remedy
from misp_playbook_lib.clients.mattermost import MattermostClient
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.clients.slack import SlackClient
from misp_playbook_lib.clients.thehive import TheHiveClient
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.faults import Kind
from misp_playbook_lib.settings import Settings, load_settings

SETTINGS = {*Settings.model_fields, *PlaybookParameters.model_fields, "run_timeout"}
ALERT = {"type": "t", "source": "s", "sourceRef": "r", "title": "t", "description": "d"}
KINDS: tuple[Kind, ...] = (
    *("refusal", "reset", "lost", "redirect", "401", "403"),
    *("429", "500", "502", "504", "truncated", "shape", "html"),
)


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def calls(sandbox: Sandbox, vault: Path) -> dict[str, Callable[[], object]]:
    """Return a read and a write of every service."""
    misp = MispClient(load_settings(vault, {}))
    modules = MispModulesClient(sandbox.misp_modules_url)
    fields = {"name": "n", "description": "d", "entries": ["a.example"]}
    return {
        "MISP reads": misp.warninglists,
        "MISP searches": lambda: misp.attributes({"limit": 1}),
        "MISP writes": lambda: misp.add_warninglist(fields),
        "MISP enables": lambda: misp.set_warninglist_enabled(1, enabled=True),
        "misp-modules lists": modules.modules,
        "misp-modules looks up": lambda: modules.query("shodan", Indicator("ip-dst", "198.51.100.1"), {}),
        "Mattermost posts": lambda: MattermostClient(sandbox.mattermost.hook, "").post("text"),
        "Slack posts": lambda: SlackClient(sandbox.slack.hook).post({"text": "t"}),
        "TheHive adds": lambda: TheHiveClient(sandbox.thehive.url, "key").add_alert(ALERT),
    }


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("failure", Failure)
def test_a_failure_is_one_line_with_a_remedy_of_settings_that_exist(failure: Failure, service: str) -> None:
    error = failed(failure, service, "do it", "its\nown words")
    todo = remedy(failure, service)
    assert str(error).startswith(f"{service}: ")
    assert str(error).endswith(f"; {todo}")
    assert "do it" in str(error)
    assert str(error).isprintable()
    assert not re.search(r"[{}]", str(error))
    assert re.match(r"(is this|check|correct|try|wait|run|name|ask|look|no redirect|a proxy)", todo)
    assert set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", todo)) <= SETTINGS


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_of_every_call_has_a_remedy(
    calls: dict[str, Callable[[], object]], sandbox: Sandbox, kind: Kind
) -> None:
    for service in (sandbox.misp, sandbox.modules, sandbox.mattermost, sandbox.slack, sandbox.thehive):
        service.faults.add(kind=kind, seconds=99)
    told = 0
    for name, call in calls.items():
        try:
            call()
        except ServiceError as error:
            told += 1
            words, service = str(error), error.service
            assert name.startswith(service)
            assert "\n" not in words
            assert any(words.endswith(f"; {remedy(failure, service)}") for failure in Failure), (name, words)
    assert told >= 4, kind


@pytest.mark.parametrize(
    ("failure", "not_taken"),
    [
        (Failure.RATE_LIMITED, True),
        (Failure.KEY_REFUSED, True),
        (Failure.NOT_ALLOWED, True),
        (Failure.REFUSED, True),
        (Failure.SERVER_ERROR, False),
        (Failure.TIMEOUT, False),
        (Failure.BROKEN_OFF, False),
        (Failure.NOT_JSON, False),
        (Failure.REDIRECTED, False),
    ],
)
def test_an_error_says_whether_the_request_was_certainly_not_taken(failure: Failure, not_taken: bool) -> None:
    assert failed(failure, "MISP", "warninglists/add").not_taken is not_taken


def test_a_service_that_was_never_reached_has_taken_nothing(sandbox: Sandbox) -> None:
    sandbox.mattermost.stop()
    with pytest.raises(ServiceError) as caught:
        MattermostClient(sandbox.mattermost.hook, "").post("text")
    assert caught.value.not_taken
