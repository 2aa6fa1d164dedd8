"""Keys and addresses: read from the vault file and the environment, never from parameters."""

import ast
import difflib
import ipaddress
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from misp_playbook_lib.errors import MissingSecret, SettingsError
from misp_playbook_lib.given import read_given
from misp_playbook_lib.model.tlp import TLP_LEVELS
from misp_playbook_lib.untrusted import know_secrets

ENVIRONMENT_PREFIX = "MISP_PLAYBOOK_"
VAULT_VARIABLE = "MISP_PLAYBOOK_VAULT"
RUN_DIR_VARIABLE = "MISP_PLAYBOOK_RUN_DIR"
"""Set by the runner: the run's folder, and the sign that nobody is watching."""
RUN_TIMEOUT_VARIABLE = "MISP_PLAYBOOK_RUN_TIMEOUT"
"""Set by the runner where somebody said how many seconds a run may take; 0: no limit."""
_OF_THE_RUNNER = (VAULT_VARIABLE, RUN_DIR_VARIABLE, RUN_TIMEOUT_VARIABLE)
DEFAULT_VAULTS = (Path("vault/keys.py"), Path("../vault/keys.py"))
SECRETS = ("misp_key", "mattermost_hook", "slack_hook", "thehive_key", "virustotal_apikey", "shodan_apikey")
VAULT_LIMIT = 1 << 20
"""Bytes: a vault has about one thousand."""
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


