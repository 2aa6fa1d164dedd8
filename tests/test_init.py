"""The first hour: what `misp-playbook init` asks, writes and refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from misp_playbook_lib.cli import main
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import load_settings

SKIPPED = ["", "", "", "", "", ""]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answer(*answers: str) -> Result:
    return CliRunner().invoke(main, ["init"], input="".join(f"{one}\n" for one in answers))


def test_the_vault_is_written_for_its_owner_alone_and_the_doctor_looks_at_it(sandbox: Sandbox) -> None:
    result = answer(sandbox.misp_url, sandbox.misp_key, *SKIPPED)
    vault = Path("vault/keys.py")
    assert result.exit_code == 0, result.output
    assert vault.stat().st_mode & 0o777 == 0o600
    assert load_settings(vault, environ={}).secret("misp_key") == sandbox.misp_key
    assert "may edit warninglists" in result.output


def test_no_key_is_shown(sandbox: Sandbox) -> None:
    result = answer(sandbox.misp_url, sandbox.misp_key, "virustotal-key-of-ours", *SKIPPED[1:])
    assert "virustotal-key-of-ours" in Path("vault/keys.py").read_text()
    assert sandbox.misp_key not in result.output
    assert "virustotal-key-of-ours" not in result.output


def test_what_cannot_be_an_address_is_asked_for_again(sandbox: Sandbox) -> None:
    result = answer("misp.example.org", sandbox.misp_url, sandbox.misp_key, *SKIPPED)
    assert "misp_url is not an http(s) URL: once more." in result.output
    assert load_settings(Path("vault/keys.py"), environ={}).misp_url == sandbox.misp_url


def test_a_vault_that_is_there_is_not_overwritten_and_nothing_is_asked() -> None:
    vault = Path("vault/keys.py")
    vault.parent.mkdir()
    vault.write_text("mine")
    result = answer("http://127.0.0.1:1", "key", *SKIPPED)
    assert result.exit_code == 2
    assert "not overwritten" in result.output
    assert "The address of your MISP server" not in result.output
    assert vault.read_text() == "mine"


def test_a_server_that_does_not_answer_is_told_by_the_doctor_and_the_vault_stays() -> None:
    result = answer("http://127.0.0.1:1", "some-key-of-ours", *SKIPPED)
    assert result.exit_code == 3
    assert "check misp_url" in result.output
    assert Path("vault/keys.py").is_file()
