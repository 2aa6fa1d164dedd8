"""The retro-search: what MISP would warn on, by which entry, and where it stays silent, why."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import stamina
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from searching import SEARCH, between, client, listed, searches

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.model.matching import Silence
from misp_playbook_lib.model.results import AttributeMatch, CorrelationResult, Published, Scope, Warns
from misp_playbook_lib.report.correlation import events_table, impact_line, matches_line
from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.misp.matcher import EnabledList, Entries, Warnings
from misp_playbook_lib.steps import retrosearch as searching
from misp_playbook_lib.steps.retrosearch import impact, retrosearch

GENERATED = 20_000
ODD = [
    {"type": "domain", "value": "evil.example"},
    {"type": "hostname", "value": "www.evil.example"},
    {"type": "url", "value": "http://EVIL.example/%7Eadmin"},
    {"type": "url", "value": "http://evil.example:8080/x?y=evil.test"},
    {"type": "url", "value": "https://cdn.evil.test./a"},
    {"type": "ip-dst", "value": "198.51.100.7"},
    {"type": "ip-src", "value": "198.51.100.0/24"},
    {"type": "ip-dst", "value": "2001:db8::7"},
    {"type": "ip-dst|port", "value": "198.51.100.9|443"},
    {"type": "domain|ip", "value": "pair.example|203.0.113.77"},
    {"type": "filename|md5", "value": "evil.exe|028878c4b6ab475ed0be97eca6f92af9"},
    {"type": "malware-sample", "value": "evil.exe|128878c4b6ab475ed0be97eca6f92af9"},
    {"type": "md5", "value": "028878c4b6ab475ed0be97eca6f92af9"},
    {"type": "text", "value": "100%"},
    {"type": "text", "value": "!important"},
    {"type": "text", "value": "a|b", "to_ids": True},
    {"type": "text", "value": "back\\slash%", "to_ids": True},
    {"type": "text", "value": "Bücher Straße", "to_ids": True},
    {"type": "comment", "value": "198.51.100.7", "to_ids": True},
    {"type": "email-src", "value": "someone@evil.example"},
    {"type": "AS", "value": "64500"},
]
POOL = {
    "string": [str(one["value"]) for one in ODD]
    + ["evil.exe", "EVIL.EXAMPLE", "a", "%", "!", "100", " ", "x%", "_00%"],
    "substring": ["evil", "EVIL", "example/", "%", "100", "7", "Straße", "|", "exe|0"],
    "hostname": ["example", "evil.example", ".EVIL.example.", "test", "exe", "198.51.100.7", "100%", "evil.test"],
    "cidr": ["198.51.100.0/24", "198.51.100.7", "198.51.100.7/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "x"],
    "regex": ["/evil/", "/EVIL/i", "/^[0-9a-f]{32}$/", "#^http#", "/(/", "/./", "/straße$/iu", "/\\d+\\.7$/"],
}
LISTS = {
    "string": ["10.18.0.7", "mail.example"],
    "substring": ["update1", "@cdn"],
    "hostname": ["invalid", "example.org"],
    "cidr": ["10.18.0.0/17", "198.18.64.0/18", "10.0.0.1/8"],
    "regex": ["/^mail1/", "#/[0-9a-f]{2}$#", "/\\.dll$/"],
}


@pytest.fixture(autouse=True)
def _no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture(scope="module")
def odd() -> Iterator[Misp]:
    with Misp(demo=False) as service:
        service.add_event("Odd", ODD)
        yield service


@pytest.fixture
def misp() -> Iterator[Misp]:
    with Misp(demo=False) as service:
        yield service


@pytest.fixture
def ours(misp: Misp) -> MispClient:
    return client(misp)


def search(
    ours: MispClient, kind: str, *entries: str, matching: tuple[str, ...] = ("ALL",), **words: Any
) -> CorrelationResult:
    scope = words.pop("scope", Scope())
    return retrosearch(ours, listed(kind, entries, matching), scope, **({"enabled": True} | words))


def only(result: CorrelationResult) -> AttributeMatch:
    (match,) = result.matches
    return match


@pytest.mark.parametrize("kind", list(POOL))
def test_what_is_found_is_what_the_sandboxs_plain_matcher_finds(odd: Misp, kind: str) -> None:
    ours = client(odd)
    with odd.state.read() as db:
        query = "SELECT id, type, iif(value2 = '', value1, value1 || '|' || value2) AS value, to_ids FROM attributes"
        rows = db.execute(query).fetchall()

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(st.sampled_from(POOL[kind]), min_size=1, max_size=5, unique=True),
        st.sampled_from([("ALL",), ("domain", "url", "ip-dst"), ()]),
    )
    def agree(entries: list[str], matching: tuple[str, ...]) -> None:
        plain = Warnings([EnabledList(1, "Mine", "known", frozenset(matching), Entries(kind, entries))])
        warned = {row["id"] for row in rows if plain.of(row["type"], row["value"], to_ids=bool(row["to_ids"]))}
        result = search(ours, kind, *entries, matching=matching)
        assert {one.attribute.id for one in result.matches if one.warns is Warns.YES} == warned

    agree()


@pytest.fixture(scope="module")
def generated() -> Iterator[Misp]:
    with Misp(demo=False, attributes=GENERATED, seed=11) as service:
        with service.state.read() as db:
            few = db.execute("SELECT value1, value2 FROM attributes WHERE id % 97 = 0").fetchall()
        LISTS["string"] = [value for row in few for value in row if value]
        for kind, entries in LISTS.items():
            service.add_warninglist(kind, kind, "known", [(entry, "") for entry in entries])
        yield service


@pytest.fixture(scope="module")
def hits(generated: Misp) -> dict[str, set[int]]:
    """Ask MISP once on which attributes it warns, by the list."""
    asked = {"published": [0, 1], "includeWarninglistHits": 1, "returnFormat": "json"}
    answered = json.loads(client(generated).pymisp.search_attributes(asked))["response"]["Attribute"]
    assert len(answered) == GENERATED
    found: dict[str, set[int]] = {kind: set() for kind in LISTS}
    for row in answered:
        for warning in row.get("warnings", ()):
            found.setdefault(warning["warninglist_name"], set()).add(int(row["id"]))
    return found


@pytest.mark.parametrize("kind", list(LISTS))
def test_on_many_attributes_we_warn_on_what_includewarninglisthits_warns_on(
    generated: Misp, hits: dict[str, set[int]], kind: str
) -> None:
    result = search(client(generated), kind, *LISTS[kind])
    assert {one.attribute.id for one in result.matches if one.warns is Warns.YES} == hits[kind]
    assert hits[kind]


def test_seed_defect_19_the_lists_own_type_decides_and_odd_values_change_no_query(odd: Misp) -> None:
    ours = client(odd)
    assert {one.attribute.value for one in search(ours, "cidr", "198.51.100.0/24").matches} == {
        "198.51.100.7",
        "198.51.100.0/24",
        "198.51.100.9|443",
    }
    result = search(ours, "string", "!important", "100%", "%", "!evil.example", "back\\slash%", "", " ")
    assert [one.entry for one in result.matches] == ["100%", "!important", "back\\slash%"]
    assert result.entries == ("!important", "100%", "%", "!evil.example", "back\\slash%")
    assert result.incomplete == ()


def test_seed_defect_20_each_row_is_one_attribute_in_its_event_and_halves_are_traced_to_their_entry(
    ours: MispClient, misp: Misp
) -> None:
    first = misp.add_event("First", [{"type": "domain|ip", "value": "pair.example|203.0.113.77"}])
    second = misp.add_event("Second", [{"type": "domain", "value": "pair.example", "comment": "seen"}])
    result = search(ours, "string", "203.0.113.77", "pair.example")
    rows = [(one.attribute.event.id, one.attribute.type, one.entry, one.part) for one in result.rows]
    assert rows == [
        (first, "domain|ip", "pair.example", "pair.example"),
        (second, "domain", "pair.example", "pair.example"),
    ]
    assert only(search(ours, "string", "203.0.113.77")).part == "203.0.113.77"


def test_a_row_tells_attribute_and_event(ours: MispClient, misp: Misp) -> None:
    attribute = {"type": "domain", "value": "evil.example", "comment": "c2", "to_ids": True, "tags": ["tlp:red"]}
    event = misp.add_event("TinyTurla", [attribute], ["type:OSINT"], org="CIRCL.example", date="2024-05-06")
    found = only(search(ours, "string", "evil.example")).attribute
    assert (found.category, found.comment, found.to_ids, found.tags) == ("Network activity", "c2", True, ("tlp:red",))
    assert (found.event.id, found.event.info, found.event.date) == (event, "TinyTurla", "2024-05-06")
    assert (found.event.organisation, found.event.published, found.event.tags) == (
        "CIRCL.example",
        True,
        ("type:OSINT",),
    )
    assert found.uuid
    assert found.event.uuid


@pytest.mark.parametrize(
    ("kind", "entry", "value", "silence"),
    [
        ("string", "EVIL.example", {"type": "domain", "value": "evil.example"}, Silence.LETTERS_CASE),
        ("string", "2001:0db8:0:0::1", {"type": "ip-dst", "value": "2001:db8::1"}, Silence.ADDRESS_FORM),
        ("string", "2001:DB8::1", {"type": "ip-dst", "value": "2001:db8::1"}, Silence.LETTERS_CASE),
        ("hostname", "evil.example", {"type": "url", "value": "http://EVIL.example/"}, Silence.LETTERS_CASE),
        ("string", "evil.example", {"type": "domain", "value": "evil.example", "to_ids": False}, Silence.TO_IDS_OFF),
        ("string", "evil.example", {"type": "domain", "value": "evil.example"}, None),
    ],
)
def test_a_match_says_why_misp_stays_silent(
    ours: MispClient, misp: Misp, kind: str, entry: str, value: dict[str, Any], silence: Silence | None
) -> None:
    misp.add_event("Event", [value])
    match = only(search(ours, kind, entry))
    assert match.entry == entry
    assert match.silence is silence
    assert match.warns is (Warns.YES if silence is None else Warns.NO)


def test_a_value_that_differs_in_accents_is_no_match(ours: MispClient, misp: Misp) -> None:
    misp.add_event("Event", [{"type": "text", "value": "Bücher", "to_ids": True}])
    assert search(ours, "string", "bucher").matches == ()


def test_a_disabled_list_and_a_type_that_does_not_count_are_told(ours: MispClient, misp: Misp) -> None:
    misp.add_event("Event", [{"type": "domain", "value": "evil.example"}])
    assert only(search(ours, "string", "evil.example", enabled=False)).silence is Silence.LIST_DISABLED
    elsewhere = search(ours, "string", "evil.example", matching=("url",))
    assert only(elsewhere).silence is Silence.TYPE_NOT_MATCHED


def test_warning_for_all_is_asked_for_only_if_it_decides_and_said_where_it_may_not_be_read(misp: Misp) -> None:
    misp.add_event("Event", [{"type": "domain", "value": "evil.example", "to_ids": False}])
    misp.add_event("Event", [{"type": "domain", "value": "good.example"}])
    plain = client(misp, misp.plain_key)
    misp.warning_for_all = True
    assert only(search(client(misp), "string", "evil.example")).warns is Warns.YES
    unknown = search(plain, "string", "evil.example")
    assert only(unknown).warns is Warns.UNKNOWN
    assert "may warn on 1" in matches_line(unknown)
    misp.clear_requests()
    search(plain, "string", "good.example")
    assert not [request for request in misp.requests if "getSetting" in request.path]


def test_a_scan_reads_the_matching_types_alone_and_says_so(ours: MispClient, misp: Misp) -> None:
    misp.add_event(
        "Event", [{"type": "domain", "value": "evil.example"}, {"type": "url", "value": "http://evil.example/"}]
    )
    result = search(ours, "hostname", "evil.example", matching=("url",))
    assert only(result).attribute.type == "url"
    assert result.types == ("url",)


def test_a_cidr_scan_leaves_out_types_that_hold_no_address(ours: MispClient, misp: Misp) -> None:
    misp.clear_requests()
    search(ours, "cidr", "198.51.100.0/24")
    assert "!md5" in searches(misp)[0]["type"]  # type: ignore[operator]
    misp.clear_requests()
    search(ours, "regex", "/x/")
    assert "type" not in searches(misp)[0]


@pytest.mark.parametrize("kind", ["string", "hostname"])
@pytest.mark.parametrize(
    ("scope", "found", "hidden"),
    [
        (Scope(Published.YES), {"red"}, 2),
        (Scope(Published.NO), {"green", "none"}, 1),
        (Scope(Published.BOTH), {"red", "green", "none"}, None),
        (Scope(Published.BOTH, ("tlp:red",)), {"red"}, 2),
        (Scope(Published.BOTH, ("!tlp:red",)), {"green", "none"}, 1),
        (Scope(Published.NO, ("tlp:red", "tlp:green")), {"green"}, 2),
    ],
)
def test_filters_let_through_what_they_say_and_what_they_hide_is_counted(
    ours: MispClient, misp: Misp, kind: str, scope: Scope, found: set[str], hidden: int | None
) -> None:
    attribute = [{"type": "domain", "value": "evil.example"}]
    misp.add_event("red", attribute, ["tlp:red"])
    misp.add_event("green", attribute, ["tlp:green"], published=False)
    misp.add_event("none", attribute, published=False)
    result = search(ours, kind, "evil.example", scope=scope)
    assert {one.attribute.event.info for one in result.matches} == found
    assert (result.hidden.attributes if result.hidden else None) == hidden
    assert hidden is None or f"{hidden} more attributes" in matches_line(result)


def test_only_attributes_changed_since_a_moment_count(ours: MispClient, misp: Misp) -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    for value, seconds in (("old.example", -1), ("new.example", 0)):
        at = int(moment.timestamp()) + seconds
        misp.add_event("Event", [{"type": "domain", "value": value, "timestamp": at}])
    for kind in ("string", "hostname"):
        result = search(ours, kind, "old.example", "new.example", scope=Scope(since=moment))
        assert only(result).entry == "new.example"
    assert "changed since 2024-01-01 00:00 UTC" in matches_line(result)


def test_the_figures_count_what_was_found(ours: MispClient, misp: Misp) -> None:
    seen = {"type": "domain", "value": "a.example", "first_seen": "2020-02-02T00:00:00.000000+00:00"}
    misp.add_event("One", [seen, {"type": "url", "value": "http://a.example/"}], org="CIRCL.example", date="2021-03-03")
    misp.add_event(
        "Two",
        [{"type": "domain", "value": "a.example"}, {"type": "domain", "value": "b.example", "to_ids": False}],
        date="2024-05-05",
    )
    result = search(ours, "hostname", "a.example", "b.example", "c.example")
    assert (result.entries_matched, len(result.matches), result.events) == (2, 4, 2)
    assert result.by_type == (("domain", 3), ("url", 1))
    assert result.by_organisation == (("CIRCL.example", 2), ("ORGNAME", 2))
    assert result.entries_unmatched == ("c.example",)
    first, second = result.by_entry
    assert (first.entry, first.attributes, first.events) == ("a.example", 3, 2)
    assert (first.first_seen, first.last_seen) == ("2020-02-02", "2024-05-05")
    assert (second.first_seen, second.last_seen) == ("2024-05-05", "2024-05-05")
    rows = [dict(zip(events_table(result).columns, row, strict=True)) for row in events_table(result).rows]
    told = ("Event info", "Organisation", "Attributes", "Warned on", "Entries")
    assert [tuple(row[name] for name in told) for row in rows] == [
        ("One", "CIRCL.example", "2", "2", "a.example"),
        ("Two", "ORGNAME", "2", "1", "a.example, b.example"),
    ]


def test_many_values_that_begin_with_an_exclamation_mark_are_found_by_a_scan(ours: MispClient, misp: Misp) -> None:
    values = [f"!odd-{number}" for number in range(searching.MOST_PATTERNS + 1)]
    misp.add_event("Event", [{"type": "text", "value": value} for value in values[:3]])
    misp.clear_requests()
    result = search(ours, "string", *values, "plain.example")
    assert [one.entry for one in result.matches] == values[:3]
    assert "value" not in searches(misp)[0]


def test_values_are_asked_for_in_chunks_and_a_row_of_two_chunks_counts_once(
    ours: MispClient, misp: Misp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "CHUNK_VALUES", 2)
    misp.add_event("Event", [{"type": "domain|ip", "value": "pair.example|203.0.113.77"}])
    misp.clear_requests()
    result = search(ours, "string", "pair.example", "b.example", "203.0.113.77")
    assert only(result).entry == "pair.example"
    assert sorted(len(asked["value"]) for asked in searches(misp) if "value" in asked) == [1, 2]  # type: ignore[arg-type]


def test_a_scan_stops_at_its_most_attributes_and_names_what_would_narrow_it(ours: MispClient, misp: Misp) -> None:
    misp.add_event("Event", [{"type": "domain", "value": f"n{number}.evil.example"} for number in range(20)])
    result = search(ours, "hostname", "evil.example", max_attributes=5)
    assert len(result.matches) == 5
    (reason,) = result.incomplete
    assert "5 attributes were read (scan_max_attributes); narrow the search with match_since or match_tags" in reason
    assert search(ours, "hostname", "evil.example", max_attributes=20).incomplete == ()


def test_a_list_that_hits_everything_stops_at_a_number_of_matches(
    ours: MispClient, misp: Misp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_MATCHES", 3)
    misp.add_event("Event", [{"type": "domain", "value": f"n{number}.evil.example"} for number in range(20)])
    assert "most of them by example" in search(ours, "hostname", "example").incomplete[0]


@pytest.mark.parametrize("kind", ["string", "cidr"])
@pytest.mark.parametrize("fault", ["504", "html", "reset", "refusal", "redirect", "shape"])
def test_a_search_that_fails_is_incomplete_and_never_no_matches(
    ours: MispClient, misp: Misp, kind: str, fault: str
) -> None:
    misp.add_event("Event", [{"type": "ip-dst", "value": "198.51.100.7"}])
    misp.faults.add(path=SEARCH, kind=fault)  # type: ignore[arg-type]
    result = search(ours, kind, "198.51.100.7")
    assert result.matches == ()
    assert result.incomplete
    assert "MISP: " in result.incomplete[0]
    assert "no matches" not in matches_line(result)


def test_what_was_found_is_kept_where_its_events_cannot_be_asked_for(ours: MispClient, misp: Misp) -> None:
    misp.add_event("Event", [{"type": "domain", "value": "evil.example"}])
    misp.faults.add(path=SEARCH, kind="504", after=1)
    result = search(ours, "string", "evil.example")
    assert only(result).attribute.event.info == "Event"
    assert "publication are not known: MISP: server error 504" in result.incomplete[0]


def test_an_attribute_that_goes_before_its_event_is_asked_for_is_no_match(ours: MispClient, misp: Misp) -> None:
    attributes = [{"type": "domain", "value": "a.evil.example"}, {"type": "domain", "value": "b.evil.example"}]
    misp.add_event("Event", attributes)
    gone = misp.add_event("Gone", [{"type": "domain", "value": "c.evil.example"}])

    def take_away(number: int) -> None:
        if number == 1:
            misp.remove_event(gone)
            with misp.state.write() as db:
                db.execute("DELETE FROM attributes WHERE value1 = 'b.evil.example'")

    between(misp, take_away)
    result = search(ours, "hostname", "evil.example")
    assert [one.attribute.value for one in result.matches] == ["a.evil.example"]


def test_progress_is_told(ours: MispClient, misp: Misp) -> None:
    misp.add_event("Event", [{"type": "domain", "value": "evil.example"}])
    told: list[tuple[int, int]] = []
    search(ours, "hostname", "evil.example", progress=lambda done, total: told.append((done, total)))
    search(ours, "string", "evil.example", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1), (1, 1)]


def test_a_list_without_entries_is_not_searched(ours: MispClient, misp: Misp) -> None:
    misp.clear_requests()
    assert matches_line(search(ours, "string")) == "Not searched: the list has no entries."
    assert misp.requests == []


def test_the_impact_counts_what_added_entries_would_warn_on(ours: MispClient, misp: Misp) -> None:
    for number in range(3):
        attributes = [{"type": "domain", "value": "a.example"}, {"type": "domain", "value": f"{number}.b.example"}]
        misp.add_event(f"Event {number}", attributes, published=bool(number))
    misp.add_event("Silent", [{"type": "domain", "value": "b.example", "to_ids": False}])
    found = impact(ours, listed("hostname", ["a.example", "0.b.example"]))
    assert impact_line(found) == (
        "Once enabled, the 2 added entries would warn on 4 attributes in 3 events; "
        "the entry a.example alone on 3 of them."
    )
    assert impact_line(impact(ours, listed("string", ["b.example"]))).endswith("no attribute that MISP holds.")


def test_the_impact_ends_with_its_time_and_says_so(ours: MispClient, misp: Misp) -> None:
    misp.add_event("Event", [{"type": "domain", "value": "evil.example"}])
    ticks = iter([0.0, 11.0, 12.0, 13.0])
    found = impact(ours, listed("hostname", ["evil.example"]), clock=lambda: next(ticks))
    assert "10 seconds were not enough" in found.incomplete
    assert "at least 0 attributes" in impact_line(found)


def test_an_impact_that_cannot_be_asked_for_says_so(ours: MispClient, misp: Misp) -> None:
    misp.faults.add(path=SEARCH, kind="504")
    assert "server error 504" in impact_line(impact(ours, listed("string", ["evil.example"])))