class Settings(BaseModel):
    """What the services are reached with. Only `misp_url` and `misp_key` are required.

    The names are those of the vault file; `MISP_PLAYBOOK_<NAME>` in the environment wins over it. `sandbox` and
    `sandbox_addresses`, the origins of the services of the sandbox that wrote the vault, stand in the file alone.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    misp_url: str
    misp_key: SecretStr = Field(min_length=1)
    misp_verifycert: bool | Path = True
    misp_modules_url: str = "http://127.0.0.1:6666"
    mattermost_playbook_user: str = ""
    mattermost_hook: SecretStr | None = None
    slack_hook: SecretStr | None = None
    thehive_url: str = ""
    thehive_key: SecretStr | None = None
    virustotal_apikey: SecretStr | None = None
    shodan_apikey: SecretStr | None = None
    virustotal_calls_per_minute: int = Field(default=4, ge=0)
    virustotal_calls_per_day: int = Field(default=500, ge=0)
    shodan_calls_per_minute: int = Field(default=60, ge=0)
    shodan_calls_per_day: int = Field(default=0, ge=0)
    internal_domains: tuple[str, ...] = ()
    chat_max_tlp: str = "amber"
    thehive_max_tlp: str = "amber"
    sandbox: bool = False
    sandbox_addresses: tuple[str, ...] = ()

    @field_validator(*SECRETS)
    @classmethod
    def _one_line(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None:
            return None
        text = secret.get_secret_value().strip()
        if not text.isascii() or not text.isprintable():
            raise ValueError("holds characters that cannot be sent in a header")
        return SecretStr(text)

    @field_validator("misp_url", "misp_modules_url", "thehive_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("mattermost_hook", "slack_hook")
    @classmethod
    def _hook_address(cls, hook: SecretStr | None) -> SecretStr | None:
        return SecretStr(checked_url(hook.get_secret_value())) if hook else None

    @field_validator("misp_verifycert", mode="before")
    @classmethod
    def _words_or_bundle(cls, value: object) -> object:
        if isinstance(value, str):
            if value.lower() in _TRUE | _FALSE:
                return value.lower() in _TRUE
            if not os.path.isfile(value):  # noqa: PTH113 - False too for a name that no file can have
                raise ValueError("is neither True, False nor the path of a CA bundle that exists")
            return Path(value)
        return value

    @field_validator("chat_max_tlp", "thehive_max_tlp")
    @classmethod
    def _known_tlp(cls, text: str) -> str:
        level = text.strip().lower().removeprefix("tlp:")
        if level not in TLP_LEVELS:
            raise ValueError(f"is none of {', '.join(TLP_LEVELS)}")
        return level

    @field_validator("internal_domains", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """Take a list from the vault, commas between them from the environment; a leading `*.` goes without saying."""
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ValueError('is not a list of domains: write ["corp.example", "example.org"]')
        return tuple(name.strip().lstrip("*").strip(".").lower() for name in names if name.strip(" *."))

    @model_validator(mode="after")
    def _sandbox_stays_here(self) -> "Settings":
        urls = {name: getattr(self, name) for name in ("misp_url", "misp_modules_url", "thehive_url")}
        urls |= {name: self.secret(name) for name in ("mattermost_hook", "slack_hook")}
        if others := [name for name, url in urls.items() if url and not self._may_reach(url)]:
            words = "sandbox = True allows only the loopback addresses that the sandbox wrote"
            raise ValueError(f"{words}, others are in {', '.join(others)}")
        return self

    def modules_url(self, parameter: str) -> str:
        """Return where misp-modules listens: the parameter `misp_modules_url`, where it is empty the vault's.

        Raises:
            SettingsError: it is no address of the sandbox that wrote the vault.

        """
        url = parameter or self.misp_modules_url
        if not self._may_reach(url):
            raise SettingsError(f"misp_modules_url {url} is not the sandbox's: leave the parameter empty.")
        return url

    def _may_reach(self, url: str) -> bool:
        parts = urlsplit(url)
        return not self.sandbox or (is_loopback(url) and f"{parts.scheme}://{parts.netloc}" in self.sandbox_addresses)

    def secret(self, name: str) -> str:
        """Return the secret `name`, or an empty text where it is not configured."""
        value: SecretStr | None = getattr(self, name)
        return value.get_secret_value() if value else ""

    def calls(self, name: str) -> tuple[int, int]:
        """Return the API calls that the key `name` may make a minute and a day; 0: no limit."""
        quotas = {
            "virustotal_apikey": (self.virustotal_calls_per_minute, self.virustotal_calls_per_day),
            "shodan_apikey": (self.shodan_calls_per_minute, self.shodan_calls_per_day),
        }
        return quotas.get(name, (0, 0))


def load_settings(vault: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings, the environment first, then the vault, and keep their secrets out of every text from here on.

    Args:
        vault: the vault file; by default `MISP_PLAYBOOK_VAULT`, then vault/keys.py here or one folder up.
        environ: the environment, by default this process's.

    Raises:
        SettingsError: the vault is unreadable, malformed or readable by others, a value is wrong or a variable unknown.
        MissingSecret: misp_url or misp_key is nowhere.

    """
    environ = os.environ if environ is None else environ
    _know({name: environ[variable] for variable, name in _VARIABLES.items() if variable in environ})
    path = vault or find_vault(environ)
    values = read_vault(path) if path else {}
    _know(values)
    variables = {name for name in environ if name.startswith(ENVIRONMENT_PREFIX)}
    for variable in sorted(variables - {*_OF_THE_RUNNER, *_VARIABLES}):
        nearest = _nearest(variable.removeprefix(ENVIRONMENT_PREFIX).lower(), ENVIRONMENT_PREFIX)
        raise SettingsError(f"{variable} in the environment is not known{nearest}")
    values |= {_VARIABLES[name]: environ[name] for name in variables & _VARIABLES.keys() if environ[name]}
    values = {name: value for name, value in values.items() if not isinstance(value, str) or value.strip()}
    where = str(path) if path else "a vault file (copy vault/keys.example.py to vault/keys.py)"
    for name in ("misp_url", "misp_key"):
        if name not in values:
            variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
            raise MissingSecret(f"{name} is missing: set it in {where}, or set {variable}.")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_problems(error, where)) from None


