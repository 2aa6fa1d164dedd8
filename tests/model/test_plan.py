import string

from hypothesis import given
from hypothesis import strategies as st

from misp_playbook_lib.model.changes import changed, in_words
from misp_playbook_lib.model.plan import (
    CommentChange,
    FieldChange,
    WarninglistAction,
    WarninglistPlan,
    plan,
    restoring,
)
from misp_playbook_lib.model.warninglist import (
    Warninglist,
    WarninglistCategory,
    WarninglistEntry,
    WarninglistSpec,
    WarninglistType,
)

APPEND, REPLACE, REMOVE = WarninglistAction


def entries(*lines: str) -> tuple[WarninglistEntry, ...]:
    """Read `value` or `value # comment`."""
    return tuple(WarninglistEntry(*line.split(" # ")) for line in lines)


def existing(*lines: str, **fields: object) -> Warninglist:
    known: dict[str, object] = {
        "id": 7,
        "name": "Mine",
        "description": "What we know",
        "type": WarninglistType.STRING,
        "category": WarninglistCategory.KNOWN,
        "matching_attributes": ("domain", "url"),
        "entries": entries(*lines),
        "version": 3,
        "enabled": True,
    }
    return Warninglist(**{**known, **fields})  # type: ignore[arg-type]  # the fields of a list


def planned(current: Warninglist | None, action: WarninglistAction, *lines: str, **fields: object) -> WarninglistPlan:
    spec = WarninglistSpec("Mine", entries(*lines), **fields)  # type: ignore[arg-type]  # the fields of a spec
    return plan(spec, current, action)


def test_append_adds_what_is_missing_at_the_end() -> None:
    made = planned(existing("b", "a"), APPEND, "c", "a")
    assert made.entries == entries("b", "a", "c")
    assert (made.added, made.removed, made.kept) == (entries("c"), (), entries("b", "a"))


def test_append_leaves_existing_entries_as_they_are_whatever_they_look_like() -> None:
    odd = existing(" a ", "", "A", "http://d/#frag", "a", "a")
    made = planned(odd, APPEND, "b")
    assert made.entries[:-1] == odd.entries


def test_a_comment_on_a_known_entry_is_a_change_and_no_comment_is_none() -> None:
    current = existing("a # old", "b # kept")
    made = planned(current, APPEND, "a # new", "b")
    assert made.commented == (CommentChange("a", "old", "new"),)
    assert made.entries == entries("a # new", "b # kept")


def test_of_an_entry_that_is_there_twice_one_takes_the_comment() -> None:
    made = planned(existing("a", "a # x"), APPEND, "a # y")
    assert made.entries == entries("a # y", "a # x")
    assert not planned(existing("a", "a # x"), APPEND, "a # x").changes


def test_replace_leaves_exactly_what_is_given_in_its_order() -> None:
    made = planned(existing("a", "b # x", "b"), REPLACE, "c", "b")
    assert made.entries == entries("c", "b")
    assert (made.added, made.removed, made.kept) == (entries("c"), entries("a", "b # x"), entries("b"))


def test_replace_by_the_same_entries_in_another_order_changes_nothing() -> None:
    made = planned(existing("a", "b # x"), REPLACE, "b # x", "a")
    assert not made.changes
    assert made.entries == entries("a", "b # x")


def test_remove_takes_what_is_named_whatever_the_comments() -> None:
    made = planned(existing("a # x", "b", "a", "c"), REMOVE, "a # another")
    assert made.entries == entries("b", "c")
    assert made.removed == entries("a # x", "a")
    assert made.commented == ()


def test_remove_compares_values_exactly() -> None:
    made = planned(existing("A.example", "a.example "), REMOVE, "a.example")
    assert not made.changes
    assert made.absent == ("a.example",)


def test_removing_what_is_not_there_changes_nothing_and_is_said() -> None:
    made = planned(existing("a"), REMOVE, "b", "a", "b")
    assert made.absent == ("b",)
    assert made.entries == ()


def test_fields_given_change_and_fields_left_out_stay() -> None:
    made = planned(existing("a"), APPEND, description="Better", matching_attributes=("url", "domain"))
    assert made.fields == (FieldChange("description", "What we know", "Better"),)
    assert not made.changes_entries
    assert made.changes


def test_a_plan_without_a_difference_changes_nothing() -> None:
    assert not planned(existing("a # x"), APPEND, "a", "a # x", description="What we know").changes


def test_a_new_list_takes_its_defaults() -> None:
    made = planned(None, APPEND, "a", "a # x")
    assert made.creates
    assert made.result == Warninglist(
        0, "Mine", "Mine", WarninglistType.STRING, WarninglistCategory.KNOWN, ("ALL",), entries("a # x"), 1, False
    )


