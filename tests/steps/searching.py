"""What the tests of the retro-search share: a client of a sandbox, lists as planned, and a say between two requests."""

import itertools
import re
from collections.abc import Callable, Sequence

from pydantic import SecretStr

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec, WarninglistType
from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.server import Request, Response
from misp_playbook_lib.settings import Settings

SEARCH = r"^/attributes/restSearch"


def client(misp: Misp, key: str = "") -> MispClient:
    """Connect to a sandbox's MISP."""
    return MispClient(Settings(misp_url=misp.url, misp_key=SecretStr(key or misp.key)))


def listed(kind: str, entries: Sequence[str], matching: Sequence[str] = ("ALL",)) -> WarninglistPlan:
    """Plan a list that is not there yet."""
    spec = WarninglistSpec(
        "Mine",
        tuple(WarninglistEntry(entry) for entry in entries),
        type=WarninglistType(kind),
        matching_attributes=tuple(matching),
    )
    return plan(spec, None, WarninglistAction.APPEND)


def between(misp: Misp, act: Callable[[int], None]) -> None:
    """Let `act` happen after each answered search, counted from 1."""
    handle, numbers = misp.handle, itertools.count(1)

    def handling(request: Request) -> Response:
        response = handle(request)
        if re.match(SEARCH, request.path):
            act(next(numbers))
        return response

    misp.handle = handling  # type: ignore[method-assign]


def searches(misp: Misp) -> list[dict[str, object]]:
    """Return the bodies of the searches that arrived."""
    return [request.json for request in misp.requests if re.match(SEARCH, request.path)]
