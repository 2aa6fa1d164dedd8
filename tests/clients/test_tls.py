"""Certificates: verified by default, by a bundle of one's own, or not at all where the vault says so."""

import ssl
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from misp_playbook_lib.clients.http import HttpClient
from misp_playbook_lib.errors import ServiceUnavailable


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def url(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), Hello)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_unknown_authority_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(ServiceUnavailable, match=r"certificate could not be verified.*misp_verifycert"):
        HttpClient("MISP").json("GET", url, "ask")


def test_a_bundle_of_ones_own_is_enough(url: str, authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    assert HttpClient("MISP", verify=bundle).json("GET", url, "ask") == {}


def test_the_check_can_be_switched_off_and_does_not_warn_with_every_request(url: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert HttpClient("MISP", verify=False).json("GET", url, "ask") == {}
    assert caught == []
