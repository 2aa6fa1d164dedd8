"""Entries from parameter, file and event, corrected and checked before anything is planned."""

import hashlib
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import stamina
from click.testing import CliRunner

from misp_playbook_lib.cli import main
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import InvalidEntries, WarninglistError
from misp_playbook_lib.model.findings import Rule, Severity
from misp_playbook_lib.model.values import EventAttribute, ValuesRead, entries_of_event
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import load_settings
from misp_playbook_lib.steps.entries import read_values, refuse_findings
from misp_playbook_lib.untrusted import know_secrets


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.fixture
def misp(vault: Path) -> MispClient:
    return MispClient(load_settings(vault, {}))


def read(misp: MispClient, kind: str = "string", **given: Any) -> ValuesRead:
    wanted = {"lines": [], "file": "", "event": "", "removing": False, **given}
    current = misp.warninglist(wanted.pop("list_id")) if "list_id" in wanted else None
    return read_values(misp, WarninglistType(kind), wanted.pop("types", ["ALL"]), current, **wanted)


def values(found: ValuesRead) -> list[str]:
    return [entry.value for entry in found.entries]


def test_parameter_file_and_event_are_read_together_without_doubles(
    misp: MispClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "iocs.txt"
    file.write_text("b.example # from file\na.example\n\n# nothing\n")
    attributes = [{"type": "domain", "value": "c.example"}, {"type": "domain", "value": "b.example"}]
    event = sandbox.misp.add_event("campaign", attributes)
    found = read(misp, lines=["a.example # mine"], file=str(file), event=str(event))
    assert found.entries == (
        WarninglistEntry("a.example", "mine"),
        WarninglistEntry("b.example", "from file"),
        WarninglistEntry("c.example"),
    )
    assert [source.entries for source in found.sources] == [1, 2, 2]
    assert found.sources[1].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_corrections_are_told_and_a_regex_list_is_left_alone(misp: MispClient) -> None:
    found = read(misp, lines=["EVIL[.]example", " hxxp://evil.example/A "])
    assert values(found) == ["evil.example", "http://evil.example/A"]
    assert {correction.before: correction.after for correction in found.corrections}["EVIL[.]example"] == "evil.example"
    assert values(read(misp, "regex", lines=["/EVIL[.]example/"])) == ["/EVIL[.]example/"]


def test_an_entry_on_another_enabled_list_is_seen_but_not_one_on_the_list_itself(
    misp: MispClient, sandbox: Sandbox
) -> None:
    sandbox.misp.add_warninglist("Public DNS", "string", "false_positive", [("8.8.8.8", "")], ["ALL"], enabled=True)
    own = sandbox.misp.add_warninglist("Mine", "string", "known", [("9.9.9.9", "")], ["ALL"], enabled=True)
    found = read(misp, lines=["8.8.8.8", "9.9.9.9"], list_id=own)
    elsewhere = [finding for finding in found.findings if finding.rule is Rule.LISTED_ELSEWHERE]
    assert [finding.entry for finding in elsewhere] == ["8.8.8.8"]
    assert "Public DNS" in elsewhere[0].reason
    assert found.checked_elsewhere.startswith("1 of 1 added entries")


def test_an_attribute_type_that_misp_does_not_know_blocks(misp: MispClient) -> None:
    found = read(misp, lines=["a.example"], types=["domian"])
    assert [finding.rule for finding in found.findings] == [Rule.UNKNOWN_TYPE]
    with pytest.raises(InvalidEntries, match="domian"):
        refuse_findings(found.findings, accept_dangerous=True)


def test_what_is_dangerous_blocks_unless_it_is_accepted(misp: MispClient) -> None:
    found = read(misp, "hostname", lines=["com", "evil.example"])
    assert [finding.severity for finding in found.findings if finding.entry == "com"] == [Severity.DANGEROUS]
    with pytest.raises(InvalidEntries, match="Set accept_dangerous"):
        refuse_findings(found.findings, accept_dangerous=False)
    refuse_findings(found.findings, accept_dangerous=True)


def test_what_is_to_be_removed_is_taken_as_it_stands(misp: MispClient) -> None:
    found = read(misp, "hostname", lines=["COM", "EVIL[.]example # gone"], removing=True)
    assert values(found) == ["COM", "EVIL[.]example"]
    assert found.findings == ()


def test_a_file_that_is_not_there_and_one_that_is_not_text_are_told(misp: MispClient, tmp_path: Path) -> None:
    with pytest.raises(InvalidEntries, match=r"nowhere\.txt cannot be read: No such file"):
        read(misp, file=str(tmp_path / "nowhere.txt"))
    (tmp_path / "bad.txt").write_bytes(b"good.example\nbad \xff\xfe byte\n")
    with pytest.raises(InvalidEntries, match="line 2"):
        read(misp, file=str(tmp_path / "bad.txt"))


KEY = "k3y/with+signs=and&<more>"


@pytest.mark.parametrize(
    ("name", "data", "place"),
    [
        ("iocs.txt", f"a.example\n\nb.example # {quote(KEY)}\n".encode(), "line 3"),
        ("iocs.csv", f"value,comment\na.example,\nb.example,{KEY}\n".encode(), "line 3"),
        ("iocs.json", json.dumps(["a.example", html.escape(KEY)], indent=1).encode(), "line 3"),
        ("iocs.json", b'["a.example", "\\u006b3y/with+signs=and&<more>"]', "entry 2"),
        ("wide.txt", f"a.example\n{KEY}\n".encode("utf-16"), "entry 2"),
    ],
)
def test_a_file_with_a_secret_is_refused_with_the_line(
    misp: MispClient, sandbox: Sandbox, tmp_path: Path, name: str, data: bytes, place: str
) -> None:
    know_secrets([KEY])
    sandbox.misp.clear_requests()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidEntries, match=rf"^{name}, {place}, holds a secret of the vault: take it out\."):
        read(misp, file=str(tmp_path / name))
    assert sandbox.misp.requests == []


