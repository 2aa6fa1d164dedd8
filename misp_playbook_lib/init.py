"""The first hour: asks for addresses and keys, writes the vault, and says what stands."""

import os
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.settings import Settings

VAULT_MODE = 0o600
REQUIRED = ("misp_url", "misp_key")
QUESTIONS = (
    ("misp_url", "The address of your MISP server", False),
    ("misp_key", "Your MISP key (Global Actions, My Profile, Auth keys)", True),
    ("virustotal_apikey", "VirusTotal API key", True),
    ("shodan_apikey", "Shodan API key", True),
    ("mattermost_hook", "Mattermost incoming webhook", True),
    ("slack_hook", "Slack incoming webhook", True),
    ("thehive_url", "The address of TheHive", False),
    ("thehive_key", "TheHive API key", True),
)
"""Each value's name in the vault, what to ask, and whether it is typed unseen."""

_HEAD = '''"""How the playbooks reach your services: plain name = value lines, never executed. Keep it to yourself.

vault/keys.example.py in the repository shows every entry; MISP_PLAYBOOK_<NAME> in the environment wins over it.
"""

'''


def make_vault(path: Path) -> None:
    """Ask for addresses and keys, keys without showing them, and write them for their owner alone.

    Raises:
        SettingsError: a vault is there already, or cannot be written.

    """
    if path.exists() or path.is_symlink():
        raise SettingsError(f"{path} is there already and is not overwritten: edit it, or move it away first.")
    answers = {name: _ask(name, words, hidden=hidden) for name, words, hidden in QUESTIONS}
    text = _HEAD + "".join(f"{name} = {value!r}\n" for name, value in answers.items() if value)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, VAULT_MODE)
    except OSError as error:
        raise SettingsError(f"The vault {path} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    click.echo(f"Written: {path}, readable by you alone.")


def _ask(name: str, words: str, *, hidden: bool) -> str:
    """Ask for a value, again where it cannot be one; what is not required may be left empty."""
    required = name in REQUIRED
    words = words if required else f"{words} (Enter to leave out)"
    default = None if required else ""
    while True:
        value: str = click.prompt(words, default=default, hide_input=hidden, show_default=False).strip()
        problem = _problem(name, value) if value or required else ""
        if not problem:
            return value
        click.echo(problem, err=True)


def _problem(name: str, value: str) -> str:
    """Say what is wrong with one value, without repeating it."""
    given: dict[str, Any] = {"misp_url": "https://misp.example.org", "misp_key": "unused", name: value}
    try:
        Settings.model_validate(given)
    except ValidationError as error:
        return f"{name} {error.errors(include_input=False)[0]['msg'].removeprefix('Value error, ')}: once more."
    return ""
