"""What requests sends by: an answer has a time and a size, however its bytes trickle in or unfold."""

import http.client
import io
import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from misp_playbook_lib.clients.deadline import call_seconds_left

_PIECE = 65_536


class Session(requests.Session):
    """Sends by `Transport`, follows no redirect and knows nothing of the environment.

    requests would let ~/.netrc overwrite the Authorization header, and would proxy loopback.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, Transport())

    def get_redirect_target(self, _: requests.Response) -> str | None:
        """Find none: to look where it leads, requests would read the whole body and trip over a malformed address."""
        return None


class Transport(HTTPAdapter):
    """Ends every answer when the call's time is over: requests' own timeout begins anew with each byte."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the connections that are not proxied."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def read_body(response: requests.Response, most: int) -> bool:
    """Read an answer that is streamed; return whether it ended within `most` bytes, unpacked: the rest is not read.

    Raises:
        requests.RequestException: it broke off, cannot be unpacked, or took longer than the call may.

    """
    pieces: list[bytes] = []
    left = most
    for piece in response.iter_content(_PIECE):
        pieces.append(piece[:left])
        left -= len(piece)
        if left < 0:
            response.close()
            break
    response._content = b"".join(pieces)  # noqa: SLF001 - requests has no other way to keep what was streamed
    return left >= 0


class _TimedReader(io.RawIOBase):
    """Reads a socket as long as the call has time."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = call_seconds_left()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach()))


class _Plain(HTTPConnection):
    response_class = _Answer


class _Encrypted(HTTPSConnection):
    response_class = _Answer


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


_POOLS = {"http": _PlainPool, "https": _EncryptedPool}
