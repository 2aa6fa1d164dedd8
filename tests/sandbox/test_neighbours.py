"""The sandbox as a whole: where its services are, and what its receivers got."""

import ast
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.slack import Slack


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def vault(sandbox: Sandbox) -> dict[str, Any]:
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(sandbox.vault()).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def test_the_inbox_shows_what_each_receiver_got(sandbox: Sandbox) -> None:
    keys = sandbox.addresses()
    assert requests.get(keys["inbox_url"], timeout=10).json() == {"mattermost": [], "slack": [], "thehive": []}
    alert = {"type": "t", "source": "s", "sourceRef": "r", "title": "title", "description": "d"}
    alert |= {"observables": [{"dataType": "ip", "data": "192.0.2.1"}]}
    bearer = {"Authorization": f"Bearer {keys['thehive_key']}"}
    requests.post(keys["mattermost_hook"], json={"text": "to Mattermost"}, timeout=10)
    requests.post(keys["slack_hook"], json={"text": "to Slack"}, timeout=10)
    requests.post(f"{keys['thehive_url']}/api/v1/alert", json=alert, headers=bearer, timeout=10)
    inbox = requests.get(keys["inbox_url"], timeout=10).json()
    assert inbox == sandbox.inbox()
    assert [post["text"] for post in inbox["mattermost"]] == ["to Mattermost"]
    assert inbox["slack"] == [{"text": "to Slack"}]
    assert [(each["title"], each["observables"][0]["data"]) for each in inbox["thehive"]] == [("title", "192.0.2.1")]


def test_the_vault_names_every_service_and_a_key_that_each_takes(sandbox: Sandbox) -> None:
    keys = vault(sandbox)
    shared = keys.keys() & sandbox.addresses().keys()
    assert {name: keys[name] for name in shared} == {name: sandbox.addresses()[name] for name in shared}
    attribute = {"type": "ip-src", "uuid": "5a1c5a6d-4d8c-4c0a-9d2d-000000000001", "value": "158.255.208.168"}
    for module, name in (("virustotal_public", "virustotal_apikey"), ("shodan", "shodan_apikey")):
        asked = {"module": module, "attribute": attribute, "config": {"apikey": keys[name]}}
        assert "results" in requests.post(f"{sandbox.misp_modules_url}/query", json=asked, timeout=10).json()


def free_ports(first: int) -> int:
    """The first of six ports in a row that nobody uses, below those that the system hands out."""

    def is_free(port: int) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) != 0

    return next(port for port in range(first, 32_000, 6) if all(map(is_free, range(port, port + 6))))


def test_the_services_stand_beside_each_other_on_the_ports_asked_for() -> None:
    port = free_ports(20_000)
    with Sandbox(port) as beside:
        assert [service.port for service in beside.services] == list(range(port, port + 6))


def test_a_port_that_is_taken_leaves_nothing_running() -> None:
    port = free_ports(26_000)
    with Slack(port + 3):
        with pytest.raises(OSError, match="Address already in use"):
            Sandbox(port)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/", timeout=10)
    with Sandbox(port) as beside:
        assert beside.misp.port == port
