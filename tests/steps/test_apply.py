import re
import threading
from pathlib import Path

import pytest
import stamina
from filelock import FileLock
from writing import Writer, client, held, meanwhile, writes

from misp_playbook_lib.errors import (
    ChangedMeanwhile,
    InvalidEntries,
    NotEditable,
    PermissionDenied,
    RequestRejected,
    ServiceUnavailable,
    UnexpectedResponse,
    WarninglistError,
)
from misp_playbook_lib.model.plan import WarninglistAction, plan
from misp_playbook_lib.model.results import ApplyOutcome
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistSpec, WarninglistType
from misp_playbook_lib.report.archive import state_folder
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.server import Request, Response
from misp_playbook_lib.steps import apply as applying
from misp_playbook_lib.steps.locks import list_lock


@pytest.fixture(autouse=True)
def _no_pauses_between_attempts() -> object:
    with stamina.set_testing(testing=True, attempts=applying.ATTEMPTS, cap=True):
        yield


@pytest.fixture
def writer(sandbox: Sandbox, tmp_path: Path) -> Writer:
    return Writer(sandbox, tmp_path / "run")


def add(sandbox: Sandbox, *lines: str, name: str = "Mine", **fields: object) -> int:
    pairs = [(value, comment) for value, _, comment in (line.partition(" # ") for line in lines)]
    return sandbox.misp.add_warninglist(name, "string", "known", pairs, ["domain"], **fields)  # type: ignore[arg-type]


# what the original got wrong


def test_seed_defect_1_updating_an_existing_list_updates_it_and_says_what_was_read_back(
    sandbox: Sandbox, writer: Writer
) -> None:
    add(sandbox, "a")
    applied = writer.write("append", "b")
    assert applied.outcome is ApplyOutcome.UPDATED
    assert applied.warninglist is not None
    assert applied.warninglist.version == 2
    assert applied.warninglist.matching_attributes == ("domain",)
    assert held(sandbox) == ["a", "b"]


def test_seed_defect_2_an_id_alone_never_renames(sandbox: Sandbox, writer: Writer) -> None:
    current = writer.misp.warninglist(add(sandbox, "a"))
    spec = WarninglistSpec("Name in the cell", (WarninglistEntry("b"),))
    writer.apply(plan(spec, current, WarninglistAction.APPEND))
    assert held(sandbox, "Mine") == ["a", "b"]