def test_an_id_never_renames() -> None:
    assert plan(WarninglistSpec("Typed by mistake", entries("b")), existing("a"), APPEND).name == "Mine"


def test_the_diff_holds_every_change_as_a_line() -> None:
    made = planned(
        existing("a", "b # old", "c"), REPLACE, "b # new", "c", "d # x", category=WarninglistCategory("known")
    )
    assert made.diff == ("- a", "- b # old", "+ b # new", "+ d # x")
    assert planned(existing("a"), APPEND, description="Better").diff == (
        "- description: What we know",
        "+ description: Better",
    )
    assert planned(None, APPEND, "a").diff[-2:] == ("+ matching_attributes: ALL", "+ a")


def test_what_differs_between_two_lists_is_named() -> None:
    known, found = existing("a", "b"), existing("b", "c", "d", description="Other", version=5, enabled=False)
    assert changed(known, found) == ("description", "entries")
    assert in_words(known, found) == (
        "it is at version 5, expected 3; its description differs; 1 entries missing (a); 2 entries more (c, d)"
    )
    assert changed(existing("a", "b"), existing("b", "a", version=9)) == ()
    assert changed(None, found) == changed(found, None) == ("existence",)
    assert changed(None, None) == ()


values = st.sampled_from(["a", "b", "c", "d", "A", " a", "", "http://d/#x", "a # b"])
some_entries = st.lists(st.builds(WarninglistEntry, values, st.sampled_from(["", "x", "y"])), max_size=8).map(tuple)
types, categories = st.sampled_from(list(WarninglistType)), st.sampled_from(list(WarninglistCategory))
texts = st.text(string.ascii_letters, min_size=1, max_size=3)
attributes = st.lists(st.sampled_from(["domain", "url", "ip-src"]), unique=True, max_size=3).map(tuple)
lists = st.builds(
    Warninglist,
    id=st.integers(1, 9),
    name=st.just("Mine"),
    description=texts,
    type=types,
    category=categories,
    matching_attributes=attributes,
    entries=some_entries,
    version=st.integers(1, 9),
    enabled=st.booleans(),
)
specs = st.builds(
    WarninglistSpec,
    name=st.just("Mine"),
    entries=some_entries,
    description=st.none() | texts,
    type=st.none() | types,
    category=st.none() | categories,
    matching_attributes=st.none() | attributes,
)
actions = st.sampled_from(list(WarninglistAction))


@given(specs, st.none() | lists, actions)
def test_a_second_plan_is_empty(spec: WarninglistSpec, current: Warninglist | None, action: WarninglistAction) -> None:
    made = plan(spec, current, action)
    assert not plan(spec, made.result, action).changes


@given(specs, lists)
def test_append_never_loses_an_entry_and_keeps_their_order(spec: WarninglistSpec, current: Warninglist) -> None:
    made = plan(spec, current, APPEND)
    assert made.removed == ()
    there = made.entries[: len(current.entries)]
    assert [entry.value for entry in there] == [entry.value for entry in current.entries]
    wanted = {entry.value for entry in spec.entries}
    assert wanted <= {entry.value for entry in made.entries}
    for before, after in zip(current.entries, there, strict=True):
        assert before == after or (after.comment and after in spec.entries)


@given(specs, lists)
def test_remove_takes_only_what_was_named(spec: WarninglistSpec, current: Warninglist) -> None:
    made = plan(spec, current, REMOVE)
    named = {entry.value for entry in spec.entries}
    assert made.entries == tuple(entry for entry in current.entries if entry.value not in named)
    assert not made.added
    assert not made.commented


@given(specs, lists)
def test_replace_leaves_each_value_given_once(spec: WarninglistSpec, current: Warninglist) -> None:
    made = plan(spec, current, REPLACE)
    assert sorted(entry.value for entry in made.entries) == sorted({entry.value for entry in spec.entries})


@given(specs, lists, actions)
def test_a_plan_accounts_for_every_entry(
    spec: WarninglistSpec, current: Warninglist, action: WarninglistAction
) -> None:
    made = plan(spec, current, action)
    assert len(made.kept) + len(made.commented) + len(made.removed) == len(current.entries)
    assert len(made.kept) + len(made.commented) + len(made.added) == len(made.entries)


@given(specs, lists, actions)
def test_restoring_what_a_plan_made_is_identity(
    spec: WarninglistSpec, current: Warninglist, action: WarninglistAction
) -> None:
    after = plan(spec, current, action).result
    back = restoring(current, after).result
    assert back.entries == current.entries
    assert not changed(current, back)
    assert back.enabled is current.enabled
