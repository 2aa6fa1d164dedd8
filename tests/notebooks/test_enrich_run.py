"""Enrichment end to end: what the original got wrong about it (seed defects 14 to 17), and what a refused key costs."""

from collections.abc import Callable
from pathlib import Path

from conftest import Ran

from misp_playbook_lib.sandbox import Sandbox

Play = Callable[..., Ran]

MD5 = "028878c4b6ab475ed0be97eca6f92af9"
HOST = "johnshopkin.net"
ADDRESS = "158.255.208.168"
UNKNOWN = "0" * 32
FAILING = "f" * 32


def asked(sandbox: Sandbox, module: str) -> set[str]:
    """The values that a module was asked about."""
    questions = [request.json for request in sandbox.modules.requests if request.path == "/query"]
    return {question["attribute"]["value"] for question in questions if question["module"] == module}


def outcomes(ran: Ran, title: str) -> dict[str, list[str]]:
    """The cells behind each entry in a module's table of what became of each."""
    section = next(one for one in ran.summary.split("### ") if one.startswith(title))
    plain = section.replace("[.]", ".").replace("`", "")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in plain.splitlines() if "|" in line]
    heads = [number for number, row in enumerate(lines) if row[0] == "Entry"]
    return {row[0]: row[1:] for row in lines[heads[-1] + 2 :]}


def test_seed_defects_14_16_and_17_each_entry_has_its_status_its_answers_and_nothing_else_leaves(
    play: Play, sandbox: Sandbox
) -> None:
    sandbox.modules.answers["virustotal_public", "md5", FAILING] = {"error": "Incorrect request"}
    values = [MD5, HOST, ADDRESS, UNKNOWN, FAILING, "8.8.8.0/24", "10.0.0.1", "invoice.exe"]
    ran = play(warninglist_name="x", warninglist_values=values, enrich_with=["virustotal_public", "shodan", "nowhere"])
    assert ran.exit_code == 4, ran.output
    # 14: networks, private addresses and file names stay here
    assert asked(sandbox, "virustotal_public") == {MD5, HOST, ADDRESS, UNKNOWN, FAILING}
    assert asked(sandbox, "shodan") == {ADDRESS}
    # 16: a module's error is neither "no matches" nor a crash
    found = outcomes(ran, "VirusTotal")
    assert {entry: cells[1] for entry, cells in found.items()} == {
        MD5: "answered",
        HOST: "answered",
        ADDRESS: "answered",
        UNKNOWN: "nothing known",
        FAILING: "failed",
        "8.8.8.0/24": "withheld",
        "10.0.0.1": "withheld",
        "invoice.exe": "type not taken",
    }
    remedy = f"enable it there, or take it out of enrich_with ({sandbox.misp_modules_url})."
    assert ran.manifest["problems"] == [
        f"PR:2 Verify MISP modules: nowhere: not on the module server; skipped; {remedy}",
        f"ER:2 Query VirusTotal: VirusTotal: failed for entry {FAILING} (Incorrect request)",
    ]
    # 17: answers stay with the entry that asked; AS numbers count for nothing, detections are ratios
    assert found[MD5][2:4] == ["55/70", "2"]
    assert found[HOST][3] == "6"
    assert found[ADDRESS][3] == "1"
    facts = ran.manifest["facts"]["lookups"]
    assert facts["virustotal_public"]["new_indicators"] == 9
    assert facts["virustotal_public"]["asked"] == 5
    assert "not on the module server" in ran.step("ER:3")["summary"]


def test_seed_defect_15_a_module_server_that_is_down_is_said_and_ends_nothing(play: Play, sandbox: Sandbox) -> None:
    sandbox.modules.stop()
    ran = play(warninglist_name="x", warninglist_values=[MD5], send_to_slack=True)
    assert ran.exit_code == 4, ran.output
    assert any("no connection" in problem for problem in ran.manifest["problems"])
    assert sandbox.misp.warninglist("x") is not None
    assert len(sandbox.inbox()["slack"]) == 1
    assert "the module server cannot be reached" in ran.step("ER:2")["summary"]


def test_a_refused_key_is_one_question_and_one_problem_whatever_the_number_of_entries(
    play: Play, sandbox: Sandbox, vault: Path
) -> None:
    vault.write_text(vault.read_text().replace("sandbox-virustotal-key", "forbidden"))
    ran = play(warninglist_name="x", warninglist_values=[f"{number:032x}" for number in range(1000)])
    assert ran.exit_code == 4, ran.output
    assert len(asked(sandbox, "virustotal_public")) == 1
    assert len(ran.manifest["problems"]) == 1
    assert "VirusTotal: key refused for 1,000 entries" in ran.manifest["problems"][0]


def test_an_address_that_shodan_does_not_know_leaves_a_run_successful_and_a_bad_key_is_one_problem(
    play: Play, sandbox: Sandbox, vault: Path
) -> None:
    ran = play(warninglist_name="x", warninglist_values=["1.2.3.4"], enrich_with=["shodan"])
    assert ran.exit_code == 0, ran.output
    assert asked(sandbox, "shodan") == {"1.2.3.4", "8.8.8.8"}
    assert outcomes(ran, "Shodan")["1.2.3.4"][1] == "nothing known"
    assert "Shodan has an answer about 8[.]8[.]8[.]8" in ran.report
    vault.write_text(vault.read_text().replace("sandbox-shodan-key", "bad"))
    ran = play(warninglist_name="y", warninglist_values=["1.2.3.6", "1.2.3.7"], enrich_with=["shodan"])
    assert ran.exit_code == 4, ran.output
    assert asked(sandbox, "shodan") == {"1.2.3.4", "8.8.8.8", "1.2.3.6"}
    [problem] = ran.manifest["problems"]
    assert "Shodan: failed for 2 entries (could not ask: no answer to the control question about 8.8.8.8" in problem
