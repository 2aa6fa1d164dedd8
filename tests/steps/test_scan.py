"""Reading attributes whole: each once, whatever fails and whoever edits meanwhile."""

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import stamina
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from searching import SEARCH, between, client, searches

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.server import Request, Response
from misp_playbook_lib.steps.scan import GIVE_UP, Scan

ATTRIBUTES = 3_000
LIMIT = 200
EVERYTHING = {"published": [0, 1]}
FAILED = "MISP: server error 504 (attributes/restSearch); try again later, or look in MISP's log"


@pytest.fixture(autouse=True)
def _no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def misp() -> Iterator[Misp]:
    with Misp(demo=False, attributes=ATTRIBUTES, seed=3) as service:
        yield service


@pytest.fixture
def ours(misp: Misp) -> MispClient:
    return client(misp)


def seen(scan: Scan) -> Counter[int]:
    """Read everything and count how often each attribute came."""
    return Counter(row.id for rows in scan.of_all() for row in rows)


def once(number: int = ATTRIBUTES) -> Counter[int]:
    return Counter(range(1, number + 1))


def at_one_second(misp: Misp, count: int, moment: int) -> None:
    """Let the first `count` attributes share a timestamp."""
    with misp.state.write() as db:
        db.execute("UPDATE attributes SET timestamp = ? WHERE id <= ?", (moment, count))


def test_a_server_whose_attributes_fit_an_answer_is_asked_once(ours: MispClient, misp: Misp) -> None:
    misp.clear_requests()
    scan = Scan(ours, EVERYTHING)
    assert seen(scan) == once()
    assert len(searches(misp)) == 1
    assert scan.done == scan.total == ATTRIBUTES


def test_every_attribute_is_read_once_by_windows_of_about_half_a_full_answer() -> None:
    with Misp(demo=False, attributes=30_000, seed=3) as misp:
        scan = Scan(client(misp), EVERYTHING, limit=2_000)
        assert seen(scan) == once(30_000)
        assert scan.unread == ()
        assert all("page" not in asked for asked in searches(misp))
        assert 30 <= len(searches(misp)) < 60
        assert searches(misp)[0]["limit"] == 500, "what is read for its sample alone is a quarter of an answer"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 2_000_000_000) | st.integers(10, 14), min_size=1, max_size=8), st.integers(2, 20))
def test_however_timestamps_lie_every_attribute_is_read(misp: Misp, times: list[int], limit: int) -> None:
    with misp.state.write() as db:
        db.execute("DELETE FROM attributes WHERE id > 60")
        db.executemany(
            "UPDATE attributes SET timestamp = ? WHERE id = ?",
            [(times[number % len(times)], number + 1) for number in range(60)],
        )
    scan = Scan(client(misp), EVERYTHING, limit=limit)
    assert set(seen(scan)) == set(range(1, 61))
    assert scan.unread == ()


def test_a_second_that_holds_more_than_an_answer_is_paged(ours: MispClient, misp: Misp) -> None:
    at_one_second(misp, 1_100, 1_700_000_000)
    misp.clear_requests()
    assert seen(Scan(ours, EVERYTHING, limit=LIMIT)) == once()
    paged = [asked for asked in searches(misp) if "page" in asked]
    assert {tuple(asked["attribute_timestamp"]) for asked in paged} == {("1700000000", "1700000000")}  # type: ignore[arg-type]


def test_what_leaves_a_second_while_it_is_paged_makes_nothing_be_missed(ours: MispClient, misp: Misp) -> None:
    at_one_second(misp, 1_100, 1_700_000_000)

    def edit(number: int) -> None:
        with misp.state.write() as db:
            db.execute("UPDATE attributes SET timestamp = ? WHERE id = ?", (int(time.time()), number * 7))

    between(misp, edit)
    assert set(seen(Scan(ours, EVERYTHING, limit=LIMIT))) == set(range(1, ATTRIBUTES + 1))


def test_what_is_edited_or_added_between_requests_is_read_as_it_is_then(ours: MispClient, misp: Misp) -> None:
    def edit(number: int) -> None:
        present = int(time.time())
        with misp.state.write() as db:
            chosen = (number * 997 % ATTRIBUTES + 1, number * 577 % ATTRIBUTES + 1)
            db.execute("UPDATE attributes SET timestamp = ?, value1 = 'edited' WHERE id IN (?, ?)", (present, *chosen))
        if number % 5 == 0:
            misp.add_event(f"Added {number}", [{"type": "domain", "value": f"added-{number}.example"}])

    between(misp, edit)
    latest = {row.id: row.value for rows in Scan(ours, EVERYTHING, limit=LIMIT).of_all() for row in rows}
    with misp.state.read() as db:
        edited = {row[0] for row in db.execute("SELECT id FROM attributes WHERE value1 = 'edited'")}
    assert set(range(1, ATTRIBUTES + 1)) <= set(latest)
    assert len(edited) > 20
    after_the_last_answer = 2
    assert sum(not latest[number].startswith("edited") for number in edited) <= after_the_last_answer


def test_two_requests_are_in_flight(ours: MispClient, misp: Misp) -> None:
    together = threading.Barrier(2)

    def meet(number: int) -> None:
        if number in (3, 4):
            together.wait(timeout=20)

    between(misp, meet)
    assert seen(Scan(ours, EVERYTHING, limit=LIMIT)) == once()
    assert not together.broken


@pytest.mark.parametrize("kind", ["504", "reset", "lost", "truncated", "html", "shape"])
def test_an_answer_that_fails_once_is_asked_for_again(ours: MispClient, misp: Misp, kind: str) -> None:
    misp.faults.add(path=SEARCH, kind=kind, times=1, after=5)  # type: ignore[arg-type]
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    assert seen(scan) == once()
    assert scan.unread == ()