def learn_secrets(vault: Path | None, environ: Mapping[str, str]) -> None:
    """Keep secrets out of every text before a run starts; a vault that cannot be read is told by the run, in PR:1."""
    with suppress(SettingsError):
        load_settings(vault, environ)


def find_vault(environ: Mapping[str, str]) -> Path | None:
    """Return the vault that `environ` names, else the first default one that is there.

    Raises:
        SettingsError: the vault that is named is not there.

    """
    if named := environ.get(VAULT_VARIABLE):
        return Path(named)
    return next((path for path in DEFAULT_VAULTS if path.is_file()), None)


def read_vault(path: Path) -> dict[str, Any]:
    """Read the literal assignments of a vault file; nothing in it is executed.

    Raises:
        SettingsError: it is not there, readable by others, holds anything but `name = literal`, a name that is not
            known, or one twice.

    """
    try:
        mode = path.stat().st_mode
        text = read_given(path, VAULT_LIMIT).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"The vault {path} cannot be read: {reason}.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"The vault {path} can be read by others than its owner: chmod 600 {path}.")
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f"line {error.lineno} of " if isinstance(error, SyntaxError) else ""
        raise SettingsError(f'The vault is malformed: {line}{path} must read name = "value".') from None
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for statement in statements:
        match statement:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if name not in Settings.model_fields:
                    raise SettingsError(f"{name} in line {statement.lineno} of {path} is not known{_nearest(name)}")
                if name in lines:
                    twice = f"lines {lines[name]} and {statement.lineno}"
                    raise SettingsError(f"{name} is in {twice} of {path}: remove one.")
                lines[name] = statement.lineno
                try:
                    values[name] = ast.literal_eval(value)
                except (ValueError, TypeError):
                    raise SettingsError(
                        f"{name} in line {statement.lineno} of {path} is not a plain value: "
                        "the vault is read, never executed; write the value itself."
                    ) from None
            case _:
                raise SettingsError(
                    f'Line {statement.lineno} of {path} is not of the form name = "value": '
                    "the vault is read, never executed; remove it."
                )
    return values


def without_services(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables that are settings, or meant to be."""
    return {
        name: value
        for name, value in environ.items()
        if name in _OF_THE_RUNNER or not name.startswith(ENVIRONMENT_PREFIX)
    }


def is_loopback(url: str) -> bool:
    """Tell whether a URL points at this machine (RFC 6890: 127.0.0.0/8, ::1; RFC 6761: localhost)."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _know(values: Mapping[str, Any]) -> None:
    """Make secrets known as they were written, whatever else is wrong with them, or replaces them."""
    know_secrets(str(values[name]).strip() for name in SECRETS if name in values)


def checked_url(url: str) -> str:
    """Return the address of a service without spaces around it and slashes at its end.

    Raises:
        ValueError: it is no http(s) URL, or holds a user name, a query, a fragment or no usable port.

    """
    url = url.strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("is not an http(s) URL")
    if parts.username or parts.password:
        raise ValueError("must not hold a user name or password")
    if "?" in url or "#" in url:
        raise ValueError("must end with its path, without ? or # and what follows")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("must have a port from 1 to 65535")
    return url.rstrip("/")


def _problems(error: ValidationError, where: str) -> str:
    words = []
    for problem in error.errors(include_url=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        words.append(f"{name} {problem['msg'].removeprefix('Value error, ')}".strip())
    return f"{'; '.join(words)}: correct it in {where} or the environment."


def _nearest(name: str, prefix: str = "") -> str:
    close = difflib.get_close_matches(name, _VARIABLES.values(), n=1)
    if not close:
        return ": remove it; vault/keys.example.py shows every name."
    return f": did you mean {prefix}{close[0].upper() if prefix else close[0]}?"


_VARIABLES = {
    f"{ENVIRONMENT_PREFIX}{name.upper()}": name
    for name in Settings.model_fields
    if name not in ("sandbox", "sandbox_addresses")
}
"""The variables that are settings, and their names; that a vault is a sandbox's is said by the file alone."""
