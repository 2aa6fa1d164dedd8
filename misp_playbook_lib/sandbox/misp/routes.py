"""Which call of the API does what, and which permission of the role it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from misp_playbook_lib.sandbox.misp import accounts
from misp_playbook_lib.sandbox.misp.accounts import Account
from misp_playbook_lib.sandbox.misp.answers import (
    NOT_ALLOWED,
    BadRequestError,
    ForbiddenError,
    InternalError,
    NotAllowedError,
    NotFoundError,
    ok,
)
from misp_playbook_lib.sandbox.misp.search import rest_search
from misp_playbook_lib.sandbox.misp.values import load
from misp_playbook_lib.sandbox.server import Response

if TYPE_CHECKING:
    from misp_playbook_lib.sandbox.misp.service import Misp

VERSION = "2.5.1"
UNFILTERED = (
    "Restsearch queries using GET and no parameters are not allowed. If you have passed parameters via a JSON body,"
    " make sure you use POST requests."
)
CHECK_VALUE = {
    "name": "/warninglists/checkValue API description",
    "description": "POST a JSON list with value(s) to check against the warninglists to get a JSON dictionary as a"
    " response with any hits, if there are any (with the key being the passed value triggering a warning).",
    "mandatory_fields": ["[]"],
    "url": "/warninglists/checkValue",
}
WARNING_FOR_ALL = {
    "level": 1,
    "description": "Enable warning list triggers regardless of the IDS flag value.",
    "test": "testBool",
    "type": "boolean",
    "null": True,
    "name": "MISP.warning_for_all",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call by a known account.

    Args:
        account: who calls.
        method: GET, POST, …
        arguments: what follows controller and action in the path.
        named: the `name:value` parts of the path.
        body: what was sent, read; None with GET.
        csv: whether CSV is wanted.

    """

    account: Account
    method: str
    arguments: tuple[str, ...]
    named: dict[str, str]
    body: Any
    csv: bool

    @property
    def first(self) -> str | None:
        """The first argument, mostly an id."""
        return self.arguments[0] if self.arguments else None

    @property
    def posted(self) -> bool:
        """Whether the method is POST."""
        return self.method == "POST"

    @property
    def filters(self) -> dict[str, Any]:
        """The fields of the path and of the body."""
        return self.named | (self.body if isinstance(self.body, dict) else {})


