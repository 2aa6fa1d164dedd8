"""Says before a run what would go wrong in it: MISP, modules, receivers and archive, each with its remedy."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from misp_playbook_lib.clients.http import HttpClient
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.errors import PlaybookError, ServiceError, ServiceUnavailable, SettingsError
from misp_playbook_lib.model.modules import MispServer, availability
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report.tables import as_text, table
from misp_playbook_lib.settings import Settings, is_loopback, load_settings

OLDEST_MISP = (2, 4, 198)
"""The first MISP that takes a list's entries as a JSON list (app/Controller/WarninglistsController.php)."""

LITTLE_SPACE = 1_000_000_000
"""Bytes: a report takes about one million, a large one ten."""


class Health(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: how it stands, what was seen, and what to do about it."""

    name: str
    health: Health
    seen: str
    remedy: str = ""


def examine(vault: Path | None, archive: Path, modules_url: str = "") -> tuple[Check, ...]:
    """Look at everything a run needs; nothing is changed and nothing is posted."""
    try:
        settings = load_settings(vault)
    except SettingsError as error:
        return (Check("vault", Health.ERROR, str(error), "correct the vault"), _archive(archive))
    return (
        Check("vault", Health.OK, "misp_url and misp_key are there"),
        *_misp(settings),
        *_modules(settings, modules_url),
        *_receivers(settings),
        _archive(archive),
    )


def render(checks: tuple[Check, ...], *, as_json: bool) -> str:
    """Write the checks as a table or as JSON."""
    if as_json:
        return json.dumps([asdict(check) for check in checks], indent=2)
    rows = [(check.name, check.health, check.seen, check.remedy) for check in checks]
    return as_text(table("Health of what a run needs", ("What", "Health", "Seen", "Remedy"), rows))


def _misp(settings: Settings) -> Iterator[Check]:
    try:
        misp = MispClient(settings)
    except PlaybookError as error:
        yield Check("MISP", Health.ERROR, str(error), f"check misp_url ({settings.misp_url}) and misp_key in the vault")
        return
    server = misp.server
    yield Check("MISP", Health.OK, f"reachable at {server.url}")
    yield _certificate(server)
    yield _version(server)
    yield Check("MISP key", Health.OK, f"{server.user}, organisation {server.organisation}, role {server.role}")
    if server.may_edit_warninglists:
        yield Check("MISP permission", Health.OK, "may edit warninglists")
    else:
        remedy = "ask an administrator for a role with the permission Warninglist Editor"
        yield Check("MISP permission", Health.ERROR, f"role {server.role} may not edit warninglists", remedy)


def _certificate(server: MispServer) -> Check:
    if server.url.startswith("http://"):
        if is_loopback(server.url):
            return Check("MISP certificate", Health.OK, "none: loopback, not encrypted")
        remedy = "use https in misp_url: the key travels in clear"
        return Check("MISP certificate", Health.WARNING, "none: the connection is not encrypted", remedy)
    if server.verified:
        return Check("MISP certificate", Health.OK, "verified")
    remedy = "give misp_verifycert the path of your CA's bundle"
    return Check("MISP certificate", Health.WARNING, "not verified: misp_verifycert is False", remedy)


def _version(server: MispServer) -> Check:
    numbers = tuple(int(part) for part in server.version.split(".")[:3] if part.isdigit())
    if numbers < OLDEST_MISP:
        oldest = ".".join(map(str, OLDEST_MISP))
        return Check("MISP version", Health.ERROR, server.version, f"upgrade MISP to {oldest} or later")
    return Check("MISP version", Health.OK, server.version)


def _modules(settings: Settings, parameter: str) -> Iterator[Check]:
    wanted = PlaybookParameters.model_fields["enrich_with"].default
    try:
        url = settings.modules_url(parameter)
        modules = MispModulesClient(url).modules()
    except PlaybookError as error:
        seen = f"{error} ({url})" if isinstance(error, ServiceError) else str(error)
        remedy = "start misp-modules, set misp_modules_url in the vault, or set enrich_with to an empty list"
        yield Check("misp-modules", Health.WARNING, seen, remedy)
        return
    yield Check("misp-modules", Health.OK, f"{len(modules)} modules at {url}")
    for module in availability(wanted, modules, lambda name: bool(settings.secret(name))):
        health = Health.OK if module.usable else Health.WARNING
        remedy = "" if module.usable else "enable the module" if module.configured else "add the key to the vault"
        yield Check(f"module {module.row.name}", health, module.detail, remedy)


def _receivers(settings: Settings) -> Iterator[Check]:
    receivers: tuple[tuple[str, str, Callable[[], None]], ...] = (
        (
            "Mattermost",
            settings.secret("mattermost_hook"),
            lambda: _reach("Mattermost", settings.secret("mattermost_hook")),
        ),
        ("Slack", settings.secret("slack_hook"), lambda: _reach("Slack", settings.secret("slack_hook"))),
        ("TheHive", settings.thehive_url and settings.secret("thehive_key"), lambda: _thehive(settings)),
    )
    for name, configured, ask in receivers:
        if not configured:
            yield Check(name, Health.OK, "not configured")
            continue
        try:
            ask()
        except ServiceError as error:
            yield Check(name, Health.ERROR, str(error), f"check the entries for {name} in the vault")
        else:
            yield Check(name, Health.OK, "configured and reachable; nothing was posted")


def _reach(service: str, hook: str) -> None:
    """Ask for the start page of a webhook's host: any answer at all shows that it is there."""
    parts = urlsplit(hook)
    try:
        HttpClient(service).request("GET", f"{parts.scheme}://{parts.netloc}/", "look whether it is there")
    except ServiceUnavailable as error:
        if error.status is None:
            raise
    except ServiceError:
        return


def _thehive(settings: Settings) -> None:
    client = HttpClient("TheHive", headers={"Authorization": f"Bearer {settings.secret('thehive_key')}"})
    client.json("GET", f"{settings.thehive_url}/api/v1/user/current", "see whose key it is")


def _archive(archive: Path) -> Check:
    here = next(folder for folder in (archive.absolute(), *archive.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=here):
            free = shutil.disk_usage(here).free
    except OSError as error:
        return Check(
            "archive", Health.ERROR, f"{archive}: {error.strerror}", "give a folder you may write as --archive"
        )
    if free < LITTLE_SPACE:
        return Check("archive", Health.WARNING, f"{archive}: {free / 1e6:,.0f} MB free", "make room")
    return Check("archive", Health.OK, f"{archive} is writable, {free / 1e9:,.0f} GB free")
