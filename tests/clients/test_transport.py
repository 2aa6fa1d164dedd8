"""Time and size of an answer are bounded, however its bytes come, and no redirect is followed: PyMISP's calls, too."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from raw_server import RawServer, answered, dripping, saying, serving

from misp_playbook_lib.clients import http
from misp_playbook_lib.clients.http import MAX_ANSWER, HttpClient
from misp_playbook_lib.clients.mattermost import MattermostClient
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_connection import largest_answer
from misp_playbook_lib.errors import AuthenticationFailed, ServiceError, ServiceUnavailable, UnexpectedResponse
from misp_playbook_lib.settings import load_settings

HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "status line": b"HTTP/1.1 2",
    "header": HEAD + b"X-Slow: ",
    "body": HEAD + b"Content-Length: 100000\r\n\r\n",
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
    "body without a length": HEAD + b"Connection: close\r\n\r\n",
    "refusal": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100000\r\n\r\n",
}
LIST = {"Warninglist": {"name": "n", "description": "d", "entries": ["a.example"]}}


@pytest.fixture
def misp(vault: Path) -> MispClient:
    return MispClient(load_settings(vault, {}))


def at(misp: MispClient, server: RawServer) -> MispClient:
    """Let a client that is connected ask another server."""
    misp.pymisp.root_url = f"{server.url}/"
    return misp


@pytest.mark.parametrize("start", DRIPS.values(), ids=DRIPS)
def test_an_answer_that_comes_a_byte_at_a_time_is_not_waited_for(start: bytes) -> None:
    with serving(dripping(start)) as server, pytest.raises(ServiceUnavailable, match="no answer in time"):
        HttpClient("MISP", timeout=0.3).request("GET", server.url, "ask")


def test_a_proxy_that_answers_a_byte_at_a_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(dripping(HEAD + b"X-Slow: ")) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
        with pytest.raises(ServiceUnavailable):
            HttpClient("MISP", timeout=0.3).request("GET", "https://misp.example/", "ask")
        assert server.requests[0].startswith(b"CONNECT misp.example:443")


@pytest.mark.parametrize("start", DRIPS.values(), ids=DRIPS)
def test_pymisp_does_not_wait_for_a_drip_either(misp: MispClient, start: bytes) -> None:
    misp.pymisp.http.timeout = 0.3
    with serving(dripping(start)) as server, pytest.raises(ServiceUnavailable, match="no answer in time"):
        at(misp, server).add_warninglist(LIST["Warninglist"])


def test_repetitions_stay_within_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REPETITIONS", 0.5)
    client = HttpClient("MISP", timeout=0.3)
    with serving(dripping(HEAD)) as server, pytest.raises(ServiceUnavailable, match="no answer in time"):
        http.reading(lambda: client.request("GET", server.url, "ask"))
    assert len(server.requests) <= 1


@pytest.mark.parametrize(
    ("status", "words"), [("200 OK", "larger than 0.1 MB"), ("302 Found", "redirected"), ("502 Bad", "server error")]
)
def test_a_bomb_is_not_unpacked_beyond_the_limit(status: str, words: str) -> None:
    bomb = gzip.compress(bytes(100_000_000))
    client = HttpClient("Slack")
    with serving(saying(answered(bomb, status, "Content-Encoding: gzip", "Location: /"))) as server:
        tracemalloc.start()
        with pytest.raises(ServiceError, match=words):
            client.request("POST", server.url, "post a message")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("size", [MAX_ANSWER, MAX_ANSWER + 1])
def test_an_answer_may_have_what_was_sent_and_a_little_more(size: int) -> None:
    with serving(saying(answered(b"x" * (size + len(b'"sent"'))))) as server:
        client = HttpClient("TheHive")
        if size == MAX_ANSWER:
            assert len(client.request("POST", server.url, "add an alert", json="sent").content) == size + 6
        else:
            with pytest.raises(UnexpectedResponse, match="larger than"):
                client.request("POST", server.url, "add an alert", json="sent")


def test_a_refusal_of_any_size_is_told_as_one() -> None:
    with (
        serving(saying(answered(b"<html>" + bytes(9 * MAX_ANSWER), "502 Bad Gateway"))) as server,
        pytest.raises(ServiceUnavailable, match="server error 502"),
    ):
        HttpClient("Slack").request("POST", server.url, "post a message")


def test_a_search_may_have_what_was_asked_for_and_a_list_two_hundred_megabytes() -> None:
    search = "attributes/restSearch"
    few, many = (largest_answer(search, {"limit": rows, "returnFormat": "json"}) for rows in (10, 10_000))
    assert few < 5_000_000 < 10 * 5_500_000 < many
    assert largest_answer(search, {"limit": 10_000, "returnFormat": "count"}) == largest_answer("users/view/me", None)
    for path in ("warninglists/view/1", "warninglists/edit/1"):
        assert largest_answer(path, None) > 191_000_000


def test_a_search_that_answers_with_more_than_was_asked_for_is_refused(misp: MispClient) -> None:
    row = {"Attribute": [{"value": "x" * 9_000_000}]}
    with (
        serving(saying(answered(json.dumps({"response": row}).encode()))) as server,
        pytest.raises(UnexpectedResponse, match=r"larger than 4\.. MB .*restSearch.*misp_url in the vault"),
    ):
        at(misp, server).attributes({"limit": 1})


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_no_redirect_is_followed_and_its_target_is_named_without_secrets(misp: MispClient, status: str) -> None:
    target = "https://user:password@new.example/misp/warninglists/add?token=secret#part"
    with serving(saying(answered(b"", status, f"Location: {target}"))) as server:
        with pytest.raises(UnexpectedResponse, match="redirected") as caught:
            at(misp, server).add_warninglist(LIST["Warninglist"])
        assert len(server.requests) == 1
    assert "to https://new.example/misp/warninglists/add (warninglists/add)" in str(caught.value)
    assert "put that address into misp_url in the vault" in str(caught.value)
    assert "password" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_search_is_not_carried_to_another_host(misp: MispClient) -> None:
    with serving(saying(answered(b"{}"))) as other:
        redirect = answered(b"", "307 Temporary", f"Location: {other.url}/attributes/restSearch")
        with serving(saying(redirect)) as server, pytest.raises(UnexpectedResponse, match="no redirect is followed"):
            at(misp, server).attributes({"value": ["entry.example"], "limit": 1})
        assert other.requests == []


def test_a_redirect_that_names_a_hook_does_not_tell_its_token() -> None:
    with serving(lambda connection, _: connection.sendall(answered(b"", "301 Moved", moved))) as server:
        moved = f"Location: {server.url.replace('http', 'https')}/hooks/abcdefghijklmnop"
        with pytest.raises(UnexpectedResponse, match="put that address into mattermost_hook in the vault") as caught:
            MattermostClient(f"{server.url}/hooks/abcdefghijklmnop", "").post("text")
    assert "abcdefgh" not in str(caught.value)


@pytest.mark.parametrize("location", ["https://[broken", "https://x\udcff\x1b[2J.example/\x07", ""])
def test_a_target_that_is_no_address_is_harmless(location: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("utf-8", "replace")
    with serving(saying(head)) as server, pytest.raises(UnexpectedResponse, match="redirected") as caught:
        HttpClient("MISP").request("GET", server.url, "ask")
    assert str(caught.value).isprintable()


def test_misps_login_page_is_said_to_be_one(misp: MispClient) -> None:
    with (
        serving(saying(answered(b"", "302 Found", "Location: https://misp.example/users/login"))) as server,
        pytest.raises(AuthenticationFailed, match=r"login page https://misp\.example/users/login .*misp_key"),
    ):
        at(misp, server).add_warninglist(LIST["Warninglist"])


def test_an_answer_nested_too_deep_is_not_json() -> None:
    with (
        serving(saying(answered(b"[" * 60_000))) as server,
        pytest.raises(UnexpectedResponse, match="is not JSON"),
    ):
        HttpClient("TheHive").json("GET", server.url, "ask")


def test_an_answer_that_cannot_be_unpacked_is_told() -> None:
    with (
        serving(saying(answered(b"no gzip", "200 OK", "Content-Encoding: gzip"))) as server,
        pytest.raises(UnexpectedResponse, match="cannot be unpacked"),
    ):
        HttpClient("TheHive").json("GET", server.url, "ask")
