"""The run's deadline never falls between a write and its read-back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from writing import Writer, held, meanwhile, writes

from misp_playbook_lib.clients.deadline import set_deadline
from misp_playbook_lib.errors import DeadlineReached, ServiceUnavailable
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.steps.read_back import set_enabled


@pytest.fixture(autouse=True)
def _no_deadline_left() -> Iterator[None]:
    yield
    set_deadline(None)


@pytest.mark.parametrize("path", ["/warninglists/add", "/warninglists/edit", "/warninglists/toggleEnable"])
def test_the_deadline_does_not_fall_between_a_write_and_its_read_back(
    sandbox: Sandbox, tmp_path: Path, path: str
) -> None:
    writer = Writer(sandbox, tmp_path)
    written = None if path.endswith("add") else writer.write("append", "a.example").warninglist
    planned = writer.plan("append", "b.example")
    meanwhile(sandbox, path, lambda: set_deadline(time.monotonic()))
    if path.endswith("toggleEnable"):
        assert written
        assert set_enabled(writer.misp, written, writer.record, enabled=False).enabled is False
    else:
        writer.apply(planned)
        assert "b.example" in held(sandbox)
    with pytest.raises(DeadlineReached):
        writer.apply(planned)


def test_at_the_deadline_a_write_that_failed_is_told_and_not_tried_again(sandbox: Sandbox, tmp_path: Path) -> None:
    writer = Writer(sandbox, tmp_path)
    written = writer.write("append", "a.example").warninglist
    assert written
    planned = writer.plan("append", "b.example")
    sandbox.misp.faults.add("/warninglists/edit", "500")
    meanwhile(sandbox, "/warninglists/view", lambda: set_deadline(time.monotonic()))
    with pytest.raises(ServiceUnavailable, match=r"server error 500 .* The list Mine: not written"):
        writer.apply(planned)
    assert writes(sandbox)[-2:] == ["/warninglists/add", f"/warninglists/edit/{written.id}"]
