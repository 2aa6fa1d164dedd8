"""Which modules to ask, with what each costs and what is left of what its key is granted."""

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

import ipywidgets as widgets  # type: ignore[import-untyped]

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.forms.form import LABEL, Control, Form, control, names_of, show
from misp_playbook_lib.forms.several import Several
from misp_playbook_lib.model.modules import MODULE_TABLE, ModuleRow, Quota, module_row
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.report.display import View, html_of
from misp_playbook_lib.report.tables import Table, table
from misp_playbook_lib.steps.quota import QuotaLedger


def modules(run: Playbook) -> Form | View:
    """PR:2. Which modules to ask; any other expansion module of the server can be named too."""
    return show(run, names_of("PR:2"), lambda: _modules(run))


def _modules(run: Playbook) -> Form:
    wanted = run.parameters.enrich_with
    choice = Several("enrich_with", tuple(MODULE_TABLE), wanted, "another module", (), LABEL)
    prices = widgets.HTML()

    def render() -> None:
        prices.value = html_of([_prices(run, tuple(dict.fromkeys([*MODULE_TABLE, *choice.value])))])

    controls = [
        Control("enrich_with", choice, list) if name == "enrich_with" else control(run, name)
        for name in names_of("PR:2")
    ]
    render()
    return Form(run, "PR:2", controls, [prices], render)


def _prices(run: Playbook, names: Sequence[str]) -> Table:
    rows = [(row.name, row.title, _key(run, row), _cost(row), _quota(run, row)) for row in map(module_row, names)]
    columns = ("Module", "Title", "Key", "API calls a lookup", "API calls left")
    return table("What modules cost", columns, rows)


def _key(run: Playbook, row: ModuleRow) -> str:
    if not row.secret:
        return "needs none"
    return "in the vault" if run.settings.secret(row.secret) else f"{row.secret} is NOT in the vault: skipped"


def _cost(row: ModuleRow) -> str:
    return ", ".join(f"{type_} {calls}" for type_, calls in sorted(row.calls.items())) or "1"


def _quota(run: Playbook, row: ModuleRow) -> str:
    """Say what every run on this machine left of a key's budget; nobody is asked."""
    quota, key = Quota(*run.settings.calls(row.secret)), run.settings.secret(row.secret) if row.secret else ""
    if not quota.limited:
        return "no limit set in the vault"
    if not key:
        return "none without a key"
    try:
        with closing(QuotaLedger(key, quota)) as ledger:
            left = ledger.left(time.time())
    except SettingsError as error:
        return str(error)
    minute = f"{left.per_minute:,} of {quota.per_minute:,} a minute" if quota.per_minute else ""
    day = f"{left.per_day:,} of {quota.per_day:,} a day" if quota.per_day else ""
    held = f"none before {datetime.fromtimestamp(left.until, UTC):%H:%M} UTC, asked too often" if left.until else ""
    return ", ".join(filter(None, [minute, day, held]))
