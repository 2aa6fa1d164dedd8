"""MISP's rules hold for any values, not for the recorded ones alone."""

import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.misp.matcher import Entries, matches
from misp_playbook_lib.sandbox.misp.values import fold

Ask = Callable[..., tuple[int, Any]]
shared = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text(string.ascii_letters + string.digits + ".-_ é", min_size=1, max_size=8)
LINES = st.text(string.ascii_letters + string.digits + ".-/:# \t", max_size=12)


def found(ask: Ask, **filters: Any) -> list[str]:
    status, body = ask("/attributes/restSearch", filters)
    assert status == 200
    return [row["value"] for row in body["response"]["Attribute"]]


@pytest.mark.parametrize("given", [0, "0", 4])
def test_distributions_are_told_as_texts_with_the_sharing_group_where_there_is_one(
    misp: Misp, ask: Ask, given: Any
) -> None:
    misp.add_event("Event", [{"type": "domain", "value": "a.example", "distribution": given}], distribution=given)
    group = "1" if given == 4 else "0"
    for context in (0, 1):
        _, body = ask("/attributes/restSearch", {"value": ["a.example"], "includeContext": context})
        [row] = body["response"]["Attribute"]
        assert (row["distribution"], row["sharing_group_id"]) == (str(given), group)
        assert row["Event"]["distribution"] == str(given)
        assert row["Event"].get("sharing_group_id") == (group if context else None)


@pytest.mark.parametrize(
    ("published", "seen"),
    [
        (True, {"yes"}),
        (1, {"yes"}),
        ("1", {"yes"}),
        ("true", {"yes"}),
        ("false", {"yes"}),
        ([1], {"yes"}),
        ([True], {"yes"}),
        (0, {"no"}),
        ("0", {"no"}),
        ([0], {"no"}),
        ([0, 1], {"yes", "no"}),
        ([True, False], {"yes", "no"}),
        (False, {"yes", "no"}),
        (None, {"yes", "no"}),
    ],
)
def test_published_is_read_as_php_reads_it(misp: Misp, ask: Ask, published: Any, seen: set[str]) -> None:
    misp.add_event("one", [{"type": "text", "value": "yes"}], published=True)
    misp.add_event("two", [{"type": "text", "value": "no"}], published=False)
    assert set(found(ask, published=published)) == seen


@pytest.mark.parametrize("value", [[], None, False, "", 0])
def test_an_empty_value_is_no_filter(misp: Misp, ask: Ask, value: Any) -> None:
    misp.add_event("one", [{"type": "text", "value": "a"}, {"type": "domain|ip", "value": "b.example|192.0.2.1"}])
    assert found(ask, value=value) == ["a", "b.example|192.0.2.1"]


@shared
@given(value=WORDS.filter(str.strip), data=st.data())
def test_like_and_equality_ignore_case_and_accents(misp: Misp, ask: Ask, value: str, data: st.DataObject) -> None:
    event = misp.add_event("one", [{"type": "text", "value": value}])
    stored = value.strip()
    cut = data.draw(st.integers(0, len(stored)))
    single = data.draw(st.integers(0, len(stored) - 1))
    other_case = stored.swapcase()
    try:
        assert found(ask, value=[other_case]) == [stored]
        assert found(ask, value=[other_case[:cut] + "%"]) == [stored]
        assert found(ask, value=["%" + other_case[cut:]]) == [stored]
        assert found(ask, value=[f"%{stored[:single]}_{stored[single + 1 :]}%"]) == [stored]
        assert found(ask, value=["no" + stored]) == []
        assert found(ask, value=[stored.replace("é", "e")]) == [stored]
    finally:
        misp.remove_event(event)


@shared
@given(lines=st.lists(LINES, min_size=1, max_size=5))
def test_entries_as_text_are_cut_at_the_first_hash(misp: Misp, ask: Ask, lines: list[str]) -> None:
    name = f"list {misp.lists.warnings().lists!r} {id(lines)}"
    text = "\n".join(lines)
    status, body = ask("/warninglists/add", {"name": name, "description": "d", "entries": text})
    blank = text.strip(" \t\n") in {"", "0"}
    assert status == (403 if blank else 200)
    if blank:
        assert body["errors"] == {"entries": ["Entries cannot be empty."]}
        return
    kept = misp.warninglist(int(body["Warninglist"]["id"]))
    ask(f"/warninglists/delete/{body['Warninglist']['id']}", {})
    assert kept is not None
    expected = []
    for line in text.strip(" \t\n").split("\n"):
        value, hash_, comment = line.partition("#")
        expected.append((value.strip(" \t"), comment.strip(" \t") if hash_ else None))
    assert kept["entries"] == expected


