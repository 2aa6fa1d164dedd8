"""The main job, end to end: the real notebook, through the command line, against real sockets."""

import json
from collections.abc import Callable
from pathlib import Path

import pymispwarninglists
import pytest
from conftest import EXAMPLE, PLAYBOOK, Ran

from misp_playbook_lib.model.indicators import defang, refang
from misp_playbook_lib.sandbox import Sandbox

Play = Callable[..., Ran]

MD5 = "028878c4b6ab475ed0be97eca6f92af9"
HOST = "johnshopkin.net"
ADDRESS = "158.255.208.168"


def writes(sandbox: Sandbox) -> list[str]:
    """Return the requests by which a list could have been changed."""
    changing = ("/warninglists/add", "/warninglists/edit", "/warninglists/toggleEnable", "/warninglists/delete")
    return [request.path for request in sandbox.misp.requests if request.path.startswith(changing)]


@pytest.fixture
def demo(play: Play) -> Ran:
    return play("-f", str(EXAMPLE))


def test_the_demo_creates_the_list_and_reports_what_it_found(demo: Ran, sandbox: Sandbox) -> None:
    assert demo.exit_code == 0, demo.output
    created = sandbox.misp.warninglist("Campaign-ZN03")
    assert created is not None
    assert created["type"] == "string"
    assert created["category"] == "known"
    assert created["enabled"]
    assert demo.manifest["outcome"] == "success"
    assert demo.manifest["sandbox"] is True
    assert demo.manifest["facts"]["matches"] == {"attributes": 3, "events": 3, "tlp": ""}
    for event in ("TA505", "DevilsTongue", "TinyTurla"):
        assert event in demo.report
    assert "SANDBOX" in demo.report


def test_the_demo_shows_each_answer_beside_the_entry_that_asked(demo: Ran) -> None:
    sections = demo.summary.split("### ")
    virustotal = next(section for section in sections if section.startswith("VirusTotal"))
    table_lines = [line.strip("|").split("|") for line in virustotal.splitlines() if "|" in line]
    lines = [[refang(cell.strip(" `")) for cell in line] for line in table_lines]
    heads = [number for number, row in enumerate(lines) if row[0] == "Entry"]
    answers = {(row[0], row[1]) for row in lines[heads[0] + 2 : heads[1]]}
    assert len(answers) == 15
    assert {value for entry, value in answers if entry == MD5} >= {MD5, "55/70"}
    assert len([1 for entry, _ in answers if entry == HOST]) == 7
    assert {value for entry, value in answers if entry == ADDRESS} == {"9009", ADDRESS, "hk-ed.metercdn.net"}
    shodan = next(section for section in sections if section.startswith("Shodan"))
    assert f"| `{defang(ADDRESS)}` | `AS9009" in shodan
    assert "new indicators: 9, called malicious: 1 of 1 with a detection ratio." in virustotal
    outcomes = {row[0]: row[1:5] for row in lines[heads[1] + 2 :]}
    assert outcomes[MD5] == ["md5", "answered", "55/70", "2"]
    assert outcomes[HOST] == ["domain", "answered", "", "6"]
    assert outcomes[ADDRESS] == ["ip-dst", "answered", "", "1"]


def test_the_demo_posts_one_message_to_mattermost(demo: Ran, sandbox: Sandbox) -> None:
    posts = sandbox.inbox()["mattermost"]
    assert len(posts) == 1
    assert "Campaign-ZN03" in json.dumps(posts)
    assert demo.step("EN:2 Mattermost")["status"] == "done"


def test_the_demo_again_finds_the_list_changes_nothing_and_says_so(demo: Ran, play: Play, sandbox: Sandbox) -> None:
    sandbox.misp.clear_requests()
    asked = [request.path for request in sandbox.modules.requests if request.path == "/query"]
    again = play("-f", str(EXAMPLE))
    assert demo.exit_code == again.exit_code == 0, demo.output + again.output
    assert writes(sandbox) == []
    assert "Nothing to do" in again.step("IN:4")["summary"]
    assert again.step("IN:5")["status"] == "skipped"
    assert "nothing was changed" in again.summary
    assert [request.path for request in sandbox.modules.requests if request.path == "/query"] == asked
    assert "nothing was added; enrich_all asks about all entries" in again.step("ER:2")["summary"]
    assert len(again.folders) == 2


def test_the_run_folder_is_closed_to_others_and_holds_report_messages_and_what_undoes_the_run(demo: Ran) -> None:
    names = {path.name for path in demo.folder.iterdir()}
    undoing = {"undo.json", "warninglist-before.json", "warninglist-after.json"}
    tables = {"matches.csv", "enrichments.csv", "values.csv", "warninglists.csv", "warninglist.json"}
    assert names == {"run.ipynb", "report.html", "summary.md", "run.json", "mattermost-1.md"} | undoing | tables
    assert demo.folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in demo.folder.iterdir())


