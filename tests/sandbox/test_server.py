"""The base of every stand-in: sockets, request log, faults on purpose."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from misp_playbook_lib.sandbox.faults import Kind
from misp_playbook_lib.sandbox.server import LOGGED_BODY, Request, Response, Service


class Echo(Service):
    """Answers with what it got."""

    name = "echo"

    def __init__(self, port: int = 0) -> None:
        self.handled: list[str] = []
        super().__init__(port)

    def handle(self, request: Request) -> Response:
        self.handled.append(request.path)
        return Response(200, {"path": request.path, "body": request.body.decode()})


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as service:
        yield service


def ask(service: Service, path: str = "/", body: str = "hello") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_an_answer_tells_what_was_asked(echo: Echo) -> None:
    status, headers, body = ask(echo, "/a?b=c")
    assert (status, json.loads(body)) == (200, {"path": "/a?b=c", "body": "hello"})
    assert headers["content-type"] == "application/json"


def test_one_connection_carries_many_requests(echo: Echo) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", echo.port, timeout=5)
    sockets = set()
    for number in range(3):
        connection.request("GET", f"/{number}")
        sockets.add(connection.sock)
        assert connection.getresponse().read()
    connection.close()
    assert len(sockets) == 1


def test_the_log_keeps_what_arrived_and_how_it_was_answered(echo: Echo) -> None:
    ask(echo, "/a%20b?q=1&q=2", '{"x": [1]}')
    (seen,) = echo.requests
    assert (seen.service, seen.method, seen.path, seen.status) == ("echo", "POST", "/a%20b?q=1&q=2", 200)
    assert (seen.route, seen.query, seen.json) == ("/a b", {"q": "2"}, {"x": [1]})
    echo.clear_requests()
    assert echo.requests == []


def test_a_long_body_is_logged_by_its_length_alone(echo: Echo) -> None:
    ask(echo, body="x" * (LOGGED_BODY + 1))
    (seen,) = echo.requests
    assert (seen.body, seen.length) == (b"", LOGGED_BODY + 1)


def test_a_stopped_service_refuses_connections_and_comes_back_on_its_port(echo: Echo) -> None:
    port = echo.port
    echo.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(echo)
    echo.start()
    assert echo.port == port
    assert ask(echo)[0] == 200


def test_stopping_leaves_no_thread_behind_even_with_an_open_connection() -> None:
    before = set(threading.enumerate())
    with Echo() as echo, socket.create_connection(("127.0.0.1", echo.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert idle.recv(10)
        assert set(threading.enumerate()) > before
        echo.stop()
        assert set(threading.enumerate()) == before


def test_a_given_port_is_taken() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Echo(port) as service:
        assert service.url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("401", 401, "application/json"),
        ("403", 403, "application/json"),
        ("429", 429, "application/json"),
        ("500", 500, "text/html; charset=UTF-8"),
        ("502", 502, "text/html; charset=UTF-8"),
        ("504", 504, "text/html; charset=UTF-8"),
        ("redirect", 302, "text/html; charset=UTF-8"),
        ("html", 200, "text/html; charset=UTF-8"),
        ("shape", 200, "application/json"),
    ],
)
def test_a_fault_answers_in_the_services_place(echo: Echo, kind: Kind, status: int, content_type: str) -> None:
    echo.faults.add("/a", kind, times=1)
    answered, headers, body = ask(echo, "/a")
    assert (answered, headers["content-type"]) == (status, content_type)
    assert b"hello" not in body
    assert [seen.status for seen in echo.requests] == [status]
    assert json.loads(ask(echo, "/a")[2])["body"] == "hello"


def test_too_many_requests_say_when_to_come_back(echo: Echo) -> None:
    echo.faults.add(kind="429", seconds=7)
    assert ask(echo)[1]["retry-after"] == "7"


def test_a_redirect_leads_to_the_login(echo: Echo) -> None:
    echo.faults.add(kind="redirect")
    assert ask(echo)[1]["location"] == "/users/login"


def test_a_refusal_closes_before_the_answer(echo: Echo) -> None:
    echo.faults.add(kind="refusal")
    with pytest.raises(http.client.RemoteDisconnected):
        ask(echo)
    assert [seen.status for seen in echo.requests] == [0]
    assert echo.handled == []


def test_a_lost_answer_is_carried_out_and_reset(echo: Echo) -> None:
    echo.faults.add(kind="lost", times=1)
    with pytest.raises(ConnectionResetError):
        ask(echo, "/write")
    assert echo.handled == ["/write"]


def test_a_reset_cuts_the_answer_in_its_middle(echo: Echo) -> None:
    echo.faults.add(kind="reset")
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        ask(echo)


def test_a_truncated_answer_is_whole_http_and_broken_json(echo: Echo) -> None:
    echo.faults.add(kind="truncated")
    status, headers, body = ask(echo)
    assert (status, int(headers["content-length"])) == (200, len(body))
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)


def test_a_fault_strikes_after_and_as_often_as_it_was_told(echo: Echo) -> None:
    echo.faults.add("/a", "500", times=2, after=1)
    assert [ask(echo, path)[0] for path in ("/a", "/b", "/a", "/a", "/a")] == [200, 200, 500, 500, 200]


def test_cleared_faults_are_gone(echo: Echo) -> None:
    echo.faults.add(kind="500")
    echo.faults.clear()
    assert ask(echo)[0] == 200


def test_an_unknown_fault_is_refused(echo: Echo) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        echo.faults.add(kind="meteor")  # type: ignore[arg-type]
