"""The servers and modules that a run works with: who we are on MISP, what can be asked of misp-modules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from misp_playbook_lib.model.results import LookupResult, LookupResults


@dataclass(frozen=True, slots=True)
class MispServer:
    """Which server, user, organisation and role a run works as."""

    url: str
    version: str
    user: str
    organisation: str
    role: str
    may_edit_warninglists: bool
    verified: bool
    sandbox: bool

    @property
    def line(self) -> str:
        """Server, user, organisation and role in one line; a sandbox and an unverified certificate say so."""
        sandbox = "SANDBOX " if self.sandbox else ""
        tls = "" if self.verified else " TLS CERTIFICATE NOT VERIFIED (misp_verifycert is False)."
        who = f"{self.user}, organisation {self.organisation}, role {self.role}"
        return f"{sandbox}{self.url} (MISP {self.version}) as {who}.{tls}"


@dataclass(frozen=True, slots=True)
class Module:
    """An expansion module of the server and the attribute types it takes."""

    name: str
    accepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """What is particular about a module: its key in the vault, and answers that are of no use to an analyst."""

    name: str
    title: str
    step: str = "ER:3"
    secret: str = ""
    leave_out: frozenset[str] = frozenset()


MODULE_TABLE = {
    row.name: row
    for row in (
        ModuleRow("virustotal_public", "VirusTotal", "ER:2", "virustotal_apikey", frozenset({"Other/text"})),
        ModuleRow("virustotal", "VirusTotal", "ER:2", "virustotal_apikey", frozenset({"Other/text"})),
        ModuleRow(
            "shodan", "Shodan", "ER:3", "shodan_apikey", frozenset({"Other/text", "Other/float", "Other/datetime"})
        ),
    )
}


@dataclass(frozen=True, slots=True)
class ModuleAvailability:
    """A module that is wanted: what it takes if the server has it and the vault its key, else why it is skipped."""

    row: ModuleRow
    accepts: tuple[str, ...]
    configured: bool
    usable: bool
    detail: str


@dataclass(frozen=True, slots=True)
class ModulesFound:
    """The wanted modules and whether each can be asked; `problem` says why the server could not be reached."""

    url: str
    modules: tuple[ModuleAvailability, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Lookups:
    """What the modules of one step answered."""

    results: tuple[LookupResults, ...]

    @property
    def rows(self) -> tuple[LookupResult, ...]:
        """The lookups, for an analyst to filter."""
        return tuple(lookup for result in self.results for lookup in result.lookups)


def module_row(name: str) -> ModuleRow:
    """Return what the table knows of a module; any other module of the server works without a key."""
    return MODULE_TABLE.get(name, ModuleRow(name, name))


def availability(
    wanted: Iterable[str], modules: Iterable[Module] | None, has_secret: Callable[[str], bool]
) -> tuple[ModuleAvailability, ...]:
    """Say of each wanted module whether it can be asked; `modules` None: the module server cannot be reached."""
    found = {module.name: module.accepts for module in modules or ()}
    return tuple(_availability(module_row(name), found if modules is not None else None, has_secret) for name in wanted)


def _availability(
    row: ModuleRow, found: dict[str, tuple[str, ...]] | None, has_secret: Callable[[str], bool]
) -> ModuleAvailability:
    configured = not row.secret or has_secret(row.secret)
    accepts = (found or {}).get(row.name, ())
    if not configured:
        detail = f"not configured: {row.secret} is not in the vault; skipped"
    elif found is None:
        detail = "the module server cannot be reached; skipped"
    elif row.name not in found:
        detail = "not on the module server; skipped"
    else:
        return ModuleAvailability(row, accepts, configured=True, usable=True, detail="found")
    return ModuleAvailability(row, accepts, configured=configured, usable=False, detail=detail)
