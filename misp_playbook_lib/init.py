"""The first hour: asks for addresses and keys, writes the vault, and says what stands."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.settings import Settings, load_settings

VAULT_MODE = 0o600
REQUIRED = (
    ("misp_url", "The address of your MISP server", False),
    ("misp_key", "Your MISP key (Global Actions, My Profile, Auth keys)", True),
)
OPTIONAL = (
    ("virustotal_apikey", "VirusTotal API key", True),
    ("shodan_apikey", "Shodan API key", True),
    ("mattermost_hook", "Mattermost incoming webhook", True),
    ("slack_hook", "Slack incoming webhook", True),
    ("thehive_url", "The address of TheHive", False),
    ("thehive_key", "TheHive API key", True),
)
_HEAD = '''"""How the playbooks reach your services: plain name = value lines, never executed. Keep it to yourself.

vault/keys.example.py in the repository shows every entry; MISP_PLAYBOOK_<NAME> in the environment wins over it.
"""

'''

Ask = Callable[[str, bool, bool], str]
"""Asks for one value: its description, whether it is hidden, whether it may be empty."""


def refuse_existing(path: Path) -> None:
    """Stop before anything is asked where a vault is there already.

    Raises:
        SettingsError: it is, and is not overwritten.

    """
    if path.exists() or path.is_symlink():
        raise SettingsError(f"{path} is there already and is not overwritten: edit it, or move it away first.")


def ask_for(ask: Ask, say: Callable[[str], None]) -> dict[str, str]:
    """Ask for every value, again where it cannot be one; what is left empty is left out."""
    given: dict[str, str] = {}
    for questions, optional in ((REQUIRED, False), (OPTIONAL, True)):
        for name, words, hidden in questions:
            while True:
                value = ask(words, hidden, optional).strip()
                if not value or not (problem := _problem(name, value)):
                    break
                say(problem)
            if value:
                given[name] = value
    return given


def write_vault(path: Path, values: dict[str, str]) -> None:
    """Write a vault that only its owner can read; one that is there stays.

    Raises:
        SettingsError: it cannot be written.

    """
    text = _HEAD + "".join(f"{name} = {value!r}\n" for name, value in values.items())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, VAULT_MODE)
    except OSError as error:
        raise SettingsError(f"The vault {path} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    load_settings(path, environ={})


def _problem(name: str, value: str) -> str:
    """Say what is wrong with one value, without repeating it."""
    given: dict[str, Any] = {"misp_url": "https://misp.example.org", "misp_key": "unused", name: value}
    try:
        Settings.model_validate(given)
    except ValidationError as error:
        return f"{name} {error.errors(include_input=False)[0]['msg'].removeprefix('Value error, ')}: once more."
    return ""
