import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from misp_playbook_lib.sandbox import slack, thehive
from misp_playbook_lib.sandbox.mattermost import Mattermost
from misp_playbook_lib.sandbox.slack import Slack
from misp_playbook_lib.sandbox.thehive import TheHive


@pytest.fixture
def chat() -> Iterator[Mattermost]:
    with Mattermost() as service:
        yield service


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack() as service:
        yield service


@pytest.fixture
def hive() -> Iterator[TheHive]:
    with TheHive() as service:
        yield service


def post(address: str, payload: Any) -> requests.Response:
    return requests.post(address, json=payload, timeout=10)


class TestMattermost:
    def test_takes_a_post_and_keeps_what_it_contains(self, chat: Mattermost) -> None:
        card = {"card": "# Details"}
        answer = post(chat.hook, {"text": "done", "username": "playbook", "channel": "alerts", "props": card})
        assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (200, "ok", "text/plain")
        [kept] = chat.posts
        assert (kept["text"], kept["username"], kept["channel"]) == ("done", "playbook", "alerts")
        assert kept["props"]["card"] == "# Details"

    def test_takes_a_form_with_a_payload(self, chat: Mattermost) -> None:
        answer = requests.post(chat.hook, data={"payload": json.dumps({"text": "a & b"})}, timeout=10)
        assert answer.text == "ok"
        assert chat.posts[0]["text"] == "a & b"

    def test_splits_a_long_text_wherever_it_falls_and_repeats_the_props(self, chat: Mattermost) -> None:
        text = "é" * 16_383 + "| cut | here |"
        post(chat.hook, {"text": text, "props": {"card": "c"}, "attachments": [{"text": "one"}]})
        assert [kept["text"] for kept in chat.posts] == ["é" * 16_383, "| cut | here |"]
        assert [kept["props"]["card"] for kept in chat.posts] == ["c", "c"]
        assert ["attachments" in kept["props"] for kept in chat.posts] == [False, True]

    def test_a_text_of_just_the_limit_is_one_post(self, chat: Mattermost) -> None:
        post(chat.hook, {"text": "x" * 16_383})
        assert len(chat.posts) == 1

    @pytest.mark.parametrize(("character", "written"), [("x", 1), ("é", 1), ("<", 6), ("\n", 2)])
    def test_refuses_props_that_are_too_long_as_the_server_writes_them(
        self, chat: Mattermost, character: str, written: int
    ) -> None:
        room = 760_000 - len('{"from_webhook":"true","override_username":"webhook","card":""}')
        fits = character * (room // written)
        assert post(chat.hook, {"text": "t", "props": {"card": fits}}).status_code == 200
        answer = post(chat.hook, {"text": "t", "props": {"card": fits + character}})
        assert answer.status_code == 400
        assert answer.json()["id"] == "web.incoming_webhook.general.app_error"
        assert len(chat.posts) == 1

    def test_an_announcement_becomes_a_mention_and_a_link_a_link(self, chat: Mattermost) -> None:
        post(chat.hook, {"text": "<!channel> <!here> <https://host.example/|see>"})
        assert chat.posts[0]["text"] == "@channel @here [see](https://host.example/)"

    @pytest.mark.parametrize("payload", ["{nope", "[]", '{"text": 1}', '{"text": "t", "props": []}', ""])
    def test_refuses_what_it_cannot_decode(self, chat: Mattermost, payload: str) -> None:
        answer = requests.post(chat.hook, data=payload, headers={"Content-Type": "application/json"}, timeout=10)
        assert answer.status_code == 400
        assert answer.json()["id"] == "web.incoming_webhook.decode.app_error"

    def test_refuses_an_empty_message_and_an_unknown_hook(self, chat: Mattermost) -> None:
        assert post(chat.hook, {"text": ""}).json()["status_code"] == 400
        assert post(f"{chat.url}/hooks/unknown", {"text": "t"}).json()["status_code"] == 400
        assert post(f"{chat.url}/hooks/", {"text": "t"}).json()["status_code"] == 404
        assert chat.posts == []

    def test_says_that_it_is_there(self, chat: Mattermost) -> None:
        assert requests.get(f"{chat.url}/api/v4/system/ping", timeout=10).json() == {"status": "OK"}


def section(text: str, kind: str = "mrkdwn") -> dict[str, Any]:
    return {"type": "section", "text": {"type": kind, "text": text}}


def header(text: str, kind: str = "plain_text") -> dict[str, Any]:
    return {"type": "header", "text": {"type": kind, "text": text}}


def context(*texts: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text} for text in texts]}


