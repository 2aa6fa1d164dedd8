"""A kernel that is killed around a write: the run is archived with what became of the list, and that is told."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from conftest import Ran

from misp_playbook_lib.sandbox import Sandbox

EVERYBODY = {
    "send_to_mattermost_option": "via a chat message",
    "send_to_slack": True,
    "send_to_thehive": True,
    "enrich_with": [],
}
SENT = "sent, not seen"
SEEN = "written and seen"


def kill_the_kernel_at(sandbox: Sandbox, *paths: str, carried_out: bool = True) -> None:
    """Kill the kernel at a request for the last of `paths` that follows ones for the others, in their order."""
    original, left = sandbox.misp.handle, list(paths)

    def handle(request: Any) -> Any:
        if left and re.search(left[0], request.path):
            del left[0]
            if not left:
                return kill(request)
        return original(request)

    def kill(request: Any) -> Any:
        response = original(request) if carried_out else None
        [kernel] = [one for one in psutil.Process().children() if "ipykernel_launcher" in one.cmdline()]
        os.kill(kernel.pid, signal.SIGKILL)
        kernel.wait()
        return response or original(request)

    sandbox.misp.handle = handle  # type: ignore[method-assign]  # a hook into a server of the test's own


@pytest.mark.parametrize(
    ("paths", "carried_out", "word"),
    [
        (["/edit/"], False, SENT),
        (["/edit/"], True, SENT),
        (["/edit/", "/view/"], True, SENT),
        (["/toggleEnable"], True, SENT),
        (["/toggleEnable", "/restSearch"], True, SEEN),
    ],
)
def test_what_became_of_the_list_is_archived_and_told(
    play: Callable[..., Ran], sandbox: Sandbox, paths: list[str], carried_out: bool, word: str
) -> None:
    list_id = sandbox.misp.add_warninglist("Mine", "string", "known", [("a.example", "")], ["domain"], enabled=False)
    kill_the_kernel_at(sandbox, *paths, carried_out=carried_out)
    ran = play(warninglist_name="Mine", warninglist_values=["b.example"], warninglist_enable=True, **EVERYBODY)
    assert ran.exit_code == 1, ran.output
    assert ran.manifest["outcome"] == "crashed"
    line = f"The list Mine (ID {list_id}): {word}"
    assert line in ran.manifest["message"]
    assert line in ran.output
    assert line in ran.summary
    inbox = sandbox.inbox()
    assert {service: len(posts) for service, posts in inbox.items()} == {"mattermost": 1, "slack": 1, "thehive": 1}
    assert all(word in str(posts) for posts in inbox.values())
    assert f"{sandbox.misp_url}/warninglists/view/{list_id}" in str(inbox["mattermost"])


def test_a_kernel_that_is_killed_before_the_write_says_so_and_tells_nobody(
    play: Callable[..., Ran], sandbox: Sandbox
) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("a.example", "")], ["domain"])
    kill_the_kernel_at(sandbox, "/warninglists/view/")
    ran = play(warninglist_name="Mine", warninglist_values=["b.example"], **EVERYBODY)
    assert ran.manifest["message"].endswith("The list Mine: not written.")
    assert not any(sandbox.inbox().values())


@pytest.mark.parametrize("kind", ["401", "403", "429"])
def test_a_write_that_could_not_be_read_back_is_told(play: Callable[..., Ran], sandbox: Sandbox, kind: str) -> None:
    sandbox.misp.faults.add("/warninglists/view/", kind)  # type: ignore[arg-type]
    ran = play(warninglist_name="Mine", warninglist_values=["b.example"], **EVERYBODY)
    assert ran.exit_code == 3
    assert "The list Mine: sent, not seen." in ran.manifest["message"]
    assert all("sent, not seen" in str(posts) for posts in sandbox.inbox().values())
    assert all(sandbox.inbox().values())
