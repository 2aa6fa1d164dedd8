"""Stands before one service: passes requests on, notes them, and lets some of them go wrong as a script says."""

import http.client
import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

INSTEAD: dict[str, tuple[int, str, bytes]] = {
    "401": (401, "application/json", b'{"name":"Authentication failed.","message":"Authentication failed."}'),
    "403 with JSON": (403, "application/json", b'{"name":"Forbidden","message":"You do not have permission."}'),
    "403 without JSON": (403, "text/html", b"<html><h1>Forbidden</h1></html>"),
    "404": (404, "application/json", b'{"name":"Not Found","message":"Not Found"}'),
    "429 short": (429, "application/json", b'{"message":"Rate limit exceeded."}'),
    "429 long": (429, "application/json", b'{"message":"Rate limit exceeded."}'),
    "500": (500, "application/json", b'{"name":"An Internal Error Has Occurred.","message":"Internal error"}'),
    "502 HTML": (502, "text/html", b"<html><h1>Bad Gateway</h1></html>"),
    "503": (503, "text/html", b"<html><h1>Service Unavailable</h1></html>"),
    "null": (200, "application/json", b"null"),
    "other container": (200, "application/json", b'["unexpected", ["shape"]]'),
    "other fields": (200, "application/json", b'{"unexpected":{"shape":[1]}}'),
    "login page": (200, "text/html", b"<html><title>Login</title><form>Password</form></html>"),
    "redirect to https": (302, "text/html", b""),
    "redirect to another host": (302, "text/html", b""),
    "307": (307, "text/html", b""),
}
"""Answers in the service's place, which the request does not reach: status, content type, body."""
AFTERWARDS = ("reset after", "reset in mid-answer", "hang", "drip", "truncated", "wrong type", "gzip bomb", "100 MB")
"""Faults of the answer: the request went through."""
FAULTS = ("refused", "reset before", *AFTERWARDS, *INSTEAD)
REDIRECTS = {"redirect to https": "https", "redirect to another host": "http", "307": "http"}
RETRY_AFTER = {"429 short": "2", "429 long": "3600"}
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Call:
    """One request. `name` is the same in every run; `number` counts the calls of a name."""

    service: str
    name: str
    number: int
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.service} {self.name} {self.number}"


@dataclass
class Script:
    """What happens in one run, and what happened.

    `strikes` says whether the fault strikes a call. `watch` is told of each call before and after it was passed on, and
    says whether the proxy goes on. `stranger` is an address that nobody may ask. `answers` are given in a service's
    place, by fault. `refuses` is a service that refuses connections after so many calls, for good or one time. `over`
    ends what still waits.
    """

    fault: str = ""
    strikes: Callable[[Call], bool] = lambda _: False
    watch: Callable[[Call, str], bool] = lambda _, __: True
    stranger: str = ""
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=lambda: INSTEAD)
    refuses: tuple[str, int] = ("", 0)
    for_good: bool = True
    calls: list[Call] = field(default_factory=list)
    struck: list[Call] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, service: str, method: str, path: str, body: bytes) -> tuple[Call, str]:
        """Note a request, and return it with the fault that strikes it, if one does."""
        asked = re.search(rb'"module": *"(\w+)"', body)
        name = f"{method} {re.sub(r'/(?!v1/)(?=[^/]*[0-9])[^/]+', '/*', urlsplit(path).path)}"
        name += f" {asked[1].decode()}" if asked else ""
        with self.lock:
            number = 1 + sum((call.service, call.name) == (service, name) for call in self.calls)
            call = Call(service, name, number, re.sub(rb'"uuid": *"[^"]+"', b"", body))
            self.calls.append(call)
            if not self.strikes(call):
                return call, ""
            self.struck.append(call)
            return call, self.fault


