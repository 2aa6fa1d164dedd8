"""Mattermost's webhook: each post goes out once, and the hook, a secret, is in no error."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
import stamina
import trustme

from misp_playbook_lib.clients.hooks import Hook
from misp_playbook_lib.clients.mattermost import MattermostClient
from misp_playbook_lib.errors import (
    RateLimited,
    RequestRejected,
    ServiceError,
    ServiceUnavailable,
    UnexpectedResponse,
)
from misp_playbook_lib.sandbox.faults import Kind
from misp_playbook_lib.sandbox.mattermost import TOKEN, Mattermost
from misp_playbook_lib.sandbox.server import Response


@pytest.fixture
def chat() -> Iterator[Mattermost]:
    with Mattermost() as service:
        yield service


@pytest.fixture
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def test_a_post_arrives_with_its_card_and_name(chat: Mattermost) -> None:
    MattermostClient(chat.hook, "playbook").post("text", "card")
    [post] = chat.posts
    assert (post["text"], post["props"]["card"], post["username"]) == ("text", "card", "playbook")


@pytest.mark.usefixtures("_no_waiting")
def test_after_a_429_the_post_is_sent_again(chat: Mattermost) -> None:
    chat.faults.add(kind="429", times=2, seconds=7)
    MattermostClient(chat.hook, "").post("text")
    assert len(chat.posts) == 1
    assert [request.status for request in chat.requests] == [429, 429, 200]


@pytest.mark.usefixtures("_no_waiting")
def test_a_service_that_keeps_refusing_is_asked_three_times(chat: Mattermost) -> None:
    chat.faults.add(kind="429", seconds=1)
    with pytest.raises(RateLimited):
        MattermostClient(chat.hook, "").post("text")
    assert len(chat.requests) == 3


def test_a_service_that_wants_to_be_left_alone_for_long_is(chat: Mattermost) -> None:
    chat.faults.add(kind="429", seconds=3600)
    with pytest.raises(RateLimited):
        MattermostClient(chat.hook, "").post("text")
    assert len(chat.requests) == 1


@pytest.mark.parametrize("kind", ["500", "502", "504", "lost", "reset", "refusal"])
def test_what_may_have_arrived_is_not_posted_twice(chat: Mattermost, kind: Kind) -> None:
    chat.faults.add(kind=kind)
    with pytest.raises(ServiceUnavailable):
        MattermostClient(chat.hook, "").post("text")
    assert len(chat.requests) == 1


@pytest.mark.usefixtures("_no_waiting")
def test_a_service_that_is_not_there_is_tried_three_times_and_said(chat: Mattermost) -> None:
    chat.stop()
    retries: list[int] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: retries.append(details.retry_num)])
    try:
        with pytest.raises(ServiceUnavailable, match=r"no connection \(post a message\); check that the server runs"):
            MattermostClient(chat.hook, "").post("text")
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert retries == [1, 2]


def test_an_answer_that_does_not_come_in_time_is_told_and_not_waited_for_twice(chat: Mattermost) -> None:
    chat.faults.add(kind="latency", seconds=0.3)
    with pytest.raises(ServiceUnavailable, match="no answer in time"):
        Hook("Mattermost", chat.hook, timeout=0.05).post({"text": "t"})
    assert len(chat.requests) <= 1


@pytest.mark.parametrize("body", ["null", "<html>Log in</html>", "", "o"])
def test_an_answer_without_mattermosts_ok_is_told_without_the_hook(chat: Mattermost, body: str) -> None:
    chat.handle = lambda _: Response(200, body)  # type: ignore[method-assign]
    with pytest.raises(ServiceError, match=r"promised shape|before the answer was complete") as caught:
        MattermostClient(chat.hook, "").post("text")
    assert TOKEN not in str(caught.value)
    assert caught.value.answer_lost is (body in {"", "o"})


def test_an_answer_that_does_not_come_in_time_leaves_open_whether_it_arrived(chat: Mattermost) -> None:
    chat.faults.add(kind="latency", seconds=0.3)
    with pytest.raises(ServiceUnavailable) as caught:
        Hook("Mattermost", chat.hook, timeout=0.05).post({"text": "t"})
    assert caught.value.answer_lost


def test_a_certificate_of_an_unknown_authority_is_refused_with_the_remedy_and_without_the_hook() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:
        threading.Thread(target=_refuse, args=(listener,), daemon=True).start()
        hook = f"https://127.0.0.1:{listener.getsockname()[1]}/hooks/{TOKEN}"
        with pytest.raises(
            ServiceUnavailable, match=r"certificate could not be verified.*REQUESTS_CA_BUNDLE"
        ) as caught:
            MattermostClient(hook, "").post("text")
    assert TOKEN not in str(caught.value)
    assert not caught.value.answer_lost


def _refuse(listener: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):  # the client breaks off the handshake
        listener.accept()


@pytest.mark.parametrize("kind", ["500", "429", "redirect", "lost", "401", "403"])
def test_no_error_carries_the_hook(chat: Mattermost, kind: Kind) -> None:
    chat.faults.add(kind=kind, seconds=99)
    with pytest.raises(ServiceError) as caught:
        MattermostClient(chat.hook, "").post("text")
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_refusal_is_told_in_mattermosts_words_without_the_hooks_token(chat: Mattermost) -> None:
    with pytest.raises(RequestRejected) as caught:
        MattermostClient(chat.hook, "").post("")
    assert "Failed to handle the payload of media type application/json" in str(caught.value)
    assert "[redacted]" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_an_address_that_redirects_is_no_hook(chat: Mattermost) -> None:
    chat.faults.add(kind="redirect")
    with pytest.raises(UnexpectedResponse, match="redirected instead of answering"):
        MattermostClient(chat.hook, "").post("text")
