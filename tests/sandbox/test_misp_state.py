"""What the sandbox's MISP keeps, generates and loses."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.misp import Misp

Ask = Callable[..., tuple[int, Any]]
BIG = [f"{number}.example" for number in range(2_000)]


def test_a_file_keeps_keys_lists_and_events(tmp_path: Path) -> None:
    data = tmp_path / "misp.sqlite"
    with Misp(data=data) as first:
        key = first.key
        first.add_warninglist("mine", entries=[("a", "b")])
        event = first.add_event("kept", [{"type": "text", "value": "x"}])
    with Misp(data=data) as again:
        assert again.key == key
        kept = again.warninglist("mine")
        assert kept is not None
        assert kept["entries"] == [("a", "b")]
        with again.state.read() as db:
            events = [row["id"] for row in db.execute("SELECT id FROM events ORDER BY id")]
        assert events == [2397, 2411, 2416, event]


def test_the_demo_holds_the_three_published_events() -> None:
    with Misp() as misp, misp.state.read() as db:
        rows = db.execute(
            "SELECT e.id, e.published, a.type, a.category, a.value1"
            " FROM events e JOIN attributes a ON a.event_id = e.id"
        )
        assert [tuple(row) for row in rows] == [
            (2397, 1, "ip-dst", "Network activity", "158.255.208.168"),
            (2411, 1, "domain", "Network activity", "johnshopkin.net"),
            (2416, 1, "md5", "Payload delivery", "028878c4b6ab475ed0be97eca6f92af9"),
        ]


def generated(seed: int) -> list[tuple[Any, ...]]:
    with Misp(demo=False, attributes=3_000, seed=seed) as misp, misp.state.read() as db:
        query = "SELECT a.*, e.published, e.info FROM attributes a JOIN events e ON e.id = a.event_id ORDER BY a.id"
        return [tuple(row) for row in db.execute(query)]


def test_a_seed_number_decides_every_attribute() -> None:
    rows = generated(7)
    assert len(rows) == 3_000
    assert generated(7) == rows
    assert generated(8) != rows
    assert {row[-2] for row in rows} == {0, 1}
    assert len({row[5] for row in rows}) > 10


def test_searches_by_value_time_event_and_uuid_use_an_index_of_a_filled_misp() -> None:
    with Misp(demo=False, attributes=500) as filled, filled.state.read() as db:
        plans = [
            db.execute(f"EXPLAIN QUERY PLAN SELECT id FROM attributes WHERE {condition}").fetchone()["detail"]  # noqa: S608 - constants
            for condition in ("key1 = 'x'", "key2 != '' AND key2 = 'x'", "timestamp >= 5", "event_id = 5", "uuid = 'x'")
        ]
    assert all("USING" in plan and "INDEX" in plan for plan in plans), plans


def test_a_write_beside_another_one_deadlocks_and_leaves_nothing(misp: Misp, ask: Ask) -> None:
    misp.faults.add("warninglists/add", "deadlock", times=1)
    answers: list[tuple[int, Any]] = []
    body = {"name": "big", "description": "d", "entries": BIG}
    with misp.state.write():
        thread = threading.Thread(target=lambda: answers.append(ask("/warninglists/add", body)))
        thread.start()
        while not misp.state.waiting:
            thread.join(0.001)
    thread.join()
    assert answers[0][0] == 500
    assert answers[0][1]["message"] == "An Internal Error Has Occurred."
    assert misp.warninglist("big") is None
    assert ask("/warninglists/add", body)[0] == 200


def test_a_write_alone_never_deadlocks(misp: Misp, ask: Ask) -> None:
    misp.faults.add(kind="deadlock")
    assert ask("/warninglists/add", {"name": "n", "description": "d", "entries": ["a"]})[0] == 200


def test_a_refused_write_leaves_nothing(misp: Misp, ask: Ask) -> None:
    body = {"name": "n", "description": "d", "entries": ["fine", "\N{GRINNING FACE}"]}
    assert ask("/warninglists/add", body)[0] == 500
    assert misp.warninglist("n") is None


def test_many_readers_and_writers_at_once_all_get_their_answer(misp: Misp) -> None:
    misp.add_event("one", [{"type": "domain", "value": value} for value in BIG[:200]])
    failed: list[Any] = []

    def work(number: int) -> None:
        from http.client import HTTPConnection  # noqa: PLC0415 - one a thread

        connection = HTTPConnection("127.0.0.1", misp.port, timeout=30)
        headers = {"Accept": "application/json", "Content-Type": "application/json", "Authorization": misp.key}
        for turn in range(5):
            add = {"name": f"{number}/{turn}", "description": "d", "entries": BIG[:50], "enabled": 1}
            for path, body in (("/warninglists/add", add), ("/attributes/restSearch", {"includeWarninglistHits": 1})):
                connection.request("POST", path, json.dumps(body), headers)
                answer = connection.getresponse()
                if not answer.read() or answer.status != 200:
                    failed.append((path, answer.status))
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(misp.lists.warnings().lists) == 20


def test_a_deleted_list_stays_in_the_cache_until_the_next_write(misp: Misp, ask: Ask) -> None:
    list_id = misp.add_warninglist("gone", entries=[("a", None)])
    ask(f"/warninglists/delete/{list_id}", {})
    assert ask("/warninglists/checkValue", ["a"])[1] != []
    misp.add_warninglist("other", entries=[("b", None)], enabled=False)
    assert ask("/warninglists/checkValue", ["a"])[1] == []


def test_a_built_in_list_cannot_be_edited_but_deleted_and_brought_back(misp: Misp, ask: Ask) -> None:
    name = "List of RFC 1918 CIDR blocks"
    kept = misp.warninglist(name)
    assert kept is not None
    assert ask(f"/warninglists/edit/{kept['id']}", {"description": "x"})[0] == 404
    assert ask(f"/warninglists/delete/{kept['id']}", {})[0] == 302
    assert misp.warninglist(name) is None
    assert ask("/warninglists/update", {})[1]["message"] == "Successfully updated 1 warninglists."
    again = misp.warninglist(name)
    assert again is not None
    assert again["entries"] == kept["entries"]
    assert again["id"] != kept["id"]


def test_the_sandbox_keeps_its_misp_in_a_file_and_fills_it(tmp_path: Path) -> None:
    data = tmp_path / "misp.sqlite"
    for _ in range(2):
        with Sandbox(data=data, attributes=100) as sandbox, sandbox.misp.state.read() as db:
            assert db.execute("SELECT count(*) FROM attributes").fetchone()[0] == 103
