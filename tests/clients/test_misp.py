"""MISP through PyMISP: its answers parsed, its refusals and faults as exceptions of one line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina
from conftest import ROOT

from misp_playbook_lib.clients.misp import MispClient, parse_warninglist
from misp_playbook_lib.errors import (
    AuthenticationFailed,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    ServiceError,
    ServiceUnavailable,
    UnexpectedResponse,
    WarninglistError,
)
from misp_playbook_lib.model.warninglist import WarninglistCategory, WarninglistEntry, WarninglistType
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import Settings, load_settings

RECORDINGS = ROOT / "tests" / "data" / "misp-2.5.1" / "recordings.json"


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.fixture
def settings(vault: Path) -> Settings:
    return load_settings(vault, {})


@pytest.fixture
def misp(settings: Settings) -> MispClient:
    return MispClient(settings)


def recorded(name: str) -> object:
    exchanges = json.loads(RECORDINGS.read_text())["exchanges"]
    return next(one["response"]["body"] for one in exchanges if one["name"] == name)


def test_both_recorded_shapes_of_a_list_are_read() -> None:
    nested = parse_warninglist(recorded("wl_view_added_string_known"))
    assert nested.name == "rec string known"
    assert nested.type is WarninglistType.STRING
    assert nested.category is WarninglistCategory.KNOWN
    assert nested.entries[0] == WarninglistEntry("johnshopkin.net", "")
    assert nested.matching_attributes == ("ip-src", "ip-dst", "domain", "hostname", "url", "md5")
    beside = parse_warninglist(recorded("wl_edit_empty_body"))
    assert beside.version == 8
    assert beside.entries == (WarninglistEntry("ld1.example", "cc"),)


@pytest.mark.parametrize("answer", [None, [], {}, {"Warninglist": {"id": "x"}}, {"Warninglist": []}, "text"])
def test_an_answer_of_another_shape_is_told(answer: object) -> None:
    with pytest.raises(UnexpectedResponse, match="not of the promised shape"):
        parse_warninglist(answer)


def test_the_server_says_who_we_are(misp: MispClient, sandbox: Sandbox) -> None:
    assert misp.server.url == sandbox.misp_url
    assert misp.server.version == "2.5.1"
    assert misp.server.may_edit_warninglists
    assert misp.server.line.startswith("SANDBOX ")


def test_a_slash_at_the_end_of_the_address_does_no_harm(sandbox: Sandbox, vault: Path) -> None:
    vault.write_text(vault.read_text().replace(sandbox.misp_url, f"{sandbox.misp_url}//", 1))
    assert MispClient(load_settings(vault, {})).server.url == sandbox.misp_url
    assert not [request.path for request in sandbox.misp.requests if "//" in request.path]


def test_a_netrc_entry_never_replaces_the_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert MispClient(settings).server.role == "admin"


def test_a_proxy_of_the_system_is_not_used_for_loopback(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert MispClient(settings).server.role == "admin"


def test_an_unknown_id_is_told_as_such(misp: MispClient) -> None:
    with pytest.raises(WarninglistError, match="There is no warninglist with the ID 4711"):
        misp.warninglist(4711)


def test_misps_own_words_come_through(misp: MispClient) -> None:
    with pytest.raises(RequestRejected, match="is not valid CIDR") as caught:
        misp.add_warninglist({"name": "x", "description": "x", "type": "cidr", "entries": ["10.0.0.0/99"]})
    assert "entries" in caught.value.errors


def test_a_role_without_the_permission_is_refused_with_its_name(sandbox: Sandbox, vault: Path) -> None:
    vault.write_text(vault.read_text().replace(sandbox.misp_key, sandbox.misp.plain_key))
    client = MispClient(load_settings(vault, {}))
    with pytest.raises(PermissionDenied, match="Warninglist Editor"):
        client.require_warninglist_permission()
    with pytest.raises(PermissionDenied):
        client.add_warninglist({"name": "x", "description": "x", "entries": ["a.example"]})


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("redirect", AuthenticationFailed),
        ("403", ServiceError),
        ("500", ServiceUnavailable),
        ("504", ServiceUnavailable),
        ("refusal", ServiceUnavailable),
        ("html", UnexpectedResponse),
        ("truncated", UnexpectedResponse),
        ("shape", UnexpectedResponse),
    ],
)
def test_each_fault_on_a_read_is_an_exception_of_one_line(
    misp: MispClient, sandbox: Sandbox, kind: str, error: type[ServiceError]
) -> None:
    sandbox.misp.faults.add(path="/warninglists/index", kind=kind)  # type: ignore[arg-type]
    with pytest.raises(error) as caught:
        misp.warninglists()
    assert "\n" not in str(caught.value)


def test_a_read_survives_two_faults(misp: MispClient, sandbox: Sandbox) -> None:
    sandbox.misp.faults.add(path="/warninglists/index", kind="504", times=2)
    assert misp.warninglists()


def test_a_write_is_never_repeated_on_its_own(misp: MispClient, sandbox: Sandbox) -> None:
    sandbox.misp.faults.add(path="/warninglists/add", kind="504", times=1)
    with pytest.raises(ServiceUnavailable):
        misp.add_warninglist({"name": "x", "description": "x", "entries": ["a.example"]})
    assert [request.path for request in sandbox.misp.requests if "add" in request.path] == ["/warninglists/add"]


def test_the_key_never_stands_in_an_error_or_a_log(
    sandbox: Sandbox, vault: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.misp.faults.add(kind="500")
    with caplog.at_level("DEBUG"), pytest.raises(ServiceUnavailable) as caught:
        MispClient(load_settings(vault, {}))
    assert sandbox.misp_key not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert sandbox.misp_key not in caplog.text


def test_reads_and_writes_wait_as_a_429_asks(misp: MispClient, sandbox: Sandbox) -> None:
    waits: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    fields = {"name": "x", "description": "x", "entries": ["a.example"]}
    list_id = misp.add_warninglist({**fields, "name": "mine"})
    calls: dict[str, Callable[[], object]] = {
        "/warninglists/index": misp.warninglists,
        "/attributes/restSearch": lambda: misp.attributes({"limit": 1}),
        "/warninglists/add": lambda: misp.add_warninglist(fields),
        "/warninglists/edit": lambda: misp.edit_warninglist(list_id, {"description": "y"}),
        "/warninglists/toggleEnable": lambda: misp.set_warninglist_enabled(list_id, enabled=True),
    }
    try:
        with stamina.set_testing(False), pytest.MonkeyPatch.context() as patch:
            patch.setattr("tenacity.nap.time.sleep", lambda _: None)
            for path, call in calls.items():
                sandbox.misp.faults.add(path=path, kind="429", times=1, seconds=2)
                call()
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert waits == [2.0] * len(calls)


def test_a_429_that_asks_for_an_hour_is_not_waited_for(misp: MispClient, sandbox: Sandbox) -> None:
    sandbox.misp.faults.add(path="/warninglists", kind="429", seconds=3600)
    sandbox.misp.clear_requests()
    for call in (misp.warninglists, lambda: misp.delete_warninglist(1)):
        with pytest.raises(RateLimited, match="wait and try again"):
            call()
    assert len(sandbox.misp.requests) == 2


def test_a_deleted_list_is_gone_though_misp_answers_with_a_redirect(misp: MispClient) -> None:
    list_id = misp.add_warninglist({"name": "x", "description": "x", "entries": ["a.example"]})
    misp.delete_warninglist(list_id)
    assert misp.find_warninglist(list_id) is None


def test_lists_that_hold_a_value_in_another_shape_are_not_taken_for_none(misp: MispClient, sandbox: Sandbox) -> None:
    sandbox.misp.faults.add(path="/warninglists/checkValue", kind="shape")
    assert misp.listed([]) == {}
    with pytest.raises(UnexpectedResponse, match="not of the promised shape"):
        misp.listed(["a.example"])