def test_progress_is_told_step_by_step(demo: Ran) -> None:
    told = [line.split()[0] for line in demo.output.splitlines() if line[:2] in ("PR", "IN", "ER", "EN")]
    values_and_plan = ["IN:4", "IN:4"]
    steps = ["PR:1", "PR:2", "PR:3", "IN:1", "IN:2", "IN:3", *values_and_plan, "IN:5", "IN:6", "IN:7"]
    steps += ["ER:1", "ER:2", "ER:3", "EN:1"]
    assert told == [*steps, "EN:2", "EN:2", "EN:3", "EN:4"]
    assert f"Report: {demo.folder / 'report.html'}" in demo.output


def test_a_thousand_entries_of_a_published_list(play: Play, sandbox: Sandbox, tmp_path: Path) -> None:
    lists = pymispwarninglists.WarningLists()
    entries = sorted(lists.warninglists["Top 1000 website from Alexa"].list)[:1000]
    file = tmp_path / "alexa.yaml"
    file.write_text("warninglist_name: Alexa\nwarninglist_values:\n" + "".join(f"- {entry}\n" for entry in entries))
    ran = play("-f", str(file), enrich_with=[])
    assert ran.exit_code == 0, ran.output
    created = sandbox.misp.warninglist("Alexa")
    assert created is not None
    assert [value for value, _ in created["entries"]] == entries


def test_append_keeps_comments_and_matching_attributes(play: Play, sandbox: Sandbox) -> None:
    kept = [("http://d.example/#frag", "old"), ("a.example", ""), ("b.example", "keep me")]
    sandbox.misp.add_warninglist("Mine", "string", "false_positive", kept, ["domain", "url"], enabled=False)
    ran = play(
        warninglist_name="Mine", warninglist_values=["c.example # new", "a.example", " b.example "], enrich_with=[]
    )
    assert ran.exit_code == 0, ran.output
    after = sandbox.misp.warninglist("Mine")
    assert after is not None
    assert [(value, comment or "") for value, comment in after["entries"]] == [*kept, ("c.example", "new")]
    assert sorted(after["matching_attributes"]) == ["domain", "url"]
    assert after["category"] == "false_positive"
    assert after["enabled"]
    before = json.loads((ran.folder / "warninglist-before.json").read_text())
    assert [(entry["value"], entry["comment"]) for entry in before["entries"]] == kept


def test_an_edit_carries_only_what_changes(play: Play, sandbox: Sandbox) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("a.example", "")], ["domain"], enabled=True)
    play(warninglist_name="Mine", warninglist_description="Better", enrich_with=[])
    edits = [request.json for request in sandbox.misp.requests if request.path.startswith("/warninglists/edit")]
    assert edits == [{"Warninglist": {"description": "Better"}}]


def test_replace_leaves_exactly_the_values_given(play: Play, sandbox: Sandbox) -> None:
    sandbox.misp.add_warninglist("Mine", "string", "known", [("a.example", "x"), ("b.example", "")], ["ALL"])
    ran = play(
        warninglist_name="Mine",
        warninglist_values_action="replace",
        warninglist_values=["b.example", "c.example"],
        enrich_with=[],
    )
    assert ran.exit_code == 0, ran.output
    after = sandbox.misp.warninglist("Mine")
    assert after is not None
    assert [value for value, _ in after["entries"]] == ["b.example", "c.example"]


def test_an_untouched_run_refuses_to_start_and_changes_nothing(play: Play, sandbox: Sandbox) -> None:
    ran = play()
    assert ran.exit_code == 2
    assert "name the list to create or to extend" in ran.output
    assert ran.folders == []
    assert sandbox.misp.requests == []


def test_every_problem_with_the_parameters_is_told_before_a_kernel_starts(play: Play) -> None:
    ran = play(warninglst_name="x", warninglist_type="strin", match_published="maybe")
    assert ran.exit_code == 2
    assert "did you mean warninglist_name?" in ran.output
    assert "did you mean string?" in ran.output
    assert "match_published is not true, false or none" in ran.output
    assert ran.folders == []


def failed(ran: Ran, sandbox: Sandbox, words: str) -> None:
    """Check what every failure up to IN has in common."""
    assert ran.exit_code == 3, ran.output
    assert ran.manifest["outcome"] == "failed"
    assert words in ran.manifest["message"]
    assert "\n" not in ran.manifest["message"]
    assert words in ran.output
    assert words in ran.report
    assert "Traceback" not in ran.output + ran.report
    assert (ran.folder / "run.ipynb").exists()
    assert writes(sandbox) == []


def test_a_misp_that_is_down_stops_the_run(play: Play, sandbox: Sandbox) -> None:
    sandbox.misp.stop()
    failed(play(warninglist_name="x", warninglist_values=["a.example"]), sandbox, "no connection")


def test_a_refused_key_stops_the_run(play: Play, sandbox: Sandbox, vault: Path) -> None:
    vault.write_text(vault.read_text().replace(sandbox.misp_key, "z" * 40))
    failed(play(warninglist_name="x", warninglist_values=["a.example"]), sandbox, "the key was refused")


