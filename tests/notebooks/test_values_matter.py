"""Files, events and the check, through the real notebook: what blocks is seen before anything is written."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran

from misp_playbook_lib.sandbox import Sandbox

Play = Callable[..., Ran]


def test_a_file_of_values_is_read_relative_to_the_caller_and_its_digest_archived(
    play: Play, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "iocs.csv"
    file.write_text("value,comment\nevil.corp-name.de,C2\nEVIL[.]corp-name.de,again\n")
    ran = play(warninglist_name="Mine", warninglist_values_file="iocs.csv", enrich_with=[])
    assert ran.exit_code == 0, ran.output
    created = sandbox.misp.warninglist("Mine")
    assert created is not None
    assert created["entries"] == [("evil.corp-name.de", "C2")]
    (source,) = ran.manifest["facts"]["values"]["sources"]
    assert source["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert source["sha256"] in ran.report
    assert ran.manifest["facts"]["values"]["corrected"] == 1


def test_an_events_attributes_become_entries(play: Play, sandbox: Sandbox) -> None:
    attributes = [{"type": "domain", "value": "evil.corp-name.de", "comment": "C2"}, {"type": "comment", "value": "x"}]
    event = sandbox.misp.add_event("campaign", attributes)
    ran = play(warninglist_name="Mine", warninglist_values_event=event, enrich_with=[])
    assert ran.exit_code == 0, ran.output
    created = sandbox.misp.warninglist("Mine")
    assert created is not None
    assert created["entries"] == [("evil.corp-name.de", "C2")]


def test_findings_stand_in_the_report_and_block_before_anything_is_written(play: Play, sandbox: Sandbox) -> None:
    ran = play(warninglist_name="Mine", warninglist_type="hostname", warninglist_values=["com", "a.corp-name.de"])
    assert ran.exit_code == 3
    assert "accept_dangerous" in ran.manifest["message"]
    assert sandbox.misp.warninglist("Mine") is None
    assert "public-suffix" in ran.report
    (finding,) = [one for one in ran.manifest["facts"]["values"]["findings"] if one["severity"] == "dangerous"]
    assert finding["entry"] == "com"


def test_accept_dangerous_writes_them_all_the_same(play: Play, sandbox: Sandbox) -> None:
    ran = play(
        warninglist_name="Mine",
        warninglist_type="hostname",
        warninglist_values=["com"],
        accept_dangerous="yes",
        enrich_with=[],
    )
    assert ran.exit_code == 0, ran.output
    assert sandbox.misp.warninglist("Mine") is not None
