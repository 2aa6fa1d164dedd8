"""TheHive: an alert is added once; a repeat finds the alert that is there."""

from collections.abc import Iterator
from typing import Any

import pytest
import stamina

from misp_playbook_lib.clients.thehive import TheHiveClient
from misp_playbook_lib.errors import (
    AuthenticationFailed,
    RequestRejected,
    ServiceError,
    ServiceUnavailable,
    UnexpectedResponse,
)
from misp_playbook_lib.sandbox.faults import Kind
from misp_playbook_lib.sandbox.thehive import KEY, TheHive

ALERT: dict[str, Any] = {
    "type": "hunt",
    "source": "misp-playbook",
    "sourceRef": "ref-1",
    "title": "t",
    "description": "d",
}


@pytest.fixture
def hive() -> Iterator[TheHive]:
    with TheHive() as service:
        yield service


def test_an_alert_is_added_and_named(hive: TheHive) -> None:
    added = TheHiveClient(hive.url, KEY).add_alert(ALERT)
    assert (added.id, added.existed) == (hive.alerts[0]["_id"], False)


def test_a_repeat_names_the_alert_that_is_there(hive: TheHive) -> None:
    client = TheHiveClient(hive.url, KEY)
    client.add_alert(ALERT | {"sourceRef": "other"})
    first = client.add_alert(ALERT)
    again = client.add_alert(ALERT)
    assert (again.id, again.existed) == (first.id, True)
    assert len(hive.alerts) == 2


@pytest.mark.parametrize("kind", ["403", "lost", "shape", "html"])
def test_a_repeat_has_arrived_also_where_the_alert_that_is_there_cannot_be_asked_for(hive: TheHive, kind: Kind) -> None:
    client = TheHiveClient(hive.url, KEY)
    client.add_alert(ALERT)
    hive.faults.add(path="/query", kind=kind)
    with stamina.set_testing(True, attempts=3, cap=True):
        again = client.add_alert(ALERT)
    assert (again.id, again.existed, again.url) == ("", True, "")


def test_another_refusal_is_told_in_thehives_words(hive: TheHive) -> None:
    with pytest.raises(RequestRejected, match="sourceRef"):
        TheHiveClient(hive.url, KEY).add_alert(ALERT | {"sourceRef": "r" * 129})


def test_a_refused_key_is_told(hive: TheHive) -> None:
    with pytest.raises(AuthenticationFailed, match="TheHive: the key was refused"):
        TheHiveClient(hive.url, "wrong-key").add_alert(ALERT)


@pytest.mark.parametrize("kind", ["502", "lost", "truncated"])
def test_an_alert_that_may_be_there_is_not_posted_twice(hive: TheHive, kind: Kind) -> None:
    hive.faults.add(kind=kind)
    with pytest.raises(ServiceError):
        TheHiveClient(hive.url, KEY).add_alert(ALERT)
    assert len(hive.requests) == 1


def test_a_429_is_waited_for(hive: TheHive) -> None:
    hive.faults.add(kind="429", times=1, seconds=2)
    with stamina.set_testing(True, attempts=3, cap=True):
        TheHiveClient(hive.url, KEY).add_alert(ALERT)
    assert len(hive.alerts) == 1


def test_a_timeout_is_told_and_not_repeated(hive: TheHive) -> None:
    hive.faults.add(kind="latency", seconds=0.5)
    client = TheHiveClient(hive.url, KEY, timeout=0.05)
    with pytest.raises(ServiceUnavailable, match="no answer in time"):
        client.add_alert(ALERT)


@pytest.mark.parametrize("kind", ["shape", "html"])
def test_an_answer_that_is_no_alert_is_told(hive: TheHive, kind: Kind) -> None:
    hive.faults.add(kind=kind)
    with pytest.raises(UnexpectedResponse, match="is this address the right one"):
        TheHiveClient(hive.url, KEY).add_alert(ALERT)
