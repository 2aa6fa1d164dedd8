"""A server whose answers are bytes as a test writes them: as slow, as large, as broken as it likes."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[socket.socket, threading.Event], None]


@dataclass
class RawServer:
    """Where it listens, and the requests that it got."""

    url: str
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def serving(answer: Answer) -> Iterator[RawServer]:
    """Answer each connection's first request by `answer`, which ends when its event is set."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def converse(connection: socket.socket) -> None:
            with connection, suppress(OSError):  # the client went away
                server.requests.append(connection.recv(65_536))
                answer(connection, over)

        def accept() -> None:
            with suppress(OSError):  # the listener was closed
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=converse, args=(connection,), daemon=True))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield server
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
    for thread in threads:
        thread.join()


def saying(answer: bytes) -> Answer:
    """Answer with these bytes and close."""
    return lambda connection, _: connection.sendall(answer)


def dripping(start: bytes, drop: bytes = b"1") -> Answer:
    """Answer with `start` at once, and then with a byte now and then for ever."""

    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(0.02):
            connection.sendall(drop)

    return drip


def answered(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Write a whole answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
