"""What the sandbox's tests share."""

import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from misp_playbook_lib.sandbox.misp import Misp

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def misp() -> Iterator[Misp]:
    """A MISP without events and without lists but the built-in ones."""
    with Misp(demo=False) as service:
        yield service


@pytest.fixture
def ask(misp: Misp) -> Iterator[Ask]:
    """Ask the MISP and return status and JSON."""
    connection = HTTPConnection("127.0.0.1", misp.port, timeout=30)

    def asking(path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        headers["Authorization"] = misp.key if key is None else key
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data else None

    yield asking
    connection.close()
