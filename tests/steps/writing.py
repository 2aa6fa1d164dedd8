"""What the tests of writing share: a client of the sandbox, plans in a line, and somebody else who writes meanwhile."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.reading import parse_line
from misp_playbook_lib.model.results import Applied
from misp_playbook_lib.model.warninglist import WarninglistSpec, WarninglistType
from misp_playbook_lib.report.undo import UndoRecord
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.server import Request, Response
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps import apply as applying

WRITES = re.compile(r"^/warninglists/(add|edit|toggleEnable|delete)")


def client(sandbox: Sandbox, key: str = "") -> MispClient:
    return MispClient(Settings.model_validate({"misp_url": sandbox.misp_url, "misp_key": key or sandbox.misp_key}))


class Writer:
    """Plans and applies as the playbook does, in one go, keeping the undo record in a folder."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.misp = client(sandbox)
        self.record = UndoRecord(folder, self.misp.server.url)

    def plan(self, action: str, *lines: str, name: str = "Mine", **fields: Any) -> WarninglistPlan:
        current = applying.list_named(self.misp, name)
        list_type = fields.get("type") or (current.type if current else WarninglistType.STRING)
        entries = tuple(entry for line in lines if (entry := parse_line(line, list_type)))
        return plan(WarninglistSpec(name, entries, **fields), current, WarninglistAction(action))

    def apply(self, planned: WarninglistPlan, *, dry_run: bool = False) -> Applied:
        return applying.apply(self.misp, planned, self.record, dry_run=dry_run)

    def write(self, action: str, *lines: str, **fields: Any) -> Applied:
        return self.apply(self.plan(action, *lines, **fields))


def held(sandbox: Sandbox, name: str = "Mine") -> list[str]:
    """Return a list's entries as lines, straight from the sandbox."""
    found = sandbox.misp.warninglist(name)
    assert found is not None
    return [f"{value} # {comment}" if comment else value for value, comment in found["entries"]]


def writes(sandbox: Sandbox) -> list[str]:
    """Return the requests by which a list could have been changed."""
    return [request.path for request in sandbox.misp.requests if WRITES.search(request.path)]


def meanwhile(
    sandbox: Sandbox, path: str, act: Callable[[], object], *, after: bool = False, times: int = 1, skip: int = 0
) -> None:
    """Do something just before, or after, the sandbox carries out a request; what that asks of it does not count."""
    original = sandbox.misp.handle
    left, skipping, busy = times, skip, False

    def handle(request: Request) -> Response:
        nonlocal left, skipping, busy
        if busy or not left or not re.search(path, request.path):
            return original(request)
        if skipping:
            skipping -= 1
            return original(request)
        left -= 1
        response = original(request) if after else None
        busy = True
        act()
        busy = False
        return response or original(request)

    sandbox.misp.handle = handle  # type: ignore[method-assign]  # a hook into a server of the test's own
