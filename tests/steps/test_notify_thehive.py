"""TheHive: an alert within its limits, observables of its own types, and one alert for one result."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from summaries import MISP, RUN_ID, hostile_summary, match, parameters, settings, summary
from thehive4py.client import TheHiveApi

from misp_playbook_lib.model.results import ApplyOutcome, DeliveryStatus
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType
from misp_playbook_lib.report.summary import Summary, broken_off
from misp_playbook_lib.report.written import Became, Fate
from misp_playbook_lib.sandbox.thehive import DATA_TYPES, KEY, TheHive, _check
from misp_playbook_lib.steps.notify import send_all
from misp_playbook_lib.steps.notify_thehive import TheHiveNotifier, data_type, reference, severity


@pytest.fixture
def hive() -> Iterator[TheHive]:
    with TheHive() as service:
        yield service


def notifier(hive: TheHive | None = None, **given: Any) -> TheHiveNotifier:
    url = hive.url if hive else "https://hive.example"
    return TheHiveNotifier(parameters(send_to_thehive=True, **given), settings(thehive_url=url, thehive_key=KEY))


def alert(one: Summary, **given: Any) -> dict[str, Any]:
    [message] = notifier(**given).render(one)
    loaded: dict[str, Any] = json.loads(message.text)
    _check(loaded)
    return loaded


def entries(*values: str) -> list[WarninglistEntry]:
    return [WarninglistEntry(value) for value in values]


def test_the_alert_carries_what_the_parameters_say_and_the_list() -> None:
    made = alert(
        summary([match(1)]),
        thehive_alert_title="Seen again",
        thehive_alert_type="hunt",
        tlp="amber+strict",
        pap="red",
    )
    assert (made["title"], made["type"], made["source"]) == ("Seen again", "hunt", "misp-playbook")
    assert (made["tlp"], made["pap"]) == (3, 3)
    assert made["tags"][2:] == ["tlp:amber+strict", "PAP:RED", "warninglist:Campaign"]
    assert made["externalLink"] == f"{MISP}/warninglists/view/7"
    assert made["description"].startswith("**TLP:AMBER**")
    assert "`host-1[.]evil[.]example`" in made["summary"]
    assert RUN_ID in made["description"]


@pytest.mark.parametrize(("tlp", "number"), [("clear", 0), ("green", 1), ("amber", 2), ("amber+strict", 3), ("red", 4)])
def test_tlp_keeps_its_name(tlp: str, number: int, hive: TheHive) -> None:
    service = notifier(hive, tlp=tlp)
    send_all(service, service.render(summary(tlp=tlp)))
    assert hive.alerts[0]["tlp"] == number
    assert hive.alerts[0]["tlpLabel"] == tlp.upper()
    assert {one["tlp"] for one in hive.observables[hive.alerts[0]["_id"]]} == {number}


@pytest.mark.parametrize(
    ("value", "kind", "data"),
    [
        ("198.51.100.7", "ip", "198.51.100.7"),
        ("2001:db8::1", "ip", "2001:db8::1"),
        ("evil.example", "domain", "evil.example"),
        ("www.evil.example", "fqdn", "www.evil.example"),
        ("hxxp://evil[.]example/x", "url", "http://evil.example/x"),
        ("D41D8CD98F00B204E9800998ECF8427E", "hash", "d41d8cd98f00b204e9800998ecf8427e"),
        ("user@evil.example", "mail", "user@evil.example"),
        ("invoice.exe", "filename", "invoice.exe"),
        ("AS64496", "autonomous-system", "64496"),
        ("HKLM\\Software\\Evil", "registry", "HKLM\\Software\\Evil"),
        ("evil.example|198.51.100.7", "other", "evil.example|198.51.100.7"),
        ("CVE-2021-44228", "other", "CVE-2021-44228"),
    ],
)
def test_an_entry_becomes_an_observable_of_thehives_type(value: str, kind: str, data: str) -> None:
    assert data_type(value, WarninglistType.STRING) == (kind, data)
    assert kind in DATA_TYPES


def test_an_entry_of_a_regex_list_is_a_regexp() -> None:
    assert data_type("/evil/i", WarninglistType.REGEX) == ("regexp", "/evil/i")


def test_defect_23_a_network_is_no_ip_and_what_nobody_recognises_is_other(hive: TheHive) -> None:
    service = notifier(hive)
    send_all(service, service.render(summary(entries=entries("198.51.100.0/24", "Evil/1.0 (agent)"))))
    stored = {one["data"]: one["dataType"] for one in hive.observables[hive.alerts[0]["_id"]]}
    assert stored == {"198.51.100.0/24": "other", "Evil/1.0 (agent)": "other"}


def test_an_observable_says_its_comment_and_what_it_hits() -> None:
    one = alert(summary([match(3, "a.example"), match(4, "a.example")], [WarninglistEntry("a.example", "seen")]))
    assert one["observables"][0]["message"] == "seen. Hits 2 attributes in MISP, events 3, 4"


def test_what_thehive_will_not_take_is_listed_with_the_reason() -> None:
    given = ["a.example", "x" * 5_000, "nul\0byte", "half\ud800", "hxxp://a[.]example/", "http://a.example/"]
    made = alert(summary(entries=entries(*given)))
    assert [one["data"] for one in made["observables"]] == ["a.example", "http://a.example/"]
    assert "4 entries are no observables" in made["description"]
    listed = made["summary"].partition("### Warninglist details")[0]
    assert "5,000 characters, TheHive takes 4,096" in listed
    assert "null byte" in listed
    assert "the same observable as another entry" in listed


def test_severity_is_judged_by_what_was_found() -> None:
    assert severity(summary()) == 1
    assert severity(summary([match(1)])) == 2
    assert severity(summary(failures=["ER:1: not searched"])) == 2
    assert severity(summary([match(1), match(2, to_ids=True)])) == 3


def test_defect_23_the_same_result_again_names_the_alert_that_is_there(hive: TheHive) -> None:
    service = notifier(hive)
    first = send_all(service, service.render(summary([match(1)])))
    again = send_all(service, service.render(summary([match(1)], outcome=ApplyOutcome.UNCHANGED)))
    assert len(hive.alerts) == 1
    assert first.reference == again.reference == hive.alerts[0]["_id"]
    assert first.detail == f"Added alert {first.reference}."
    assert again.status is DeliveryStatus.SENT
    assert again.detail == f"The same result was reported before as alert {first.reference}."


def test_another_match_entry_or_list_is_another_result() -> None:
    base = summary([match(1)])
    others = [
        summary([match(1), match(2)]),
        summary([match(1)], entries("other.example")),
        summary([match(1)], name="Other"),
        summary([match(1)], list_type=WarninglistType.SUBSTRING),
    ]
    assert len({reference(one) for one in [base, *others]}) == 5
    assert reference(base) == reference(summary([match(1)], failures=["something"]))


def test_defect_23_a_long_name_does_not_overrun_the_reference() -> None:
    assert len(alert(summary(name="N" * 255))["sourceRef"]) <= 128


def test_a_reference_given_is_taken_and_long_ones_that_differ_stay_different() -> None:
    assert alert(summary(), thehive_alert_reference="CASE-1")["sourceRef"] == "CASE-1"
    long = [alert(summary(), thehive_alert_reference="R" * 140 + end)["sourceRef"] for end in "ab"]
    assert [len(one) for one in long] == [128, 128]
    assert long[0] != long[1]


def test_empty_texts_are_filled_and_long_ones_cut() -> None:
    made = alert(summary(), thehive_alert_title="", thehive_alert_type="")
    assert (made["title"], made["type"]) == ("Create a custom MISP warninglist", "misp-playbook")
    made = alert(summary(), thehive_alert_title="T" * 600, thehive_alert_type="Y" * 40)
    assert (len(made["title"]), len(made["type"])) == (512, 32)


def test_ten_thousand_matches_are_there_or_counted_with_a_pointer_to_the_report(hive: TheHive) -> None:
    found = [match(number, info="évènement") for number in range(10_000)]
    service = notifier(hive)
    delivery = send_all(service, service.render(summary(found, [WarninglistEntry(one.entry) for one in found])))
    assert delivery.status is DeliveryStatus.SENT
    [stored] = hive.alerts
    left = stored["summary"].rpartition("Matches in MISP events ")[2].partition(";")[0]
    assert stored["summary"].count("évènement") + int(left.replace(",", "")) == 10_000
    assert f"run {RUN_ID}: report.html, matches.csv." in stored["summary"]
    assert len(hive.observables[stored["_id"]]) == 10_000
    assert hive.requests[0].length < 10_000_000


def test_more_entries_than_an_alert_takes_are_listed_and_counted() -> None:
    made = alert(summary(entries=entries(*(f"{number}.example" for number in range(12_000)))))
    assert len(made["observables"]) == 10_000
    assert "2,000 entries are no observables of this alert" in made["description"]


def test_a_body_stays_within_what_thehive_reads() -> None:
    wide = [WarninglistEntry(f"{number}{chr(1) * 4_000}") for number in range(400)]
    made = alert(summary(entries=wide))
    assert len(json.dumps(made)) < 10_000_000
    assert 0 < len(made["observables"]) < 400


def test_hostile_texts_fit() -> None:
    made = alert(hostile_summary())
    assert "http://evil" not in made["description"] + made["summary"]
    assert "\u202e" not in made["summary"]


def test_a_run_that_broke_off_is_an_alert_of_its_own() -> None:
    became = Became(Fate.SEEN, "The list Campaign (ID 7): written and seen.", f"{MISP}/warninglists/view/7")
    one = broken_off(tlp="amber", run_id=RUN_ID, server={}, became=became, failures=[], crash="ER:1: KeyError")
    made = alert(one)
    assert made["sourceRef"] == f"misp-playbook-{RUN_ID}"
    assert made["severity"] == 2
    assert made["observables"] == []
    assert "The run broke off. The list Campaign (ID 7): written and seen." in made["description"]
    assert became.url in made["description"]
    assert "KeyError" in made["summary"]


def test_thehive4py_posts_the_same_alert(hive: TheHive) -> None:
    made = alert(summary([match(1)], entries("a.example", "198.51.100.0/24")))
    TheHiveApi(url=hive.url, apikey=KEY).alert.create(made)  # type: ignore[arg-type]
    again = notifier(hive)
    delivery = send_all(again, again.render(summary([match(1)], entries("a.example", "198.51.100.0/24"))))
    assert len(hive.alerts) == 1
    assert delivery.detail.startswith("The same result was reported before")
    assert len(hive.observables[hive.alerts[0]["_id"]]) == 2