def fields(*texts: str) -> dict[str, Any]:
    return {"type": "section", "fields": [{"type": "mrkdwn", "text": text} for text in texts]}


class TestSlack:
    @pytest.mark.parametrize(
        "blocks",
        [
            [header("h" * 150), section("s" * 3000), {"type": "divider"}, context("c"), section("p", "plain_text")],
            [fields(*["f" * 2000] * 6)],
            [section("x")] * 50,
            [section("x") | {"block_id": "a" * 255}],
            [section("s" * 3000)] * 4 + [section("s" * 1200)],
            [{"type": "header", "text": {"type": "plain_text", "text": "h", "emoji": False}}],
            [{"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": []}]}],
        ],
    )
    def test_takes_blocks_within_its_limits(self, workspace: Slack, blocks: list[Any]) -> None:
        answer = post(workspace.hook, {"text": "fallback", "blocks": blocks})
        assert (answer.status_code, answer.text) == (200, "ok")
        assert workspace.posts == [{"text": "fallback", "blocks": blocks}]

    @pytest.mark.parametrize(
        "blocks",
        [
            [header("h" * 151)],
            [header("h", "mrkdwn")],
            [header("")],
            [section("s" * 3001)],
            [section("s", "markdown")],
            [{"type": "section"}],
            [{"type": "section", "text": "s"}],
            [{"type": "section", "text": {"type": "mrkdwn", "text": "s", "emoji": True}}],
            [section("s") | {"title": "t"}],
            [fields(*["f"] * 11)],
            [fields("f" * 2001)],
            [context(*["c"] * 11)],
            [{"type": "context", "elements": []}],
            [section("x")] * 51,
            [section("x") | {"block_id": "a" * 256}],
            [section("x") | {"block_id": "a"}, section("y") | {"block_id": "a"}],
            [{"type": "table"}],
            ["section"],
        ],
    )
    def test_refuses_invalid_blocks(self, workspace: Slack, blocks: list[Any]) -> None:
        answer = post(workspace.hook, {"text": "fallback", "blocks": blocks})
        assert (answer.status_code, answer.text) == (400, "invalid_blocks")
        assert workspace.posts == []

    @pytest.mark.parametrize(
        ("payload", "word"),
        [
            ({}, "no_text"),
            ({"text": ""}, "no_text"),
            ({"text": 1}, "invalid_payload"),
            ([], "invalid_payload"),
            ({"text": "x" * 40_001}, "msg_too_long"),
            ({"text": "t", "blocks": {}}, "invalid_blocks_format"),
            ({"text": "t", "blocks": [section("s" * 3000)] * 4 + [section("s" * 1201)]}, "msg_blocks_too_long"),
            ({"text": "t", "attachments": [{}] * 101}, "too_many_attachments"),
        ],
    )
    def test_refuses_a_payload_in_one_word(self, workspace: Slack, payload: Any, word: str) -> None:
        answer = post(workspace.hook, payload)
        assert (answer.status_code, answer.text) == (400, word)

    def test_refuses_what_is_no_json(self, workspace: Slack) -> None:
        assert requests.post(workspace.hook, data="{nope", timeout=10).text == "invalid_payload"

    def test_takes_a_form_with_a_payload(self, workspace: Slack) -> None:
        assert requests.post(workspace.hook, data={"payload": '{"text": "t"}'}, timeout=10).text == "ok"
        assert workspace.posts == [{"text": "t"}]

    @pytest.mark.parametrize(
        ("path", "status", "word"),
        [
            (f"/services/TOTHER/{slack.SERVICE}/{slack.TOKEN}", 404, "no_team"),
            (f"/services/{slack.TEAM}/BOTHER/{slack.TOKEN}", 404, "no_service"),
            (f"/services/{slack.TEAM}/{slack.SERVICE}/other", 403, "invalid_token"),
            ("/services", 404, "no_service"),
        ],
    )
    def test_refuses_another_hook(self, workspace: Slack, path: str, status: int, word: str) -> None:
        answer = post(workspace.url + path, {"text": "t"})
        assert (answer.status_code, answer.text) == (status, word)

    def test_asks_to_wait_where_a_test_says_so(self, workspace: Slack) -> None:
        workspace.faults.add(kind="429", times=1, seconds=30)
        answer = post(workspace.hook, {"text": "t"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
        assert post(workspace.hook, {"text": "t"}).text == "ok"


ALERT: dict[str, Any] = {
    "type": "playbook",
    "source": "misp",
    "sourceRef": "campaign-1",
    "title": "A title",
    "description": "Some *Markdown*",
}
BEARER = {"Authorization": f"Bearer {thehive.KEY}"}


def send(hive: TheHive, path: str, body: Any, headers: dict[str, str] = BEARER) -> requests.Response:
    return requests.post(f"{hive.url}/api/v1/{path}", json=body, headers=headers, timeout=10)


def fetch(hive: TheHive, path: str, headers: dict[str, str] = BEARER) -> requests.Response:
    return requests.get(f"{hive.url}/api/v1/{path}", headers=headers, timeout=10)


class TestTheHive:
    def test_takes_an_alert_and_gives_it_back(self, hive: TheHive) -> None:
        answer = send(hive, "alert", ALERT | {"tlp": 3, "pap": 1, "severity": 4, "tags": ["a"], "summary": "s"})
        made = answer.json()
        assert answer.status_code == 201
        assert made["_id"].startswith("~")
        assert (made["status"], made["stage"], made["_type"]) == ("New", "New", "Alert")
        assert (made["tlpLabel"], made["papLabel"], made["severityLabel"]) == ("AMBER+STRICT", "GREEN", "CRITICAL")
        assert ALERT.items() < made.items()
        assert (made["tags"], made["summary"]) == (["a"], "s")
        assert fetch(hive, f"alert/{made['_id']}").json() == made
        assert hive.alerts == [made]

    def test_an_alert_without_numbers_is_amber_and_medium(self, hive: TheHive) -> None:
        made = send(hive, "alert", ALERT).json()
        assert (made["tlp"], made["pap"], made["severity"]) == (2, 2, 2)

    @pytest.mark.parametrize("field", ALERT)
    def test_refuses_an_alert_without_a_required_field(self, hive: TheHive, field: str) -> None:
        answer = send(hive, "alert", {key: value for key, value in ALERT.items() if key != field})
        assert (answer.status_code, answer.json()["type"]) == (400, "BadRequest")
        assert field in answer.json()["message"]

    @pytest.mark.parametrize(
        ("field", "longest"), [("type", 32), ("source", 64), ("sourceRef", 128), ("title", 512), ("summary", 1_048_576)]
    )
    def test_refuses_a_field_that_is_too_long(self, hive: TheHive, field: str, longest: int) -> None:
        answer = send(hive, "alert", ALERT | {field: "x" * (longest + 1)})
        assert (answer.status_code, answer.json()["type"]) == (400, "BadRequest")
        assert send(hive, "alert", ALERT | {field: "x" * longest}).status_code == 201

    @pytest.mark.parametrize(("field", "lowest", "highest"), [("tlp", 0, 4), ("pap", 0, 3), ("severity", 1, 4)])
    def test_refuses_a_number_out_of_range(self, hive: TheHive, field: str, lowest: int, highest: int) -> None:
        for wrong in (lowest - 1, highest + 1, "2", True):
            assert send(hive, "alert", ALERT | {field: wrong}).status_code == 400
        for right in (lowest, highest):
            assert send(hive, "alert", ALERT | {"sourceRef": str(right), field: right}).status_code == 201

    @pytest.mark.parametrize(
        "wrong",
        [
            {"title": ""},
            {"title": 1},
            {"tags": "a"},
            {"tags": ["t" * 129]},
            {"observables": [{"dataType": "ip"}]},
            {"observables": [{"dataType": "ip", "data": "x" * 4097}]},
            {"observables": [{"dataType": "ip", "data": "192.0.2.1", "tlp": 5}]},
        ],
    )
    def test_refuses_an_alert_that_is_wrong_otherwise(self, hive: TheHive, wrong: dict[str, Any]) -> None:
        assert send(hive, "alert", ALERT | wrong).json()["type"] == "BadRequest"
        assert hive.alerts == []

    def test_refuses_a_repeated_type_source_and_reference(self, hive: TheHive) -> None:
        send(hive, "alert", ALERT)
        answer = send(hive, "alert", ALERT | {"title": "Another title"})
        words = "Alert playbook:misp:campaign-1 already exist in organisation sandbox"
        assert (answer.status_code, answer.json()) == (400, {"type": "CreateError", "message": words})
        assert send(hive, "alert", ALERT | {"source": "other"}).status_code == 201
        assert len(hive.alerts) == 2

    def test_observables_of_an_unknown_type_vanish_silently(self, hive: TheHive) -> None:
        observables = [
            {"dataType": "ip", "data": ["192.0.2.1", "192.0.2.2"], "message": "seen", "tags": ["t"]},
            {"dataType": "ip-src", "data": "192.0.2.3"},
            {"dataType": "hash", "data": "a" * 32, "tlp": 4},
        ]
        made = send(hive, "alert", ALERT | {"observables": observables, "tlp": 1}).json()
        assert made["observableCount"] == 3
        kept = hive.observables[made["_id"]]
        assert [(each["dataType"], each["data"], each["tlpLabel"]) for each in kept] == [
            ("ip", "192.0.2.1", "GREEN"),
            ("ip", "192.0.2.2", "GREEN"),
            ("hash", "a" * 32, "RED"),
        ]
        steps = [{"_name": "getAlert", "idOrName": made["_id"]}, {"_name": "observables"}]
        assert send(hive, "query", {"query": steps}).json() == kept

    def test_finds_an_alert_by_its_reference(self, hive: TheHive) -> None:
        send(hive, "alert", ALERT | {"sourceRef": "another"})
        made = send(hive, "alert", ALERT).json()

        def found(*steps: dict[str, Any]) -> Any:
            return send(hive, "query?name=alerts", {"query": [{"_name": "listAlert"}, *steps]}).json()

        by_reference = {"_eq": {"_field": "sourceRef", "_value": "campaign-1"}}
        by_source = {"_eq": {"_field": "source", "_value": "misp"}}
        assert found({"_name": "filter", **by_reference}) == [made]
        assert found({"_name": "filter", "_and": [by_source, by_reference]}) == [made]
        assert found({"_name": "filter", **by_source}, {"_name": "count"}) == 2
        assert found({"_name": "page", "from": 1, "to": 2}) == [made]
        assert found({"_name": "filter", "_like": {}})["type"] == "BadRequest"

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer another"}, {"Authorization": thehive.KEY}])
    def test_refuses_another_key(self, hive: TheHive, headers: dict[str, str]) -> None:
        refused = {"type": "AuthenticationError", "message": "Authentication failure"}
        for answer in (send(hive, "alert", ALERT, headers), fetch(hive, "user/current", headers)):
            assert (answer.status_code, answer.json()) == (401, refused)

    def test_says_that_it_is_there_and_who_asks(self, hive: TheHive) -> None:
        assert fetch(hive, "status", {}).json()["versions"]["TheHive"] == thehive.VERSION
        assert fetch(hive, "user/current").json()["login"] == thehive.USER

    def test_does_not_know_an_alert_that_is_not_there(self, hive: TheHive) -> None:
        answer = fetch(hive, "alert/~1")
        assert (answer.status_code, answer.json()["type"]) == (404, "NotFoundError")

    def test_refuses_what_is_no_json(self, hive: TheHive) -> None:
        answer = requests.post(f"{hive.url}/api/v1/alert", data="{nope", headers=BEARER, timeout=10)
        assert (answer.status_code, answer.json()) == (400, {"type": "BadRequest", "message": "Invalid json"})