@shared
@given(entries=st.lists(st.tuples(LINES, st.none() | LINES), min_size=1, max_size=5))
def test_entries_as_a_list_are_kept_verbatim(misp: Misp, ask: Ask, entries: list[tuple[str, str | None]]) -> None:
    sent = [{"value": value, "comment": comment} for value, comment in entries]
    _, body = ask("/warninglists/add", {"name": f"list {id(entries)}", "description": "d", "entries": sent})
    kept = misp.warninglist(int(body["Warninglist"]["id"]))
    ask(f"/warninglists/delete/{body['Warninglist']['id']}", {})
    assert kept is not None
    assert kept["entries"] == entries


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "description": WORDS.filter(str.strip),
    "category": st.sampled_from(["known", "false_positive"]),
    "type": st.sampled_from(["string", "substring", "hostname"]),
    "matching_attributes": st.lists(st.sampled_from(["domain", "ip-dst", "url"]), unique=True),
    "entries": st.lists(LINES, min_size=1, max_size=4),
}


@shared
@given(changes=st.fixed_dictionaries({}, optional=FIELDS))
def test_an_edit_changes_what_is_given_and_keeps_the_rest(misp: Misp, ask: Ask, changes: dict[str, Any]) -> None:
    list_id = misp.add_warninglist(f"list {id(changes)}", "string", "known", [("a", "b")], ["md5"], enabled=False)
    before = misp.warninglist(list_id)
    status, _ = ask(f"/warninglists/edit/{list_id}", changes)
    after = misp.warninglist(list_id)
    ask(f"/warninglists/delete/{list_id}", {})
    assert status == 200
    assert before is not None
    assert after is not None
    wanted = before | changes | {"version": before["version"] + 1}
    if "entries" in changes:
        wanted["entries"] = [(value, None) for value in changes["entries"]]
    assert after == wanted


ENTRY = st.one_of(
    st.from_regex(r"(10|192)\.(0|1)\.(0|2)\.[0-9](/(8|16|24|31|32))?", fullmatch=True),
    st.from_regex(r"2001:db8:(1)?:[0-9](/(16|32|64|128))?", fullmatch=True),
    st.from_regex(r"\.?[ab]{1,2}(\.[abC]{1,2}){0,2}\.?", fullmatch=True),
    st.from_regex(r"/[ab]\.?[ab]/i?", fullmatch=True),
)
VALUE = ENTRY | st.builds("https://{}/x".format, ENTRY) | LINES


@settings(max_examples=300, deadline=None)
@given(
    list_type=st.sampled_from(["string", "substring", "hostname", "cidr", "regex"]),
    entries=st.lists(ENTRY, max_size=6),
    value=VALUE,
)
def test_narrowing_loses_no_entry_that_matches(list_type: str, entries: list[str], value: str) -> None:
    each = [matched for matched in (matches(list_type, entry, value) for entry in entries) if matched is not None]
    first = Entries(list_type, entries).first(value)
    assert (first is not None) == bool(each)
    assert first is None or first in each


@pytest.mark.parametrize(
    ("entry", "value", "hit"),
    [
        ("1", "1.0", True),  # PHP takes "0" for empty and begins the host anew
        ("1.0", "1.0", False),
        ("10.0", "10.0.0.1", False),
    ],
)
def test_a_host_ending_in_zero_is_read_as_php_reads_it(entry: str, value: str, hit: bool) -> None:
    assert (matches("hostname", entry, value) is not None) == hit


