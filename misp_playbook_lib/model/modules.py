"""The servers and modules that a run works with: who we are on MISP, what can be asked of misp-modules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from misp_playbook_lib.model.indicators import Indicator
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
class Quota:
    """How many API calls a key may make a minute and a day; 0: no limit."""

    per_minute: int = 0
    per_day: int = 0

    @property
    def limited(self) -> bool:
        """Whether there is anything to keep to."""
        return bool(self.per_minute or self.per_day)


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """What is particular about a module: step, key in the vault, answers of no use to an analyst, and its price.

    `calls` are the API calls that an answered lookup of a type makes; a type that is not there makes one, and so does
    a value that is not known: it is asked for first. `control` is a question to which the module surely has an answer,
    for one that says the same of an unknown value as of a key that is refused.
    """

    name: str
    title: str
    step: str = "ER:3"
    secret: str = ""
    leave_out: frozenset[str] = frozenset()
    calls: Mapping[str, int] = field(default_factory=dict)
    control: Indicator | None = None

    def cost(self, type_: str) -> int:
        """Return the API calls of a lookup."""
        return self.calls.get(type_.removesuffix("|port"), 1)


_VIRUSTOTAL_TEXTS = frozenset({"Other/text"})
_SHODAN_TEXTS = frozenset({"Other/text", "Other/float", "Other/datetime"})


def _virustotal_calls(hash_: int, host: int, ip: int, url: int) -> dict[str, int]:
    """Price each type as counted in the requests of misp-modules 3.1.0 (expansion/virustotal*.py, vt-py 0.22.0)."""
    return {
        **dict.fromkeys(("md5", "sha1", "sha256"), hash_),
        **dict.fromkeys(("hostname", "domain"), host),
        **dict.fromkeys(("ip-src", "ip-dst"), ip),
        "url": url,
    }


MODULE_TABLE = {
    row.name: row
    for row in (
        ModuleRow(
            name="virustotal_public",
            title="VirusTotal",
            step="ER:2",
            secret="virustotal_apikey",  # noqa: S106 - a name in the vault
            leave_out=_VIRUSTOTAL_TEXTS,
            calls=_virustotal_calls(hash_=4, host=6, ip=2, url=1),
        ),
        ModuleRow(
            name="virustotal",
            title="VirusTotal (premium)",
            step="ER:2",
            secret="virustotal_apikey",  # noqa: S106 - a name in the vault
            leave_out=_VIRUSTOTAL_TEXTS,
            calls=_virustotal_calls(hash_=5, host=8, ip=3, url=4),
        ),
        ModuleRow(
            name="shodan",
            title="Shodan",
            secret="shodan_apikey",  # noqa: S106 - a name in the vault
            leave_out=_SHODAN_TEXTS,
            control=Indicator("ip-dst", "8.8.8.8"),
        ),
    )
}
"""Any other expansion module of the server works by a default row: without a key, a limit or anything to leave out."""


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
    elif not accepts:
        detail = "takes no attribute, so it is no expansion module; skipped"
    else:
        return ModuleAvailability(row, accepts, configured=True, usable=True, detail="found")
    return ModuleAvailability(row, accepts, configured=configured, usable=False, detail=detail)