class Proxy:
    """A proxy before the service on `port` of this machine."""

    def __init__(self, service: str, port: int, script: Script) -> None:
        self._service, self._upstream, self._script = service, port, script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._idle: set[socket.socket] = set()
        self._begin()
        self._refuse(0)

    def _begin(self) -> None:
        self._closed = False
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from here on, and end those on which nothing goes on."""
        self._closed = True
        for one in (self._listener, *self._idle):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _refuse(self, calls: int) -> None:
        if self._script.refuses != (self._service, calls):
            return
        before = refusals()
        self.close()
        if not self._script.for_good:
            threading.Thread(target=self._reopen, args=(before,), daemon=True).start()

    def _reopen(self, before: int) -> None:
        """Accept connections again after one was refused on this machine, which the kernel counts."""
        while refusals() == before and not self._script.over.wait(0.002):
            pass
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._begin()

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError, http.client.HTTPException), connection, connection.makefile("rb") as stream:
            while not self._closed:
                self._idle.add(connection)
                line = stream.readline()
                self._idle.discard(connection)
                if not line or not self._answer(connection, line.decode().split(), stream):
                    break
        self._idle.discard(connection)

    def _answer(self, connection: socket.socket, line: list[str], stream: BinaryIO) -> bool:
        """Answer one request, and tell whether the connection stays open."""
        headers = http.client.parse_headers(stream)
        body = stream.read(int(headers.get("Content-Length") or 0))
        call, fault = self._script.note(self._service, line[0], line[1], body)
        if not self._script.watch(call, "before"):
            return gone(connection)
        if fault == "reset before":
            return reset(connection)
        if fault in self._script.answers:
            status, kind, answer = self._script.answers[fault]
            fields = {"Content-Type": kind}
        else:
            upstream = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=60)
            upstream.request(line[0], line[1], body, dict(headers))
            response = upstream.getresponse()
            status, answer, fields = response.status, response.read(), dict(response.headers)
            upstream.close()
        if not self._script.watch(call, "after"):
            return gone(connection)
        self._refuse(sum(one.service == self._service for one in self._script.calls))
        before, answer = self._spoilt(fault, line[1], fields, answer)
        fields["Content-Length"] = str(before * MEGABYTE + len(answer))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        whole = f"HTTP/1.1 {status} {http.client.responses[status]}\r\n{head}\r\n".encode()
        return self._send(connection, fault, whole, before, answer)

    def _spoilt(self, fault: str, path: str, fields: dict[str, str], answer: bytes) -> tuple[int, bytes]:
        """Change an answer as the fault wants it; return how many megabytes of white space go before it, and it."""
        if fault in RETRY_AFTER:
            fields["Retry-After"] = RETRY_AFTER[fault]
        elif fault in REDIRECTS:
            fields["Location"] = f"{REDIRECTS[fault]}://{self._script.stranger}{path}"
        elif fault == "wrong type":
            fields["Content-Type"] = "text/html" if "json" in fields.get("Content-Type", "") else "application/json"
        elif fault == "truncated":
            return 0, answer[: len(answer) // 2]
        elif fault == "gzip bomb":
            fields["Content-Encoding"] = "gzip"
            return 0, bomb() + compressed(answer)
        return (100 if fault == "100 MB" else 0), answer

    def _send(self, connection: socket.socket, fault: str, head: bytes, before: int, answer: bytes) -> bool:
        """Send an answer as the fault wants it, and tell whether the connection stays open."""
        if fault == "reset after":
            return reset(connection)
        if fault == "hang":
            return not self._script.over.wait()
        if fault == "drip":
            for byte in head + answer:
                connection.sendall(bytes([byte]))
                if self._script.over.wait(1):
                    break
            return False
        if fault == "reset in mid-answer":
            connection.sendall(head + answer[: len(answer) // 2])
            return reset(connection)
        connection.sendall(head)
        for _ in range(before):
            connection.sendall(b" " * MEGABYTE)
        connection.sendall(answer)
        return True


def gone(connection: socket.socket) -> bool:
    """Wait a second for the other end to leave."""
    connection.settimeout(1)
    with suppress(OSError):
        connection.recv(1)
    return False


def reset(connection: socket.socket) -> bool:
    """Let the connection end in a TCP reset when it is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def compressed(data: bytes) -> bytes:
    """Return a whole gzip member."""
    compressor = zlib.compressobj(9, wbits=31)
    return compressor.compress(data) + compressor.flush()


@cache
def bomb() -> bytes:
    """Return 400 MB of white space in some hundred KB."""
    return compressed(b" " * 10 * MEGABYTE) * 40


def refusals() -> int:
    """Return how many connections of this machine were refused so far (RFC 4022, tcpAttemptFails)."""
    names, figures = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line[:4] == "Tcp:")
    return int(dict(zip(names, figures, strict=True))["AttemptFails"])
