"""The run's deadline: no call begins after it, reads end with it, a write and what looks after it do not."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from raw_server import dripping, serving

from misp_playbook_lib.clients import http
from misp_playbook_lib.clients.deadline import beyond_deadline, seconds_left, set_deadline
from misp_playbook_lib.clients.hooks import Hook
from misp_playbook_lib.clients.http import HttpClient
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import DeadlineReached, RateLimited, ServiceUnavailable
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import load_settings

LIST = {"name": "n", "description": "d", "entries": ["a.example"]}


@pytest.fixture(autouse=True)
def _no_deadline_left() -> Iterator[None]:
    yield
    set_deadline(None)


@pytest.fixture
def misp(vault: Path, sandbox: Sandbox) -> MispClient:
    client = MispClient(load_settings(vault, {}))
    sandbox.misp.clear_requests()
    return client


def reaching_the_deadline(connection: socket.socket, over: threading.Event) -> None:
    """Answer in two pieces, with the deadline before the second."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    set_deadline(time.monotonic())
    over.wait(0.2)
    connection.sendall(b"ok")


def test_without_a_deadline_there_is_time_without_end() -> None:
    assert seconds_left() == float("inf")


def test_after_the_deadline_nothing_is_asked_and_nothing_written(misp: MispClient, sandbox: Sandbox) -> None:
    set_deadline(time.monotonic())
    for call in (misp.warninglists, lambda: misp.add_warninglist(LIST), lambda: misp.attributes({"limit": 1})):
        with pytest.raises(DeadlineReached, match=r"deadline was reached .*run_timeout") as caught:
            call()
        assert caught.value.not_taken
    assert sandbox.misp.requests == []


def test_a_read_under_way_ends_with_the_deadline_and_is_not_repeated() -> None:
    client = HttpClient("misp-modules")

    def answer(connection: socket.socket, over: threading.Event) -> None:
        set_deadline(time.monotonic())
        dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ")(connection, over)

    with serving(answer) as server, pytest.raises(DeadlineReached) as caught:
        http.reading(lambda: client.request("GET", server.url, "ask"))
    assert len(server.requests) == 1
    assert isinstance(caught.value, ServiceUnavailable)
    assert not caught.value.not_taken


def test_the_deadline_holds_in_every_thread(misp: MispClient) -> None:
    caught: list[Exception] = []

    def ask() -> None:
        try:
            misp.warninglists()
        except DeadlineReached as error:
            caught.append(error)

    set_deadline(time.monotonic())
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_a_write_begun_before_the_deadline_is_not_cut() -> None:
    with serving(reaching_the_deadline) as server:
        Hook("Mattermost", f"{server.url}/hooks/x").post({"text": "t"})
    assert seconds_left() <= 0
    assert len(server.requests) == 1


def test_what_looks_after_a_write_is_not_cut(misp: MispClient) -> None:
    set_deadline(time.monotonic())
    with beyond_deadline():
        assert misp.warninglists()
    with pytest.raises(DeadlineReached):
        misp.warninglists()


def test_a_wait_that_the_deadline_leaves_no_time_for_is_not_begun(sandbox: Sandbox, misp: MispClient) -> None:
    sandbox.misp.faults.add(path="/warninglists/index", kind="429", seconds=20)
    set_deadline(time.monotonic() + 10)
    with stamina.set_testing(False), pytest.raises(RateLimited):
        misp.warninglists()
    assert len(sandbox.misp.requests) == 1