def test_seed_defect_3_a_description_left_empty_is_kept(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a", description="Ours")
    writer.write("append", "b", description=None)
    found = sandbox.misp.warninglist("Mine")
    assert found is not None
    assert found["description"] == "Ours"


def test_seed_defect_4_doubles_do_not_get_in_and_comments_are_updated(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "1.2.3.4 # a")
    writer.write("append", "1.2.3.4 # b", "evil.example", " evil.example ")
    assert held(sandbox) == ["1.2.3.4 # b", "evil.example"]


def test_seed_defect_5_a_number_sign_inside_a_value_survives(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "http://d.example/#frag")
    writer.write("append", "http://e.example/#x # seen twice")
    assert held(sandbox) == ["http://d.example/#frag", "http://e.example/#x # seen twice"]


def test_seed_defect_6_blank_and_comment_only_lines_become_no_entries(sandbox: Sandbox, writer: Writer) -> None:
    writer.write("append", "", "   ", "# only a comment", "a", type=WarninglistType.SUBSTRING)
    assert held(sandbox) == ["a"]


def test_seed_defect_7_an_unknown_id_is_an_error(writer: Writer) -> None:
    with pytest.raises(WarninglistError, match="There is no warninglist with the ID 4711"):
        writer.misp.warninglist(4711)


@pytest.mark.parametrize(("kind", "error"), [("shape", UnexpectedResponse), ("html", UnexpectedResponse)])
def test_seed_defect_7_an_answer_that_is_none_is_an_error_and_not_list_0(
    sandbox: Sandbox, writer: Writer, kind: str, error: type[Exception]
) -> None:
    sandbox.misp.faults.add("/warninglists/add", kind)  # type: ignore[arg-type]
    with pytest.raises(error, match="The list Mine: not written"):
        writer.write("append", "a")


def test_seed_defect_8_applying_twice_neither_doubles_nor_posts_twice(sandbox: Sandbox, writer: Writer) -> None:
    planned = writer.plan("append", "a", "b")
    first, second = writer.apply(planned), writer.apply(planned)
    assert (first.outcome, second.outcome) == (ApplyOutcome.CREATED, ApplyOutcome.UNCHANGED)
    assert held(sandbox) == ["a", "b"]
    assert writes(sandbox) == ["/warninglists/add"]


def test_seed_defect_9_a_built_in_list_is_refused_before_misp_is_asked(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a", default=True)
    with pytest.raises(NotEditable, match="give a warninglist_name of your own to create a list beside it"):
        writer.write("append", "b")
    assert writes(sandbox) == []


def test_seed_defect_10_replace_shows_keeps_and_reads_back(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a # x", "b")
    planned = writer.plan("replace", "b", "c")
    assert planned.diff == ("- a # x", "+ c")
    applied = writer.apply(planned)
    assert applied.warninglist is not None
    assert applied.warninglist.entries == planned.entries
    assert '"value": "a", "comment": "x"' in writer.record.before.read_text()


# refused before asking


def test_a_user_without_the_permission_is_refused_before_misp_is_asked(sandbox: Sandbox, writer: Writer) -> None:
    writer.misp = client(sandbox, sandbox.misp.plain_key)
    with pytest.raises(PermissionDenied, match="may not edit warninglists"):
        writer.write("append", "a")
    assert writes(sandbox) == []


def test_more_entries_than_misp_takes_are_refused_before_it_is_asked(sandbox: Sandbox, writer: Writer) -> None:
    with pytest.raises(InvalidEntries, match="300,001 entries, more than the 300,000"):
        writer.write("append", *map(str, range(300_001)))
    assert writes(sandbox) == []


def test_removing_the_last_entry_is_refused_before_misp_is_asked(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a", "b")
    with pytest.raises(InvalidEntries, match="remove all 2 entries of Mine, and MISP keeps no empty list"):
        writer.write("remove", "b", "a")
    assert writes(sandbox) == []


def test_removing_from_a_list_that_is_not_there_is_refused(sandbox: Sandbox, writer: Writer) -> None:
    with pytest.raises(WarninglistError, match="There is no list Mine to remove entries from"):
        writer.write("remove", "a")
    assert writes(sandbox) == []


def test_no_change_sends_no_request(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a", "b")
    assert writer.write("remove", "c").outcome is ApplyOutcome.UNCHANGED
    assert writes(sandbox) == []
    assert not writer.record.kept


def test_a_dry_run_writes_and_keeps_nothing(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a")
    applied = writer.apply(writer.plan("append", "b"), dry_run=True)
    assert applied.outcome is ApplyOutcome.NOT_WRITTEN
    assert writes(sandbox) == []
    assert not writer.record.kept


# one request, carrying what changes


def test_remove_takes_what_is_named_and_keeps_the_rest_in_order(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a # x", "b", "c # y", "a")
    writer.write("remove", "a # z", "d")
    assert held(sandbox) == ["b", "c # y"]
    assert len(writes(sandbox)) == 1


def test_a_change_of_fields_alone_carries_no_entries(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a")
    writer.write("append", "a", description="Better", matching_attributes=("url",))
    sent = [request.json for request in sandbox.misp.requests if "/edit/" in request.path]
    assert sent == [{"Warninglist": {"description": "Better", "matching_attributes": ["url"]}}]


# answers that get lost


@pytest.mark.parametrize("kind", ["lost", "reset", "truncated"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_request_whose_answer_was_lost_is_seen_to_be_carried_out_and_not_repeated(
    sandbox: Sandbox, writer: Writer, kind: str, existing: bool
) -> None:
    if existing:
        add(sandbox, "a")
    sandbox.misp.faults.add("/warninglists/(add|edit)", kind, times=1)  # type: ignore[arg-type]
    applied = writer.write("append", "a", "b")
    assert applied.outcome is (ApplyOutcome.UPDATED if existing else ApplyOutcome.CREATED)
    assert held(sandbox) == ["a", "b"]
    assert len(writes(sandbox)) == 1


@pytest.mark.parametrize("kind", ["500", "502", "504", "refusal", "html", "shape"])
@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("action", ["append", "replace"])
def test_a_request_that_was_not_carried_out_is_repeated_after_reading_back(
    sandbox: Sandbox, writer: Writer, kind: str, existing: bool, action: str
) -> None:
    if existing:
        add(sandbox, "a")
    sandbox.misp.faults.add("/warninglists/(add|edit)", kind, times=2)  # type: ignore[arg-type]
    writer.write(action, "a", "b")
    assert held(sandbox) == ["a", "b"]
    assert len(writes(sandbox)) == 3
    asked = [re.sub(r"[/\d]+$", "", request.path) for request in sandbox.misp.requests]
    first = next(number for number, path in enumerate(asked) if re.search("add|edit", path))
    read = "/warninglists/view" if existing else "/warninglists/index"
    assert asked[first + 1] == read


def test_a_request_that_is_never_carried_out_ends_saying_that_nothing_was_written(
    sandbox: Sandbox, writer: Writer
) -> None:
    add(sandbox, "a")
    sandbox.misp.faults.add("/warninglists/edit", "500")
    with pytest.raises(ServiceUnavailable, match=r"server error 500 .* The list Mine: not written"):
        writer.write("append", "b")
    assert len(writes(sandbox)) == applying.ATTEMPTS


def test_a_list_that_cannot_be_read_back_is_not_said_to_have_failed(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a")
    planned = writer.plan("append", "b")
    sandbox.misp.faults.add("/warninglists/edit", "lost")
    sandbox.misp.faults.add("/warninglists/view", "502")
    with pytest.raises(ServiceUnavailable, match=r"MISP did not say .* The list Mine \(ID \d+\): sent, not seen"):
        writer.apply(planned)
    sandbox.misp.faults.clear()
    assert writer.apply(planned).outcome is ApplyOutcome.UNCHANGED
    assert held(sandbox) == ["a", "b"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_request_that_times_out_and_is_carried_out_late_doubles_nothing(
    sandbox: Sandbox, writer: Writer, existing: bool
) -> None:
    if existing:
        add(sandbox, "a")
    planned = writer.plan("append", "a", "b")
    original, late, landed, seen = sandbox.misp.handle, threading.Event(), threading.Event(), 0

    def handle(request: Request) -> Response:
        nonlocal seen
        if not re.search("/warninglists/(add|edit)", request.path):
            return original(request)
        seen += 1
        if seen == 1:  # carried out when the second one is there, between its reading and its writing
            late.wait()
            response = original(request)
            landed.set()
            return response
        late.set()
        landed.wait()
        return original(request)

    sandbox.misp.handle = handle  # type: ignore[method-assign]  # a hook into a server of the test's own
    writer.misp.pymisp.http.timeout = 0.5
    applied = writer.apply(planned)
    assert applied.outcome is (ApplyOutcome.UPDATED if existing else ApplyOutcome.CREATED)
    assert seen == 2
    assert held(sandbox) == ["a", "b"]


def test_a_last_attempt_whose_answer_was_lost_is_seen_to_be_carried_out(sandbox: Sandbox, writer: Writer) -> None:
    add(sandbox, "a")
    sandbox.misp.faults.add("/warninglists/edit", "500", times=applying.ATTEMPTS - 1)
    sandbox.misp.faults.add("/warninglists/edit", "lost")
    assert writer.write("append", "b").outcome is ApplyOutcome.UPDATED
    assert held(sandbox) == ["a", "b"]


@pytest.mark.parametrize("action", ["append", "replace"])
def test_what_is_stored_otherwise_than_planned_is_told(sandbox: Sandbox, writer: Writer, action: str) -> None:
    list_id = add(sandbox, "a")

    def double() -> None:
        with sandbox.misp.state.write() as db:
            db.execute("INSERT INTO warninglist_entries (warninglist_id, value) VALUES (?, 'b')", [list_id])

    meanwhile(sandbox, "/edit/", double, after=True)
    with pytest.raises(ChangedMeanwhile, match=r"is not as planned: .* 1 entries more \(b\)"):
        writer.write(action, "b")
    assert len(writes(sandbox)) == 1


def test_a_list_that_the_index_says_is_unchanged_is_read_once(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")
    planned = writer.plan("append", "b")
    sandbox.misp.clear_requests()
    writer.apply(planned)
    assert [request.path for request in sandbox.misp.requests] == [
        "/warninglists/index",
        f"/warninglists/edit/{list_id}",
        f"/warninglists/view/{list_id}",
    ]


# others write too


def test_an_append_is_repeated_when_somebody_overwrote_it(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")
    other = client(sandbox)
    meanwhile(
        sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["a", "theirs"]}), after=True, times=3
    )
    applied = writer.write("append", "ours")
    assert applied.outcome is ApplyOutcome.UPDATED
    assert held(sandbox) == ["a", "theirs", "ours"]


def test_a_removal_is_repeated_when_somebody_overwrote_it(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a", "b")
    other = client(sandbox)
    meanwhile(sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["a", "b", "c"]}), after=True)
    writer.write("remove", "b")
    assert held(sandbox) == ["a", "c"]


def test_what_somebody_adds_after_an_append_is_left_alone(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")
    other = client(sandbox)
    meanwhile(
        sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["a", "ours", "theirs"]}), after=True
    )
    applied = writer.write("append", "ours")
    assert applied.outcome is ApplyOutcome.UPDATED
    assert applied.others == "Somebody else wrote to it at the same time (version 2 → 3)."
    assert held(sandbox) == ["a", "ours", "theirs"]
    assert len(writes(sandbox)) == 2


@pytest.mark.parametrize("action", ["append", "remove"])
def test_overwriting_what_somebody_wrote_in_the_same_moment_is_told_where_the_list_is_as_wanted(
    sandbox: Sandbox, writer: Writer, action: str
) -> None:
    list_id = add(sandbox, "a", "b")
    other = client(sandbox)
    meanwhile(sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["a", "b", "theirs"]}))
    applied = writer.write(action, "c" if action == "append" else "b")
    assert re.search(r"version 1 → 3.*may have been overwritten.*warninglist-before\.json", applied.others)
    assert held(sandbox) == {"append": ["a", "b", "c"], "remove": ["a"]}[action]


def test_a_replacement_that_overwrote_what_somebody_wrote_in_the_same_moment_is_an_error(
    sandbox: Sandbox, writer: Writer
) -> None:
    list_id = add(sandbox, "a", "b")
    other = client(sandbox)
    meanwhile(sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["a", "b", "theirs"]}))
    with pytest.raises(
        ChangedMeanwhile, match=r"holds what was planned.*version 1 → 3.*: written and seen \(1 entries"
    ):
        writer.write("replace", "b")
    assert held(sandbox) == ["b"]


def test_what_somebody_wrote_to_the_same_version_is_told(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")

    def theirs() -> None:
        with sandbox.misp.state.write() as db:
            db.execute("INSERT INTO warninglist_entries (warninglist_id, value) VALUES (?, 'theirs')", [list_id])

    meanwhile(sandbox, "/edit/", theirs, after=True)
    assert writer.write("append", "ours").others == "Somebody else wrote to it at the same time (both to version 2)."
    assert sorted(held(sandbox)) == ["a", "ours", "theirs"]


def test_an_append_that_is_overwritten_every_time_gives_up_and_says_what_is_where(
    sandbox: Sandbox, writer: Writer
) -> None:
    list_id = add(sandbox, "a")
    other = client(sandbox)
    meanwhile(sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["theirs"]}), after=True, times=99)
    with pytest.raises(ChangedMeanwhile, match=r"1 entries missing \(ours\)"):
        writer.write("append", "ours")
    assert len(writes(sandbox)) == 2 * applying.ATTEMPTS


def test_a_replacement_stops_before_writing_when_the_list_changed_since_the_plan(
    sandbox: Sandbox, writer: Writer
) -> None:
    list_id = add(sandbox, "a")
    planned = writer.plan("replace", "b")
    client(sandbox).edit_warninglist(list_id, {"entries": ["a", "theirs"]})
    sandbox.misp.clear_requests()
    with pytest.raises(ChangedMeanwhile, match=r"version 2, expected 1; 1 entries more \(theirs\).*: not written"):
        writer.apply(planned)
    assert writes(sandbox) == []


def test_a_replacement_that_was_overwritten_stops_and_says_what_is_where(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")
    other = client(sandbox)
    meanwhile(sandbox, "/edit/", lambda: other.edit_warninglist(list_id, {"entries": ["theirs"]}), after=True)
    with pytest.raises(ChangedMeanwhile) as raised:
        writer.write("replace", "ours")
    assert "1 entries missing (ours); 1 entries more (theirs)" in str(raised.value)
    assert str(writer.record.before) in str(raised.value)
    assert held(sandbox) == ["theirs"]


def test_enabling_a_list_between_plan_and_replacement_does_not_stop_it(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a", enabled=False)
    planned = writer.plan("replace", "b")
    client(sandbox).set_warninglist_enabled(list_id, enabled=True)
    writer.apply(planned)
    assert held(sandbox) == ["b"]


def test_somebody_disabling_the_list_in_the_same_moment_is_not_silent(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")
    other = client(sandbox)
    meanwhile(sandbox, "/edit/", lambda: other.set_warninglist_enabled(list_id, enabled=False))
    applied = writer.write("append", "b")
    assert applied.others == "Somebody else disabled it meanwhile."
    assert applied.warninglist is not None
    assert not applied.warninglist.enabled


def test_an_append_joins_a_list_of_that_name_that_appeared_meanwhile(sandbox: Sandbox, writer: Writer) -> None:
    meanwhile(sandbox, "/warninglists/add", lambda: add(sandbox, "theirs"))
    assert writer.write("append", "ours").outcome is ApplyOutcome.UPDATED
    assert held(sandbox) == ["theirs", "ours"]


def test_a_replacement_stops_at_a_list_of_that_name_that_appeared_meanwhile(sandbox: Sandbox, writer: Writer) -> None:
    meanwhile(sandbox, "/warninglists/add", lambda: add(sandbox, "theirs"))
    with pytest.raises(ChangedMeanwhile, match="it was created meanwhile"):
        writer.write("replace", "ours")
    assert held(sandbox) == ["theirs"]


def test_a_second_list_of_that_name_made_in_the_same_moment_is_told(sandbox: Sandbox, writer: Writer) -> None:
    meanwhile(sandbox, "/warninglists/add", lambda: add(sandbox, "theirs"), after=True)
    with pytest.raises(WarninglistError, match=r"several lists named Mine \(IDs \d+, \d+\)"):
        writer.write("append", "ours")


def test_misps_own_refusal_is_passed_on(writer: Writer) -> None:
    with pytest.raises(RequestRejected, match="`not-a-network` is not valid CIDR"):
        writer.write("append", "not-a-network", type=WarninglistType.CIDR)


# at the end of a run


def test_entries_gone_at_the_end_are_appended_again(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a")
    applied = writer.write("append", "b", "c")
    assert not applying.append_again(writer.misp, applied, writer.record)
    client(sandbox).edit_warninglist(list_id, {"entries": ["a", "theirs", "c"]})
    assert applying.append_again(writer.misp, applied, writer.record).startswith("1 entries had been overwritten")
    assert held(sandbox) == ["a", "theirs", "c", "b"]


def test_what_was_removed_or_replaced_is_not_repeated_at_the_end(sandbox: Sandbox, writer: Writer) -> None:
    list_id = add(sandbox, "a", "b")
    applied = writer.write("remove", "b")
    client(sandbox).edit_warninglist(list_id, {"entries": ["a", "b"]})
    assert not applying.append_again(writer.misp, applied, writer.record)
    assert held(sandbox) == ["a", "b"]


# one writer at a time


def test_another_run_on_this_machine_is_waited_for_and_that_is_told(
    sandbox: Sandbox, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    add(sandbox, "a")
    planned = writer.plan("append", "b")
    with list_lock(writer.misp.server.url, "Mine"):
        running = threading.Thread(target=writer.apply, args=[planned])
        running.start()
        while running.is_alive() and "is writing to Mine: waiting" not in caplog.text:
            running.join(0.01)
        assert "is writing to Mine: waiting" in caplog.text
        assert held(sandbox) == ["a"]
    running.join()
    assert held(sandbox) == ["a", "b"]


def test_waiting_for_another_run_is_bounded() -> None:
    with (
        list_lock("https://misp.example", "Mine"),
        pytest.raises(WarninglistError, match=r"has been writing to the list Mine .*nothing was written"),
        list_lock("https://misp.example", "Mine", wait=0.05),
    ):
        raise AssertionError


def test_other_lists_and_servers_are_not_waited_for() -> None:
    with list_lock("https://a.example", "Mine"), list_lock("https://a.example", "x"), list_lock("https://b", "Mine"):
        locks = sorted((state_folder() / "locks").iterdir())
    assert len(locks) == 3
    assert (state_folder() / "locks").stat().st_mode & 0o777 == 0o700
    assert all("Mine" not in lock.name for lock in locks)
    assert FileLock(locks[0]).acquire(blocking=False)