def test_an_event_with_a_secret_is_refused_with_the_attribute(misp: MispClient, sandbox: Sandbox) -> None:
    know_secrets([KEY])
    told = [{"type": "domain", "value": "a.example"}, {"type": "domain", "value": "b.example", "comment": KEY}]
    event = sandbox.misp.add_event("campaign", told)
    attribute = misp.event_attributes(str(event))[1].uuid
    sandbox.misp.clear_requests()
    with pytest.raises(InvalidEntries, match=rf"^event {event}, attribute {attribute}, holds a secret of the vault"):
        read(misp, event=str(event))
    assert [request.path for request in sandbox.misp.requests] == [f"/events/view/{event}"]


def test_a_value_with_a_secret_is_refused_with_its_number(misp: MispClient, sandbox: Sandbox) -> None:
    know_secrets([KEY])
    sandbox.misp.clear_requests()
    with pytest.raises(InvalidEntries, match=r"^warninglist_values, value 2, holds a secret of the vault"):
        read(misp, lines=["a.example", KEY])
    assert sandbox.misp.requests == []


def test_an_event_that_is_not_there_is_told(misp: MispClient) -> None:
    with pytest.raises(WarninglistError, match="There is no event 99999"):
        read(misp, event="99999")


def test_an_event_gives_the_telling_part_of_each_attribute_with_to_ids() -> None:
    md5 = "d41d8cd98f00b204e9800998ecf8427e"
    attributes = [
        EventAttribute("domain", "a.example", True, "C2"),
        EventAttribute("domain", "context.example", False, ""),
        EventAttribute("ip-dst|port", "198.51.100.7|443", True, ""),
        EventAttribute("filename|md5", f"invoice.exe|{md5}", True, ""),
        EventAttribute("malware-sample", f"x.bin|{md5}", True, ""),
        EventAttribute("domain|ip", "b.example|198.51.100.8", True, ""),
    ]
    entries, left_out = entries_of_event(attributes, WarninglistType.STRING)
    assert [entry.value for entry in entries] == ["a.example", "198.51.100.7", md5, md5, "b.example", "198.51.100.8"]
    assert entries[0].comment == "C2"
    assert left_out == "1 attributes without to_ids"
    addresses, left_out = entries_of_event(attributes, WarninglistType.CIDR)
    assert [entry.value for entry in addresses] == ["198.51.100.7", "198.51.100.8"]
    assert "3 attributes that are nothing for a cidr list" in left_out
    hosts, _ = entries_of_event(attributes, WarninglistType.HOSTNAME)
    assert [entry.value for entry in hosts] == ["a.example", "b.example"]


def check(path: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["check", str(path), *arguments])
    return result.exit_code, result.output


def test_check_tells_each_finding_with_its_line_and_blocks_a_commit(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# networks\n10.0.0.0/99\n\n198.51.100.5/24 # host bits\n")
    code, output = check(path, "--type", "cidr")
    assert code == 3
    assert f"{path}:2: error: 10.0.0.0/99: " in output
    assert f"{path}:4: warning: 198.51.100.5/24: " in output


def test_check_lets_warnings_pass_and_dangerous_entries_where_accepted(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("com\n")
    assert check(path, "--type", "hostname")[0] == 3
    assert check(path, "--type", "hostname", "--accept-dangerous")[0] == 0
    path.write_text("evil.corp-name.de\n")
    assert check(path, "--type", "hostname") == (0, "")


def test_check_speaks_json(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("fine.corp-name.de\ncom\n")
    (finding,) = json.loads(check(path, "--type", "hostname", "--json")[1])
    assert (finding["line"], finding["severity"], finding["rule"]) == (2, "dangerous", "public-suffix")


def test_check_tells_a_wrong_type_and_a_missing_file(tmp_path: Path) -> None:
    assert check(tmp_path / "x", "--type", "cider")[0] == 2
    code, output = check(tmp_path / "x", "--type", "cidr")
    assert code == 3
    assert "cannot be read" in output
