"""Slack's webhook: Slack's one-word refusals are told, its pace is kept."""

from collections.abc import Iterator

import pytest
import stamina

from misp_playbook_lib.clients.slack import SlackClient
from misp_playbook_lib.errors import RateLimited, RequestRejected
from misp_playbook_lib.sandbox.slack import TOKEN, Slack


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack() as service:
        yield service


def test_a_message_arrives_as_it_is(workspace: Slack) -> None:
    SlackClient(workspace.hook).post({"text": "t", "blocks": [{"type": "divider"}]})
    assert workspace.posts == [{"text": "t", "blocks": [{"type": "divider"}]}]


def test_a_refusal_is_told_in_slacks_word(workspace: Slack) -> None:
    with pytest.raises(RequestRejected, match=r"Slack: refused .*: invalid_blocks"):
        SlackClient(workspace.hook).post({"text": "t", "blocks": [{"type": "table"}]})


def test_a_wrong_token_is_told_without_it(workspace: Slack) -> None:
    wrong = workspace.hook.replace(TOKEN, "wrongwrongwrong")
    with pytest.raises(RequestRejected, match="invalid_token") as caught:
        SlackClient(wrong).post({"text": "t"})
    assert "wrongwrong" not in str(caught.value)


def test_retry_after_is_kept_to(workspace: Slack) -> None:
    workspace.faults.add(kind="429", times=1, seconds=3)
    waits: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    try:
        with stamina.set_testing(False), pytest.MonkeyPatch.context() as patch:
            patch.setattr("tenacity.nap.time.sleep", lambda _: None)
            SlackClient(workspace.hook).post({"text": "t"})
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert waits == [3.0]
    assert len(workspace.posts) == 1


def test_a_wait_of_minutes_is_not_waited_for(workspace: Slack) -> None:
    workspace.faults.add(kind="429", seconds=120)
    with pytest.raises(RateLimited, match="asked too often"):
        SlackClient(workspace.hook).post({"text": "t"})
    assert len(workspace.requests) == 1