@pytest.mark.parametrize(
    ("entry", "value", "hit"),
    [
        ("10.0.0.0/8", "10.1.2.0/0", True),  # a mask of 0 counts as none
        ("10.0.0.0/8", "10.1.2.0/7", False),
        ("10.0.0.0/08", "10.1.2.3", False),
        ("10.1.2.3/24", "10.1.2.3", False),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("2001:db8::1/32", "2001:db8:1::", True),
        ("10.0.0.0/99999999999999999999", "10.0.0.0", False),
    ],
)
def test_networks_are_looked_up_by_their_spelling(entry: str, value: str, hit: bool) -> None:
    assert (matches("cidr", entry, value) is not None) == hit
    assert (Entries("cidr", [entry]).first(value) is not None) == hit


@given(st.text(max_size=20))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("tags", "seen"),
    [
        (["red"], ["a"]),
        (["red", "green"], ["a", "b"]),
        ({"AND": ["red", "amber"]}, ["a"]),
        ({"AND": ["red", "green"]}, []),
        (["!red"], ["b", "c"]),
        (["!amber"], ["c"]),
        (["amber", "!green"], ["a"]),
        ("r%", ["a"]),
        (["RED"], []),
        (["none"], []),
        (["!none"], ["a", "b", "c"]),
        ({"AND": ["%e%"]}, []),
        ([], ["a", "b", "c"]),
    ],
)
def test_tags_count_on_attributes_and_events(misp: Misp, ask: Ask, tags: Any, seen: list[str]) -> None:
    first = [{"type": "text", "value": "a", "tags": ["red"]}, {"type": "text", "value": "b", "tags": ["green"]}]
    misp.add_event("one", first, ["amber"])
    misp.add_event("two", [{"type": "text", "value": "c"}])
    assert found(ask, tags=tags) == seen


def test_time_filters_look_at_attribute_event_and_publication(misp: Misp, ask: Ask) -> None:
    misp.add_event("old", [{"type": "text", "value": "old", "timestamp": 1_000}], timestamp=1_000)
    misp.add_event("new", [{"type": "text", "value": "new", "timestamp": 2_000}], timestamp=2_000, published=False)
    assert found(ask, attribute_timestamp="1500") == ["new"]
    assert found(ask, attribute_timestamp=["2500", "1500"]) == ["new"]
    assert found(ask, timestamp=["500", "1500"]) == ["old"]
    assert found(ask, event_timestamp=1_500) == ["new"]
    assert found(ask, publish_timestamp=1) == ["old"]
    assert found(ask, last="1h") == []
    assert found(ask, attribute_timestamp="nonsense") == []


def test_organisations_are_filtered_by_name(misp: Misp, ask: Ask) -> None:
    misp.add_event("ours", [{"type": "text", "value": "ours"}])
    misp.add_event("theirs", [{"type": "text", "value": "theirs"}], org="CIRCL")
    assert found(ask, org="CIRCL") == ["theirs"]
    assert found(ask, org="!CIRCL") == ["ours"]
    assert found(ask, org=["CIRCL", "ORGNAME"]) == ["ours", "theirs"]


def test_pages_follow_ids_and_enforcing_empties_them_afterwards(misp: Misp, ask: Ask) -> None:
    misp.add_event("one", [{"type": "text", "value": str(number), "to_ids": False} for number in range(10, 15)])
    assert found(ask, limit=2, page=2) == ["12", "13"]
    assert found(ask, limit=2, page=4) == []
    assert found(ask, page=2) == ["10", "11", "12", "13", "14"]
    misp.add_warninglist("ten and eleven", "string", entries=[("10", None), ("11", None)])
    assert found(ask, limit=2, page=1, enforceWarninglist=1) == []
    assert found(ask, limit=2, page=2, enforceWarninglist=1) == ["12", "13"]


def test_warnings_need_the_ids_flag_unless_the_server_warns_for_all(misp: Misp, ask: Ask) -> None:
    misp.add_event("one", [{"type": "text", "value": "x", "to_ids": False}])
    misp.add_warninglist("x", "string", entries=[("x", None)])

    def warned() -> bool:
        _, body = ask("/attributes/restSearch", {"includeWarninglistHits": 1})
        return "warnings" in body["response"]["Attribute"][0]

    assert not warned()
    misp.warning_for_all = True
    assert warned()
    assert ask("/servers/getSetting/MISP.warning_for_all")[1]["value"] is True
    assert ask("/servers/getSetting/MISP.warning_for_all", key=misp.plain_key)[0] == 403
