"""The base of every stand-in: one service on one loopback socket, its request log and its faults."""

import contextlib
import dataclasses
import json
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from misp_playbook_lib.sandbox.faults import CARRIED_OUT, Fault, Faults

HOST = "127.0.0.1"
LOGGED_BODY = 1_000_000
"""A longer body is logged by its length alone (bytes)."""
LOGGED_BYTES = 64_000_000
"""The log forgets its oldest requests beyond this many bytes of bodies."""
LOGGED_REQUESTS = 20_000


@dataclass(frozen=True)
class Request:
    """One request as it arrived, and in the log the status it was answered with.

    Args:
        service: the name of the service that got it.
        method: GET, POST, …
        path: path and query as sent.
        headers: by lower-case name.
        body: the bytes sent; in the log empty where there were more than LOGGED_BODY.
        length: how many bytes were sent.
        status: the HTTP status answered; 0 while there is none, or where the connection was closed instead.

    """

    service: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    length: int = 0
    status: int = 0

    @cached_property
    def json(self) -> Any:
        """The body read as JSON.

        Raises:
            ValueError: it is none.

        """
        return json.loads(self.body)

    @cached_property
    def route(self) -> str:
        """The path without its query, unquoted."""
        return unquote(urlsplit(self.path).path)

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters, the last one of a name."""
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: `body` is sent as it is where it is bytes or text, and as JSON where it is anything else."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""

    def encode(self) -> tuple[bytes, str]:
        """Return the body as bytes, and its content type."""
        if isinstance(self.body, bytes):
            return self.body, self.content_type or "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), self.content_type or "text/html; charset=UTF-8"
        text = json.dumps(self.body, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "surrogatepass"), self.content_type or "application/json"


class Service(ABC):
    """A threaded HTTP/1.1 server on 127.0.0.1 with keep-alive; a subclass says what it answers in `handle`.

    Args:
        port: the port to take, 0 for a free one.

    Raises:
        OSError: the port is taken.

    """

    name = "service"

    def __init__(self, port: int = 0) -> None:
        self.faults = Faults()
        self._log: deque[Request] = deque(maxlen=LOGGED_REQUESTS)
        self._logged_bytes = 0
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._acceptor: threading.Thread | None = None
        self.port = port
        self.start()

    @property
    def url(self) -> str:
        """The service's address, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """What arrived, in the order in which it was answered: a copy."""
        with self._lock:
            return list(self._log)

    def clear_requests(self) -> None:
        """Forget what arrived."""
        with self._lock:
            self._log.clear()
            self._logged_bytes = 0

    @abstractmethod
    def handle(self, request: Request) -> Response:
        """Answer one request; called from several threads at once."""

    def start(self) -> None:
        """Serve on `port`; again after `stop`, on the same port.

        Raises:
            OSError: the port is taken.

        """
        if self._acceptor is not None:
            return
        self._listener = socket.create_server((HOST, self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._serving = True
        self._acceptor = threading.Thread(target=self._accept, name=f"sandbox {self.name}", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Close the socket and every connection; nothing of the service is left running."""
        if self._acceptor is None:
            return
        self._serving = False
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port)):
            pass  # the connection only wakes the acceptor
        self._acceptor.join()
        self._acceptor = None
        with self._lock:
            connections = dict(self._connections)
        for connection, thread in connections.items():
            with contextlib.suppress(OSError):  # the client may have closed it already
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def record(self, request: Request, status: int) -> None:
        """Log `request` as answered with `status`."""
        body = request.body if request.length <= LOGGED_BODY else b""
        with self._lock:
            if len(self._log) == LOGGED_REQUESTS:
                self._logged_bytes -= len(self._log.popleft().body)
            self._log.append(dataclasses.replace(request, body=body, status=status))
            self._logged_bytes += len(body)
            while self._logged_bytes > LOGGED_BYTES:
                self._logged_bytes -= len(self._log.popleft().body)

    def _accept(self) -> None:
        with self._listener:
            while True:
                connection, address = self._listener.accept()
                if not self._serving:
                    connection.close()
                    return
                thread = threading.Thread(target=self._converse, args=(connection, address), daemon=True)
                with self._lock:
                    self._connections[connection] = thread
                thread.start()

    def _converse(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            _Conversation(connection, address, self)
        except ConnectionError:
            pass  # the client went away, or a fault closed the connection
        finally:
            with self._lock:
                del self._connections[connection]
            connection.close()


class _Conversation(BaseHTTPRequestHandler):
    """One connection: reads requests, asks the service, writes each answer in one piece."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, connection: socket.socket, address: tuple[str, int], service: Service) -> None:
        self.service = service
        super().__init__(connection, address, service)  # type: ignore[arg-type]  # the handler only keeps it

    def log_message(self, *_: object) -> None:
        """Keep quiet: the service has its own log."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            service=self.service.name,
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            length=length,
        )
        fault = self.service.faults.take(request.path)
        if fault is None:
            response = self.service.handle(request)
            self.service.record(request, response.status)
            self._send(response)
            return
        if fault.kind == "latency":
            time.sleep(fault.seconds)  # the fault itself: a server that takes its time
        response = self.service.handle(request) if fault.kind in CARRIED_OUT else _faulty(fault, request)
        closed = fault.kind in {"refusal", "lost"}
        self.service.record(request, 0 if closed else response.status)
        if fault.kind == "refusal":
            self.close_connection = True
        elif fault.kind == "lost":
            self._reset()
        elif fault.kind == "reset":
            self._send(response, cut=True)
            self._reset()
        elif fault.kind == "truncated":
            body, content_type = response.encode()
            self._send(dataclasses.replace(response, body=body[: len(body) // 2], content_type=content_type))
        else:
            self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815 - http.server's names

    def _send(self, response: Response, *, cut: bool = False) -> None:
        body, content_type = response.encode()
        reason = HTTPStatus(response.status).phrase
        lines = [f"HTTP/1.1 {response.status} {reason}", f"Content-Length: {len(body)}"]
        if body or response.content_type:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if self.command == "HEAD":
            body = b""
        self.connection.sendall(head + (body[: len(body) // 2] if cut else body))

    def _reset(self) -> None:
        """Close with a TCP reset (SO_LINGER of zero) instead of an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def _faulty(fault: Fault, request: Request) -> Response:
    """Answer in the service's place."""
    page = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr></body></html>\n"
    match fault.kind:
        case "redirect":
            return Response(302, headers={"Location": "/users/login"}, content_type="text/html; charset=UTF-8")
        case "401" | "403" as status:
            words = "Authentication failed." if status == "401" else "You do not have permission to use this."
            return Response(int(status), {"name": words, "message": words, "url": request.path})
        case "429":
            words = "Rate limit exceeded."
            headers = {"Retry-After": str(round(fault.seconds))}
            return Response(429, {"name": words, "message": words, "url": request.path}, headers)
        case "500" | "502" | "504" as status:
            return Response(int(status), page.format(f"{status} {HTTPStatus(int(status)).phrase}"))
        case "shape":
            return Response(200, {"unexpected": ["shape"]})
        case _:
            return Response(200, page.format("Welcome"))