def test_a_user_without_the_permission_stops_the_run(play: Play, sandbox: Sandbox, vault: Path) -> None:
    vault.write_text(vault.read_text().replace(sandbox.misp_key, sandbox.misp.plain_key))
    failed(play(warninglist_name="x", warninglist_values=["a.example"]), sandbox, "may not edit warninglists")


def test_a_read_only_key_stops_the_run(play: Play, sandbox: Sandbox, vault: Path) -> None:
    vault.write_text(vault.read_text().replace(sandbox.misp_key, sandbox.misp.readonly_key))
    ran = play(warninglist_name="x", warninglist_values=["a.example"])
    assert ran.exit_code == 3
    assert "the user may not do this" in ran.manifest["message"]
    assert sandbox.misp.warninglist("x") is None


def test_an_unknown_id_stops_the_run(play: Play, sandbox: Sandbox) -> None:
    ran = play(warninglist_id=4711, warninglist_values=["a.example"])
    failed(ran, sandbox, "There is no warninglist with the ID 4711")


def test_a_built_in_list_is_refused_before_misp_is_asked(play: Play, sandbox: Sandbox) -> None:
    built_in = sandbox.misp.add_warninglist("Shipped", "string", "known", [("a.example", "")], ["ALL"], default=True)
    ran = play(warninglist_id=built_in, warninglist_values=["b.example"])
    failed(ran, sandbox, "ships with MISP and cannot be edited")


def test_a_failing_cell_leaves_an_archived_report_and_exit_code_1(
    command: Play, sandbox: Sandbox, vault: Path, tmp_path: Path
) -> None:
    notebook = json.loads(PLAYBOOK.read_text())
    cell = next(cell for cell in notebook["cells"] if "run.plan(" in "".join(cell["source"]))
    cell["source"] = ["1 / 0"]
    broken = tmp_path / "broken.ipynb"
    broken.write_text(json.dumps(notebook))
    ran = command(str(broken), "--vault", str(vault), "-p", "warninglist_name=x", "-p", "warninglist_values=a.example")
    assert ran.exit_code == 1
    assert ran.manifest["outcome"] == "crashed"
    assert "ZeroDivisionError" in ran.manifest["message"]
    assert "ZeroDivisionError" in ran.report
    assert writes(sandbox) == []


def test_a_sandbox_run_touches_the_sandbox_only(
    command: Play, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISP_PLAYBOOK_MISP_URL", sandbox.misp_url)
    monkeypatch.setenv("MISP_PLAYBOOK_MISP_KEY", sandbox.misp_key)
    monkeypatch.setenv("MISP_PLAYBOOK_MATTERMOST_HOOK", sandbox.addresses()["mattermost_hook"])
    ran = command(str(PLAYBOOK), "--sandbox", "-f", str(EXAMPLE))
    assert ran.exit_code == 0, ran.output
    assert sandbox.misp.requests == []
    assert sandbox.modules.requests == []
    assert sandbox.inbox()["mattermost"] == []


def test_a_sandbox_run_refuses_a_module_server_that_is_not_the_sandboxs(command: Play, sandbox: Sandbox) -> None:
    ran = command(str(PLAYBOOK), "--sandbox", "-f", str(EXAMPLE), "-p", f"misp_modules_url={sandbox.misp_modules_url}")
    assert ran.exit_code == 3, ran.output
    line = f"misp_modules_url {sandbox.misp_modules_url} is not the sandbox's: leave the parameter empty."
    assert f"failed: PR:2 Verify MISP modules: {line}" in ran.output
    assert sandbox.modules.requests == []


def test_no_secret_of_the_vault_is_archived(demo: Ran, sandbox: Sandbox) -> None:
    text = "".join(path.read_text() for path in demo.folder.iterdir())
    for name in ("misp_key", "mattermost_hook", "thehive_key"):
        assert sandbox.addresses()[name] not in text


def test_an_unverified_certificate_is_said_aloud(play: Play, vault: Path) -> None:
    vault.write_text(vault.read_text().replace("misp_verifycert = True", "misp_verifycert = False"))
    ran = play(warninglist_name="x", warninglist_values=["a.example"], enrich_with=[])
    assert ran.exit_code == 0, ran.output
    assert "TLS CERTIFICATE NOT VERIFIED" in ran.output
    assert "TLS CERTIFICATE NOT VERIFIED" in ran.report
    assert "TLS CERTIFICATE NOT VERIFIED" in ran.summary


def test_a_secret_that_comes_back_from_misp_is_redacted_counted_and_told(play: Play, sandbox: Sandbox) -> None:
    sandbox.misp.add_event(f"leaked {sandbox.misp_key}", [{"type": "domain", "value": "evil.example"}])
    ran = play(warninglist_name="x", warninglist_values=["evil.example"], enrich_with=[])
    text = "".join(path.read_text() for path in ran.folder.iterdir())
    assert sandbox.misp_key not in text
    assert "[redacted]" in ran.report
    assert ran.manifest["redacted"] > 0
    assert "held a secret and were redacted" in ran.output
