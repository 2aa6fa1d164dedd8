"""What every public method of an open run refuses: input that is out of date, before any service is asked."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from misp_playbook_lib.errors import StepOrderError
from misp_playbook_lib.open_run import OpenRun
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.sandbox import Sandbox

METHODS = [name for name, _ in inspect.getmembers(Playbook, inspect.isfunction) if not name.startswith("_")]
ASKS_NOBODY = {"edit", "preview", "recognition_rules", "refuse_other_parameters"}
"""The methods that may be called at any time; every other one is expected to refuse."""
WITHOUT_INPUT = {"find_modules", "warninglists"}
"""The steps that work on parameters alone."""


@pytest.fixture
def cell(sandbox: Sandbox, vault: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The variables of a notebook, of which the parameters cell is one."""
    assert sandbox.misp_url in vault.read_text()
    monkeypatch.setenv("MISP_PLAYBOOK_VAULT", str(vault))
    monkeypatch.setattr(OpenRun, "_watched", None)
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell.user_ns
    InteractiveShell.clear_instance()


def played(cell: dict[str, Any]) -> tuple[Playbook, dict[str, Any]]:
    """A run down to EN:1, and what a later call can be given, by the names of the arguments."""
    cell |= {"warninglist_name": "Mine", "warninglist_values": ["a.example", "1.2.3.4"], "misp_modules_wait": 0.0}
    run = Playbook.open(PlaybookParameters.collect(cell))
    made: dict[str, Any] = {"modules": run.find_modules(), "lists": run.warninglists()}
    made["selection"] = run.select_warninglist(made["lists"])
    made["details"] = run.details(made["selection"])
    made["values"] = run.read_values(made["selection"], made["details"])
    made["planned"] = run.plan(made["selection"], made["details"], made["values"])
    made["applied"] = run.enable(run.apply(made["planned"]))
    made["matches"] = run.retrosearch(made["applied"])
    made["lookups"] = [run.enrich("ER:2", made["modules"], made["applied"])]
    made["summary"] = run.summarise(made["applied"], made["matches"], made["lookups"])
    return run, made | {"code": "ER:3", "service": "Slack"}


@pytest.mark.parametrize("how", ["the parameters cell ran again", "the first steps are out of date"])
def test_no_public_method_asks_a_service_with_what_is_out_of_date(
    sandbox: Sandbox, cell: dict[str, Any], how: str
) -> None:
    run, made = played(cell)
    must_refuse = set(METHODS) - ASKS_NOBODY
    if how == "the parameters cell ran again":
        cell["tlp"] = "red"
    else:
        sandbox.misp.add_warninglist("Third", "string", "known", [("a.example", "")], ["ALL"])
        run.warninglists()
        run.edit(enrich_with=["shodan"], warninglist_name="Other")
        must_refuse -= WITHOUT_INPUT
    for service in sandbox.services:
        service.clear_requests()
    refused = set()
    for name in sorted(must_refuse | ASKS_NOBODY):
        method = getattr(run, name)
        kinds = inspect.signature(method).parameters.values()
        given = [made[one.name] for one in kinds if one.kind is one.POSITIONAL_OR_KEYWORD]
        try:
            method(*given)
        except StepOrderError:
            refused.add(name)
    assert must_refuse - refused == set()
    assert [request for service in sandbox.services for request in service.requests] == []