Answer = Callable[["Misp", Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a call; `permission` is a field of the role."""

    answer: Answer
    permission: str = ""


def answer(misp: "Misp", controller: str, action: str, call: Call) -> Response:
    """Answer a call.

    Raises:
        NotFoundError: there is no such call.
        ForbiddenError: the account may not.
        MispError: whatever the call's own answer is.

    """
    route = ROUTES.get((controller, action))
    if route is None:
        raise NotFoundError("Not Found")
    if route.permission and not call.account.may(route.permission):
        raise ForbiddenError(NOT_ALLOWED)
    return route.answer(misp, call)


def _add_list(misp: "Misp", call: Call) -> Response:
    if not call.posted:
        raise InternalError
    return misp.lists.add(call.body)


def _edit_list(misp: "Misp", call: Call) -> Response:
    if call.method not in {"POST", "PUT"}:
        raise InternalError
    return misp.lists.edit(call.first, call.body)


def _toggle(misp: "Misp", call: Call) -> Response:
    if not call.posted:
        return ok({"saved": False, "errors": "This function only accepts POST requests."})
    return misp.lists.toggle(call.body)


def _check(misp: "Misp", call: Call) -> Response:
    return misp.lists.check(call.body) if call.posted else ok(CHECK_VALUE)


def _delete_list(misp: "Misp", call: Call) -> Response:
    if not call.posted:
        raise NotAllowedError("This function can only be reached via AJAX.")
    return misp.lists.delete(call.first, f"{misp.url}/warninglists")


def _import_list(misp: "Misp", call: Call) -> Response:
    if not call.posted:
        raise NotAllowedError("Method Not Allowed")
    return misp.lists.import_list(call.body)


def _update_lists(misp: "Misp", call: Call) -> Response:
    if not call.posted:
        raise NotAllowedError("This action is only accessible via POST requests.")
    return misp.lists.update()


def _search(misp: "Misp", call: Call) -> Response:
    if call.method == "GET" and not call.filters:
        raise BadRequestError(UNFILTERED)
    with misp.state.read() as db:
        return rest_search(db, call.filters, misp.lists.warnings())


def _delete_attribute(misp: "Misp", call: Call) -> Response:
    hard = call.arguments[1:] == ("1",) or (isinstance(call.body, dict) and bool(call.body.get("hard")))
    return misp.events.delete_attribute(call.first, hard=hard)


def _attach(misp: "Misp", call: Call) -> Response:
    return misp.events.attach_tag(call.filters, may_make=call.account.may("perm_tag_editor"))


def _me(misp: "Misp", call: Call) -> Response:
    with misp.state.read() as db:
        row = db.execute("SELECT * FROM organisations WHERE id = 1").fetchone()
    return ok(accounts.me(call.account, {"id": str(row["id"]), "name": row["name"], "uuid": row["uuid"]}))


def _version(misp: "Misp", call: Call) -> Response:
    its_role = accounts.role(call.account.role)
    shown = ("perm_sync", "perm_sighting", "perm_galaxy_editor", "perm_analyst_data")
    return ok(
        {
            "version": VERSION,
            "pymisp_recommended_version": VERSION,
            **{permission: its_role[permission] for permission in shown},
            "uuid": misp.uuid,
            "request_encoding": ["gzip"],
            "filter_sightings": True,
        }
    )


def _setting(misp: "Misp", call: Call) -> Response:
    if call.first != WARNING_FOR_ALL["name"]:
        raise NotFoundError(f"Setting {call.first} is invalid.")
    return ok(WARNING_FOR_ALL | {"value": misp.warning_for_all})


def _roles(misp: "Misp", call: Call) -> Response:  # noqa: ARG001 - an answer's signature
    return ok([{"Role": accounts.role(one["name"])} for one in load("roles")])


LISTS = "perm_warninglist"
ROUTES: dict[tuple[str, str], Route] = {
    ("warninglists", "index"): Route(lambda misp, call: misp.lists.index(call.filters)),
    ("warninglists", "view"): Route(lambda misp, call: misp.lists.view(call.first, csv=call.csv)),
    ("warninglists", "checkValue"): Route(_check),
    ("warninglists", "export"): Route(lambda misp, call: misp.lists.export(call.first)),
    ("warninglists", "add"): Route(_add_list, LISTS),
    ("warninglists", "edit"): Route(_edit_list, LISTS),
    ("warninglists", "toggleEnable"): Route(_toggle, LISTS),
    ("warninglists", "delete"): Route(_delete_list, LISTS),
    ("warninglists", "import"): Route(_import_list, LISTS),
    ("warninglists", "update"): Route(_update_lists, LISTS),
    ("attributes", "restSearch"): Route(_search),
    ("attributes", "describeTypes"): Route(lambda _, __: ok({"result": load("describe_types")})),
    ("attributes", "add"): Route(lambda misp, call: misp.events.add_attribute(call.first, call.filters), "perm_add"),
    ("attributes", "delete"): Route(_delete_attribute, "perm_add"),
    ("attributes", "edit"): Route(lambda misp, call: misp.events.edit_attribute(call.first, call.filters), "perm_add"),
    ("attributes", "view"): Route(lambda misp, call: misp.events.view_attribute(call.first)),
    ("events", "restSearch"): Route(lambda misp, call: misp.events.search(call.filters)),
    ("events", "view"): Route(lambda misp, call: misp.events.view(call.first)),
    ("events", "add"): Route(lambda misp, call: misp.events.add(call.filters), "perm_add"),
    ("events", "publish"): Route(lambda misp, call: misp.events.publish(call.first), "perm_publish"),
    ("events", "delete"): Route(lambda misp, call: misp.events.delete(call.first), "perm_add"),
    ("tags", "attachTagToObject"): Route(_attach, "perm_tagger"),
    ("tags", "removeTagFromObject"): Route(lambda misp, call: misp.events.remove_tag(call.filters), "perm_tagger"),
    ("feeds", "searchCaches"): Route(lambda misp, call: misp.feeds.search(call.filters.get("value"), misp.url)),
    ("users", "view"): Route(_me),
    ("servers", "getVersion"): Route(_version),
    ("servers", "getPyMISPVersion"): Route(lambda _, __: ok({"version": VERSION})),
    ("servers", "getSetting"): Route(_setting, "perm_site_admin"),
    ("roles", "index"): Route(_roles),
}
