"""How every service is spoken to: timeouts, mapped errors, no repeated request, proxies and bundles honoured."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from misp_playbook_lib.clients import http
from misp_playbook_lib.clients.http import HttpClient
from misp_playbook_lib.errors import (
    AuthenticationFailed,
    RateLimited,
    RequestRejected,
    ServiceError,
    ServiceUnavailable,
    UnexpectedResponse,
)
from misp_playbook_lib.sandbox import Sandbox


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.fixture
def client() -> HttpClient:
    return HttpClient("misp-modules", timeout=2)


def ask(client: HttpClient, sandbox: Sandbox) -> object:
    return client.json("GET", f"{sandbox.misp_modules_url}/modules", "list the modules")


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"kind": "refusal"}, ServiceUnavailable, "misp-modules: "),
        ({"kind": "reset"}, ServiceUnavailable, "broke off"),
        ({"kind": "502"}, ServiceUnavailable, "server error 502"),
        ({"kind": "401"}, AuthenticationFailed, "the key was refused"),
        ({"kind": "429"}, RateLimited, "asked too often"),
        ({"kind": "redirect"}, UnexpectedResponse, "redirected"),
        ({"kind": "html"}, UnexpectedResponse, "is not JSON"),
        ({"kind": "truncated"}, UnexpectedResponse, "is not JSON"),
    ],
)
def test_each_fault_becomes_its_error_in_one_line(
    client: HttpClient, sandbox: Sandbox, fault: dict[str, str], error: type[ServiceError], words: str
) -> None:
    sandbox.modules.faults.add(path="/modules", times=1, **fault)
    with pytest.raises(error, match=words) as caught:
        ask(client, sandbox)
    assert "\n" not in str(caught.value)
    assert caught.value.service == "misp-modules"
    assert caught.value.operation == "list the modules"


def test_a_service_that_is_down_is_told_as_such(client: HttpClient, sandbox: Sandbox) -> None:
    sandbox.modules.stop()
    with pytest.raises(ServiceUnavailable, match="no connection"):
        ask(client, sandbox)


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ServiceUnavailable, match="no answer in time"):
            HttpClient("MISP", timeout=0.2).request("GET", f"http://127.0.0.1:{port}/", "ask")


def test_retry_after_is_carried(client: HttpClient, sandbox: Sandbox) -> None:
    sandbox.modules.faults.add(path="/modules", kind="429", times=1, seconds=7)
    with pytest.raises(RateLimited) as caught:
        ask(client, sandbox)
    assert caught.value.retry_after == 7


def test_a_request_is_never_repeated_on_its_own(client: HttpClient, sandbox: Sandbox) -> None:
    sandbox.modules.faults.add(path="/modules", kind="502", times=1)
    with pytest.raises(ServiceUnavailable):
        ask(client, sandbox)
    assert len(sandbox.modules.requests) == 1


def test_reading_asks_again_while_the_service_is_unavailable(client: HttpClient, sandbox: Sandbox) -> None:
    sandbox.modules.faults.add(path="/modules", kind="502", times=2)
    assert http.reading(lambda: ask(client, sandbox))
    assert len(sandbox.modules.requests) == 3


def test_reading_does_not_repeat_a_refusal(client: HttpClient, sandbox: Sandbox) -> None:
    sandbox.modules.faults.add(path="/modules", kind="401", times=1)
    with pytest.raises(AuthenticationFailed):
        http.reading(lambda: ask(client, sandbox))
    assert len(sandbox.modules.requests) == 1


def test_a_refusal_carries_the_servers_own_words_by_field(sandbox: Sandbox) -> None:
    client = HttpClient("MISP", headers={"Authorization": sandbox.misp_key, "Accept": "application/json"})
    nameless = {"name": "", "description": "x", "entries": ["a.example"]}
    with pytest.raises(RequestRejected, match="name: Name cannot be empty") as caught:
        client.json("POST", f"{sandbox.misp_url}/warninglists/add", "add a list", json=nameless)
    assert caught.value.errors == {"name": ("Name cannot be empty.",)}


def test_loopback_is_never_proxied_and_other_hosts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert http.proxies("http://127.0.0.1:80/") == {}
    assert http.proxies("https://misp.example/")["https"] == "http://proxy.example:3128"


def test_a_ca_bundle_of_the_system_is_honoured_unless_the_vault_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/system/bundle.pem")
    assert http.verification(True) == "/system/bundle.pem"
    assert http.verification(False) is False
    assert http.verification(tmp_path / "own.pem") == str(tmp_path / "own.pem")


def test_a_netrc_entry_never_replaces_the_key(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client = HttpClient("misp-modules", headers={"Authorization": "the-key"})
    client.request("GET", f"{sandbox.misp_modules_url}/modules", "ask")
    (request,) = sandbox.modules.requests
    assert {name.lower(): value for name, value in request.headers.items()}["authorization"] == "the-key"