def test_an_answer_that_fails_however_often_it_is_asked_for_is_halved(ours: MispClient, misp: Misp) -> None:
    misp.faults.add(path=SEARCH, kind="504", times=3, after=5)
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    assert seen(scan) == once()
    assert scan.unread == ()


def test_a_window_that_cannot_be_read_at_all_is_said_and_the_rest_is_read(ours: MispClient, misp: Misp) -> None:
    with misp.state.read() as db:
        (moment,) = db.execute("SELECT timestamp FROM attributes ORDER BY timestamp LIMIT 1 OFFSET 1500").fetchone()

    handle = misp.handle

    def handling(request: Request) -> Response:
        window = request.json.get("attribute_timestamp") if request.path.startswith("/attributes/rest") else None
        if isinstance(window, list) and int(window[0]) <= moment <= int(window[1]):
            return Response(504, "<html>Gateway Timeout</html>")
        return handle(request)

    misp.handle = handling  # type: ignore[method-assign]
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    read = seen(scan)
    assert set(read.values()) == {1}
    assert ATTRIBUTES - LIMIT < len(read) < ATTRIBUTES
    (line,) = scan.unread
    assert line.startswith("attributes changed from ")
    assert line.endswith(f"were not read: {FAILED}")


def test_a_server_that_dies_half_way_is_given_up_and_what_was_read_is_kept(ours: MispClient, misp: Misp) -> None:
    between(misp, lambda number: misp.faults.add(path=SEARCH, kind="refusal") if number == 8 else None)
    misp.clear_requests()
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    read = seen(scan)
    assert 0 < len(read) < ATTRIBUTES
    (line,) = scan.unread
    assert " on were not read: MISP: " in line
    assert len(searches(misp)) < 8 + 3 * (GIVE_UP + 2)


def test_a_key_that_is_refused_half_way_ends_the_scan_at_once(ours: MispClient, misp: Misp) -> None:
    misp.faults.add(path=SEARCH, kind="401", after=6)
    misp.clear_requests()
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    assert 0 < len(seen(scan)) < ATTRIBUTES
    assert "the key was refused" in scan.unread[0]
    assert len(searches(misp)) <= 8


def test_a_page_that_fails_is_halved(ours: MispClient, misp: Misp) -> None:
    at_one_second(misp, ATTRIBUTES, 1_700_000_000)
    handle = misp.handle

    def handling(request: Request) -> Response:
        asked = request.json if request.path.startswith("/attributes/rest") else {}
        if asked.get("page") == 4 and asked["limit"] == LIMIT:
            misp.faults.add(path=SEARCH, kind="504", times=2)
            return Response(504, "<html>Gateway Timeout</html>")
        return handle(request)

    misp.handle = handling  # type: ignore[method-assign]
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    assert seen(scan) == once()
    assert scan.unread == ()
    assert {asked["limit"] for asked in searches(misp) if "page" in asked} == {LIMIT, LIMIT // 2}


def test_a_scan_ends_when_its_time_is_over_and_says_what_it_left(ours: MispClient) -> None:
    ticks = iter(range(1_000_000))
    scan = Scan(ours, EVERYTHING, limit=LIMIT, seconds=20, clock=lambda: next(ticks))
    assert 0 < len(seen(scan)) < ATTRIBUTES
    assert scan.unread[0].endswith("on were not read: 20 seconds were not enough")


def test_what_is_stopped_says_from_where_on_it_did_not_read(ours: MispClient) -> None:
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    for _ in scan.of_all():
        scan.stop("enough")
    assert 0 < scan.done < ATTRIBUTES
    assert scan.unread[0].endswith(" on were not read: enough")


def test_since_is_sent_as_an_epoch(ours: MispClient, misp: Misp) -> None:
    misp.clear_requests()
    read = seen(Scan(ours, EVERYTHING, since=1_700_000_000))
    with misp.state.read() as db:
        later = {row[0] for row in db.execute("SELECT id FROM attributes WHERE timestamp >= 1700000000")}
    assert set(read) == later
    assert searches(misp)[0]["attribute_timestamp"] == "1700000000"


def test_values_are_halved_until_each_answer_is_whole(ours: MispClient, misp: Misp) -> None:
    values = [f"shared-{number}.example" for number in range(40)]
    for number in range(30):
        misp.add_event(f"Event {number}", [{"type": "domain", "value": value} for value in values])
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    read = Counter(row.value for rows in scan.of_values([values]) for row in rows)
    assert read == Counter(dict.fromkeys(values, 30))
    assert scan.done == scan.total == 40


def test_a_value_that_fills_more_than_an_answer_is_split_by_time(ours: MispClient, misp: Misp) -> None:
    for number in range(LIMIT + 50):
        attribute = {"type": "domain", "value": "busy.example", "timestamp": 1_600_000_000 + number // 3 * 1000}
        misp.add_event(f"Event {number}", [attribute])
    scan = Scan(ours, EVERYTHING, limit=LIMIT)
    read = Counter(row.id for rows in scan.of_values([["busy.example"]]) for row in rows)
    assert len(read) == LIMIT + 50
    assert set(read.values()) == {1}


def test_values_that_were_not_searched_are_counted(ours: MispClient, misp: Misp) -> None:
    misp.faults.add(path=SEARCH, kind="504")
    scan = Scan(ours, EVERYTHING)
    assert list(scan.of_values([["a.example", "b.example"], ["c.example"]])) == []
    assert scan.unread == (f"3 of 3 entries were not searched: {FAILED}",)
