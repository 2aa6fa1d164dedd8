"""The command's smaller words: describe, doctor, sandbox, and what it says of wrong usage."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result
from conftest import Ran

from misp_playbook_lib.cli import main
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.sandbox import Sandbox


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_help_names_the_exit_codes() -> None:
    for arguments in (["--help"], ["run", "--help"]):
        output = call(*arguments).output
        for code in ("0  everything was done", "1  anything else", "2  wrong", "3  the run failed", "4  the list is"):
            assert code in output


def test_describe_shows_every_parameter_with_its_help() -> None:
    output = call("describe", "create_custom_misp_warninglist").output
    for name, field in PlaybookParameters.model_fields.items():
        assert f"| {name} " in output
        assert str(field.description) in output


@pytest.mark.parametrize("command", ["describe", "run"])
def test_an_unknown_playbook_is_told_with_those_there_are(command: str) -> None:
    result = call(command, "no_such_playbook")
    assert result.exit_code == 2
    assert "create_custom_misp_warninglist" in result.output


def test_an_assignment_without_a_value_is_told() -> None:
    result = call("run", "create_custom_misp_warninglist", "-p", "warninglist_name")
    assert result.exit_code == 2
    assert "is not of the form name=value" in result.output


def test_a_problem_is_one_line_and_can_draw_nothing_in_the_terminal() -> None:
    result = call("run", "create_custom_misp_warninglist", "-p", "tl\x1b[31mp\n=red")
    assert result.exit_code == 2
    assert result.stderr == "Error: tl<U+001B>[31mp is no parameter: did you mean tlp?\n"


@pytest.mark.parametrize("command", ["run", "batch"])
def test_a_key_among_the_parameters_starts_nothing(command: str, sandbox: Sandbox, vault: Path, tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    wanted = {"warninglist_name": "x", "warninglist_values": [f"a.example # {sandbox.misp_key}"]}
    file.write_text(json.dumps({"runs": [wanted]} if command == "batch" else wanted))
    arguments = [str(file)] if command == "batch" else ["create_custom_misp_warninglist", "-f", str(file)]
    result = call(command, *arguments, "--vault", str(vault), "--archive", str(tmp_path / "reports"))
    assert result.exit_code == 2
    assert "warninglist_values value 1 holds a secret of the vault" in result.stderr
    assert sandbox.misp_key not in result.output
    assert sandbox.misp.requests == []
    assert not (tmp_path / "reports").exists()


def test_a_key_where_no_value_is_expected_is_not_repeated(sandbox: Sandbox, vault: Path) -> None:
    result = call("run", "create_custom_misp_warninglist", "--vault", str(vault), "-p", sandbox.misp_key)
    assert result.exit_code == 2
    assert "-p [redacted] is not of the form name=value" in result.stderr


def checks(vault: Path, tmp_path: Path, *arguments: str) -> dict[str, dict[str, str]]:
    result = call("doctor", "--json", "--vault", str(vault), "--archive", str(tmp_path / "reports"), *arguments)
    found = {check["name"]: check for check in json.loads(result.output)}
    assert result.exit_code == (3 if any(check["health"] == "error" for check in found.values()) else 0)
    return found


def test_doctor_finds_a_sandbox_in_good_health_and_posts_nothing(sandbox: Sandbox, vault: Path, tmp_path: Path) -> None:
    found = checks(vault, tmp_path)
    assert {check["health"] for check in found.values()} == {"ok"}
    assert {"MISP", "MISP key", "MISP permission", "MISP version", "module shodan", "TheHive", "archive"} <= set(found)
    assert not any(sandbox.inbox().values())
    assert not (tmp_path / "reports").exists()


def test_doctor_names_each_trouble_with_its_remedy(sandbox: Sandbox, vault: Path, tmp_path: Path) -> None:
    text = vault.read_text().replace(sandbox.misp_key, sandbox.misp.plain_key)
    text = text.replace(sandbox.addresses()["thehive_key"], "not-the-key")
    vault.write_text("\n".join(line for line in text.splitlines() if not line.startswith("shodan")) + "\n")
    sandbox.mattermost.stop()
    found = checks(vault, tmp_path)
    assert found["MISP permission"]["health"] == "error"
    assert "Warninglist Editor" in found["MISP permission"]["remedy"]
    assert found["module shodan"]["health"] == "warning"
    assert found["module shodan"]["remedy"] == "add the key to the vault"
    assert found["Mattermost"]["health"] == "error"
    assert found["TheHive"]["health"] == "error"


def test_doctor_tells_an_address_that_is_not_the_sandboxs(vault: Path, tmp_path: Path) -> None:
    found = checks(vault, tmp_path, "--misp-modules-url", "http://127.0.0.1:6666")["misp-modules"]
    assert found["seen"] == "misp_modules_url http://127.0.0.1:6666 is not the sandbox's: leave the parameter empty."


def test_doctor_tells_a_misp_that_is_down_and_a_refused_key(sandbox: Sandbox, vault: Path, tmp_path: Path) -> None:
    vault.write_text(vault.read_text().replace(sandbox.misp_key, "z" * 40))
    assert "the key was refused" in checks(vault, tmp_path)["MISP"]["seen"]
    sandbox.misp.stop()
    sandbox.modules.stop()
    found = checks(vault, tmp_path)
    assert "no connection" in found["MISP"]["seen"]
    assert found["misp-modules"]["health"] == "warning"


def test_doctor_tells_a_vault_that_others_can_read(vault: Path, tmp_path: Path) -> None:
    vault.chmod(0o644)
    result = call("doctor", "--vault", str(vault), "--archive", str(tmp_path))
    assert result.exit_code == 3
    assert "chmod 600" in result.output


def test_the_sandbox_runs_until_interrupted_and_says_where_it_is(tmp_path: Path, command: Callable[..., Ran]) -> None:
    vault = tmp_path / "sandbox.py"
    arguments = [sys.executable, "-m", "misp_playbook_lib", "sandbox", "--write-vault", str(vault)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        try:
            assert set(addresses) == {
                "misp_url",
                "misp_key",
                "misp_modules_url",
                "mattermost_hook",
                "slack_hook",
                "thehive_url",
                "thehive_key",
                "inbox_url",
            }
            ran = command(
                "create_custom_misp_warninglist",
                "--vault",
                str(vault),
                "-p",
                "warninglist_name=x",
                "-p",
                "warninglist_values=a.example",
                "-p",
                "send_to_slack=true",
            )
            assert ran.exit_code == 0, ran.output
            inbox = requests.get(addresses["inbox_url"], timeout=10).json()
            assert len(inbox["slack"]) == 1
            assert inbox["mattermost"] == []
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert vault.stat().st_mode & 0o777 == 0o600


def test_the_sandbox_never_overwrites_a_real_vault(tmp_path: Path) -> None:
    vault = tmp_path / "keys.py"
    vault.write_text('misp_key = "real"\n')
    result = call("sandbox", "--write-vault", str(vault))
    assert result.exit_code == 2
    assert "is not overwritten" in result.output
    assert vault.read_text() == 'misp_key = "real"\n'
