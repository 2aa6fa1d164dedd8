"""What stands around the notebook in a report: the verdict on top, the record at the end; all of it from run.json."""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from misp_playbook_lib.model.tlp import label
from misp_playbook_lib.report import facts
from misp_playbook_lib.report.tables import Own, Table, table

FIRST_PROBLEMS = 8
"""Problems that the top of a report shows at once; the rest are a click away."""

_TOLD = ("IN:5", "IN:6", "ER:1", "ER:2", "ER:3", "EN:2", "EN:3")
_LIBRARIES = ("misp-playbook", "pymisp", "papermill", "nbconvert", "requests")


@dataclass(frozen=True, slots=True)
class Page:
    """The verdict and the record of a run; `who` are names and values, `figures` a name, a value and a remark each."""

    outcome: str
    message: str
    sandbox: bool
    marks: tuple[str, ...]
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    done: tuple[tuple[str, str], ...]
    figures: tuple[tuple[str, str, str], ...]
    who: tuple[tuple[str, str], ...]
    statuses: Mapping[str, str]
    tables: tuple[Table, ...]

    @property
    def first_problems(self) -> tuple[str, ...]:
        """The problems that are shown at once."""
        return self.problems[:FIRST_PROBLEMS]

    @property
    def more_problems(self) -> tuple[str, ...]:
        """The problems that are folded."""
        return self.problems[FIRST_PROBLEMS:]


def page(manifest: Mapping[str, Any]) -> Page:
    """Take a page's parts from a run's manifest, however far the run came."""
    steps, parameters = manifest["steps"], manifest["parameters"]
    server = manifest["facts"].get("server", {})
    message = manifest["message"]
    problems = [one for one in manifest["problems"] if one != message]
    return Page(
        outcome=manifest["outcome"],
        message=message,
        sandbox=manifest["sandbox"],
        marks=(label(facts.tlp(parameters, manifest["facts"])), f"PAP:{parameters['pap'].upper()}"),
        warnings=tuple(_warnings(parameters, server)),
        problems=tuple(problems),
        done=tuple((one["step"], one["summary"]) for one in steps if _told(one)),
        figures=tuple(_figures(manifest)),
        who=tuple(_who(manifest, server)),
        statuses={one["step"]: one["status"] for one in steps},
        tables=(_steps(steps), _parameters(parameters), _versions(manifest, server)),
    )


def _told(step: Mapping[str, Any]) -> bool:
    """Whether a step belongs into the few lines on top; a message that nobody wanted does not."""
    code = step["step"].split()[0]
    return code in _TOLD and not (code.startswith("EN") and step["status"] == "skipped")


def _warnings(parameters: Mapping[str, Any], server: Mapping[str, Any]) -> Iterable[str]:
    if server.get("verified") is False:
        yield "TLS CERTIFICATE NOT VERIFIED: misp_verifycert is False in the vault."
    if parameters["dry_run"]:
        yield "Dry run: nothing was written, nothing was sent, no module was asked."


def _figures(manifest: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    noted, since = manifest["facts"], manifest["since"]
    if written := noted.get("warninglist"):
        changed = f"{written['added']:,} added, {written['removed']:,} removed"
        yield "Entries", f"{written['entries']:,}", changed
    if found := noted.get("matches"):
        yield "Matches", f"{found['attributes']:,}", f"in {found['events']:,} events"
    if lookups := noted.get("lookups"):
        fresh = sum(one["new_indicators"] for one in lookups.values())
        yield "New indicators", f"{fresh:,}", f"{sum(one['asked'] for one in lookups.values()):,} questions asked"
    if since:
        entries = f"entries: {since['entries_added']:,} more, {since['entries_removed']:,} fewer"
        remark = f"matches, {since['matches_gone']:,} gone; {entries}"
        yield "Since the run before", f"{since['matches_new']:,} new", remark
    if manifest["problems"]:
        yield "Failed or incomplete", f"{len(manifest['problems']):,}", "see above"


def _who(manifest: Mapping[str, Any], server: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    url = server.get("url", "")
    yield "Server", Own(f"{'SANDBOX ' if manifest['sandbox'] else ''}{url}" if url else "not connected", url)
    for name, field in (("User", "user"), ("Organisation", "organisation"), ("Role", "role")):
        if server.get(field):
            yield name, Own(server[field])
    yield "Started", Own(f"{manifest['started']}, took {manifest['seconds']:,} seconds")
    yield "Run", Own(manifest["run_id"])


def _steps(steps: Iterable[Mapping[str, Any]]) -> Table:
    rows = [(one["step"], one["title"], one["status"], f"{one['seconds']:.1f}", _said(one)) for one in steps]
    return table("Steps", ("Step", "Title", "Status", "Seconds", "What it says"), rows)


def _said(step: Mapping[str, Any]) -> str:
    return " ".join(filter(None, [step["summary"], *step["problems"]]))


def _parameters(parameters: Mapping[str, Any]) -> Table:
    rows = [(name, Own(value) if name == "misp_modules_url" else _value(value)) for name, value in parameters.items()]
    return table("Parameters", ("Parameter", "Value"), rows)


def _value(value: Any) -> str:
    if isinstance(value, list):
        more = f" … and {len(value) - _SHOWN:,} more" if len(value) > _SHOWN else ""
        return ", ".join(map(str, value[:_SHOWN])) + more
    return str(value)


_SHOWN = 50


def _versions(manifest: Mapping[str, Any], server: Mapping[str, Any]) -> Table:
    rows = [
        ("Started", manifest["started"]),
        ("Finished", manifest["finished"]),
        ("MISP", server.get("version", "not connected")),
        ("Python", platform.python_version()),
        *((name, metadata.version(name)) for name in _LIBRARIES),
    ]
    return table("Times and versions", ("What", "Value"), [(name, Own(value)) for name, value in rows])
