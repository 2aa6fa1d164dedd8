"""The forms over a run's parameters, worked without a browser: what they take over, refuse, keep and show."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import PLAYBOOK, Ran
from ipywidgets import HTML

from misp_playbook_lib import forms
from misp_playbook_lib.errors import InvalidEntries, StepOrderError, WarninglistError
from misp_playbook_lib.model.modules import Quota
from misp_playbook_lib.open_run import STEP_OF_VARIABLE, OpenRun
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.report import archive
from misp_playbook_lib.report.archive import state_folder
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.steps.quota import DAY, Booking, QuotaLedger

FREE_TIER = {"virustotal_calls_per_minute": 4, "virustotal_calls_per_day": 500}


@pytest.fixture
def parameters() -> PlaybookParameters:
    return PlaybookParameters.collect({"misp_modules_wait": 0})


@pytest.fixture
def run(parameters: PlaybookParameters, vault: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Playbook:
    monkeypatch.setenv("MISP_PLAYBOOK_VAULT", str(vault))
    monkeypatch.setattr(OpenRun, "_watched", None)
    monkeypatch.chdir(tmp_path)
    return Playbook.open(parameters)


def fill(form: Any, **values: Any) -> None:
    for name, value in values.items():
        form.controls[name].widget.value = value


def words(form: Any) -> str:
    """Return every text that a form shows below its controls."""
    return " ".join(re.sub(r"<[^>]+>", "", child.value) for child in form.children if isinstance(child, HTML))


@pytest.fixture
def every_form(run: Playbook) -> list[Any]:
    lists = run.warninglists()
    run.edit(warninglist_name="Mine", warninglist_values=["a.example"])
    selection = run.select_warninglist(lists)
    details = run.details(selection)
    applied = run.apply(run.plan(selection, details, run.read_values(selection, details)))
    summary = run.summarise(applied, run.retrosearch(applied), [])
    return [
        *(forms.modules(run), forms.choose_list(run, lists), forms.details(run, selection)),
        *(forms.values(run, selection, details), forms.writing(run), forms.search(run), forms.notifiers(run, summary)),
    ]


def test_every_parameter_has_a_form_and_every_control_a_label(run: Playbook, every_form: list[Any]) -> None:
    controls = {name: control for form in every_form for name, control in form.controls.items()}
    assert set(controls) | {"warninglist_id"} == set(PlaybookParameters.model_fields)
    assert all(control.widget.description == name for name, control in controls.items())
    assert all(
        control.read(control.widget.value) == getattr(run.parameters, name) for name, control in controls.items()
    ), "an untouched form holds what was given"


def test_forms_are_made_of_widgets_that_every_front_end_has_and_of_no_script(every_form: list[Any]) -> None:
    found = list(every_form)
    for widget in found:
        found += getattr(widget, "children", ())
    assert len(found) > 50
    modules = {module for one in found for module in (one._model_module, one._view_module)}  # noqa: SLF001 - what a front end loads
    assert modules <= {"@jupyter-widgets/base", "@jupyter-widgets/controls", "@jupyter-widgets/output"}
    assert not [one for one in found if isinstance(one, HTML) and re.search(r"<script|javascript:|\son\w+=", one.value)]


def test_several_are_chosen_among_what_is_at_hand_and_what_the_server_knows(run: Playbook) -> None:
    run.edit(warninglist_id=1)
    selection = run.select_warninglist(run.warninglists())
    form = forms.details(run, selection)
    several = form.controls["warninglist_matching_attributes"].widget  # type: ignore[union-attr]
    kept = list(selection.current.matching_attributes)  # type: ignore[union-attr]
    assert [box.description for box in boxes(several)] == kept
    assert f"none: kept as {', '.join(kept)}" in words(form)
    boxes(several)[1].value = True
    several.other.value = "email-src"
    assert run.parameters.warninglist_matching_attributes == [kept[1], "email-src"]
    assert f"Attribute types chosen: {kept[1]}, email-src" in words(form)
    several.other.value = "<b>ip-"
    assert "&lt;b&gt;ip- is none of those that are suggested" in several._said.value  # noqa: SLF001 - no part of a form's words
    boxes(several)[1].value = False
    assert run.parameters.warninglist_matching_attributes == ["email-src"]


def boxes(several: Any) -> list[Any]:
    return list(several._row.children)  # noqa: SLF001 - the checkboxes as they are shown


def test_an_existing_list_is_chosen_by_a_part_of_its_name_and_known_by_its_id(sandbox: Sandbox, run: Playbook) -> None:
    form = forms.choose_list(run, run.warninglists())
    (line,) = [one for one in form.controls["warninglist_name"].widget.options if "RFC 1918" in one]  # type: ignore[union-attr]
    assert "cidr" in line
    assert "3 entries" in line
    assert "built in" in line
    assert " enabled " in line
    fill(form, warninglist_name=line)
    assert run.parameters.warninglist_id == 1
    assert "cannot be edited" in words(form)
    fill(form, warninglist_name="Mine")
    assert (run.parameters.warninglist_id, run.parameters.warninglist_name) == (0, "Mine")
    assert "will be created" in words(form)
    assert not [one for one in sandbox.misp.requests if "/add" in one.path or "/edit" in one.path]


def test_a_value_that_is_wrong_is_told_in_one_line_and_not_taken_over(run: Playbook) -> None:
    form = forms.modules(run)
    fill(form, misp_modules_wait="soon")
    assert "Not taken over: soon is not a number" in words(form)
    fill(form, misp_modules_url="ftp://127.0.0.1")
    assert "Not taken over: misp_modules_url is not an http(s) URL" in words(form)
    assert run.parameters.misp_modules_wait == 0


def test_a_module_that_no_table_knows_is_named_beside_the_others(run: Playbook) -> None:
    form = forms.modules(run)
    form.controls["enrich_with"].widget.other.value = "dns"  # type: ignore[union-attr]
    assert run.parameters.enrich_with == ["virustotal_public", "shodan", "dns"]
    assert "virustotal_apikey" not in words(form)
    assert "domain 6, hostname 6" in words(form)


def test_the_form_shows_what_other_runs_left_of_each_keys_budget_and_asks_nobody(
    sandbox: Sandbox, run: Playbook
) -> None:
    run.settings = run.settings.model_copy(update=FREE_TIER)
    assert "4 of 4 a minute, 500 of 500 a day" in words(forms.modules(run))
    now, key = time.time(), run.settings.secret("virustotal_apikey")
    ledger = QuotaLedger(key, Quota(4, 500))
    ledger.settle(Booking("earlier", 3), 3, now)
    ledger.settle(Booking("this morning", 100), 100, now - DAY / 2)
    form = forms.modules(run)
    assert "1 of 4 a minute, 397 of 500 a day" in words(form)
    ledger.hold_until(now + DAY / 2)
    fill(form, enrich_all=True)
    assert re.search(r"397 of 500 a day, none before \d\d:\d\d UTC, asked too often", words(form))
    assert not sandbox.modules.requests


def test_a_budget_that_cannot_be_read_is_said_beside_its_module(run: Playbook) -> None:
    run.settings = run.settings.model_copy(update=FREE_TIER)
    state_folder().mkdir(parents=True, exist_ok=True)
    (state_folder() / "quota.sqlite").write_text("no database" * 100)
    form = forms.modules(run)
    assert "quota.sqlite cannot be used" in words(form)
    assert "make it writable or delete it" in words(form)


def test_both_is_a_choice_that_stays_to_be_seen(run: Playbook) -> None:
    form = forms.search(run)
    fill(form, match_published="both")
    assert run.parameters.match_published is None
    assert form.controls["match_published"].widget.value == "both"  # type: ignore[union-attr]


def test_values_show_type_correction_finding_and_counts_while_they_are_typed(run: Playbook) -> None:
    run.edit(warninglist_name="Mine", warninglist_type="cidr")
    selection = run.select_warninglist(run.warninglists())
    form = forms.values(run, selection, run.details(selection))
    fill(form, warninglist_values="158.255.208[.]168 # C2\n0.0.0.0/0\nfoo\n")
    shown = words(form)
    assert "3 entries of a cidr list. Types: ip-dst: 2, no type recognised: 1. Corrected: 1." in shown
    assert "Findings: error: 1, dangerous: 1." in shown
    assert "refanged" in shown
    assert run.parameters.warninglist_values == ["158.255.208[.]168 # C2", "0.0.0.0/0", "foo"]


def test_an_uploaded_file_is_kept_beside_the_notebook_and_read(run: Playbook) -> None:
    run.edit(warninglist_name="Mine")
    selection = run.select_warninglist(run.warninglists())
    form = forms.values(run, selection, run.details(selection))
    for data in (b"evil.example # one\n", b"other.example\n"):
        form._upload({"new": ({"name": "../of mine.txt", "content": memoryview(data)},)})  # type: ignore[union-attr]  # noqa: SLF001 - as the widget calls it
    assert len(list(Path("uploads").iterdir())) == 2
    assert "1 entries of a string list" in words(form)
    assert Path(run.parameters.warninglist_values_file).read_bytes() == b"other.example\n"
    assert Path("uploads/of mine.txt").read_bytes() == b"evil.example # one\n"
    assert not Path("of mine.txt").exists()


def test_a_form_that_changes_after_its_step_makes_what_follows_stale(run: Playbook) -> None:
    run.edit(warninglist_name="Mine", warninglist_values=["a.example"])
    selection = run.select_warninglist(run.warninglists())
    details = run.details(selection)
    plan = run.plan(selection, details, run.read_values(selection, details))
    form = forms.details(run, selection)
    fill(form, warninglist_type="hostname")
    assert "warninglist_type changed after IN:3 ran" in words(form)
    with pytest.raises(StepOrderError, match=r"warninglist_type changed after IN:3 ran\. Run IN:3 again"):
        run.apply(plan)
    details = run.details(selection)
    with pytest.raises(StepOrderError, match="Run IN:4 again"):
        run.apply(plan)
    assert run.apply(run.plan(selection, details, run.read_values(selection, details))).warninglist is not None


def test_what_a_step_made_before_it_failed_is_not_gone_on_with(run: Playbook) -> None:
    run.edit(warninglist_name="Mine", warninglist_values=["a.example"])
    selection = run.select_warninglist(run.warninglists())
    details = run.details(selection)
    values = run.read_values(selection, details)
    applied = run.apply(run.plan(selection, details, values))
    run.edit(warninglist_values=["x" * 70_000])
    plan = run.plan(selection, details, run.read_values(selection, details))
    with pytest.raises(InvalidEntries):
        run.apply(plan)
    with pytest.raises(StepOrderError, match=r"IN:5 did not come to its end\. Run IN:5 again"):
        run.enable(applied)


def test_what_an_analyst_made_is_taken_as_it_is(run: Playbook) -> None:
    run.edit(warninglist_name="Mine", warninglist_values=["a.example", "b.example"])
    selection = run.select_warninglist(run.warninglists())
    details = run.details(selection)
    values = run.read_values(selection, details)
    applied = run.apply(run.plan(selection, details, replace(values, entries=values.entries[:1])))
    assert [entry.value for entry in applied.plan.entries] == ["a.example"]


def test_preparation_run_again_keeps_what_the_forms_hold_and_says_so(
    run: Playbook, parameters: PlaybookParameters, capsys: pytest.CaptureFixture[str]
) -> None:
    run.edit(warninglist_name="Mine", tlp="red")
    again = Playbook.open(parameters)
    assert (again.parameters.warninglist_name, again.parameters.tlp) == ("Mine", "red")
    assert "Kept from the forms: warninglist_name, tlp" in capsys.readouterr().out
    changed = Playbook.open(parameters.edited({"tlp": "green"}))
    assert (changed.parameters.warninglist_name, changed.parameters.tlp) == ("Mine", "green")


def test_what_steps_made_before_preparation_ran_again_counts_as_long_as_it_fits(
    run: Playbook, parameters: PlaybookParameters
) -> None:
    run.edit(warninglist_name="Mine", warninglist_values=["a.example"])
    selection = run.select_warninglist(run.warninglists())
    details = run.details(selection)
    plan = run.plan(selection, details, run.read_values(selection, details))
    changed = Playbook.open(parameters.edited({"warninglist_category": "false_positive"}))
    with pytest.raises(StepOrderError, match="warninglist_category changed after IN:3 ran"):
        changed.apply(plan)
    assert Playbook.open(parameters).apply(plan).warninglist is not None


def test_a_run_without_a_list_stops_where_it_would_be_chosen(run: Playbook) -> None:
    with pytest.raises(WarninglistError, match="name the list"):
        run.select_warninglist(run.warninglists())


def test_a_preview_shows_what_would_be_told_and_tells_nobody(sandbox: Sandbox, run: Playbook) -> None:
    run.edit(warninglist_name="<b>Mine", warninglist_values=["a.example"])
    selection = run.select_warninglist(run.warninglists())
    details = run.details(selection)
    applied = run.apply(run.plan(selection, details, run.read_values(selection, details)))
    form = forms.notifiers(run, run.summarise(applied, run.retrosearch(applied), []))
    assert "Slack: Not wanted." in words(form)
    fill(form, send_to_slack=True, send_to_thehive=True)
    assert "Slack: will be told" in words(form)
    assert "<b>Mine" not in form.children[-2].value  # type: ignore[union-attr]
    assert not any(sandbox.inbox().values())


def test_where_nobody_watches_each_form_is_a_table_of_what_was_injected(play: Callable[..., Ran]) -> None:
    ran = play(warninglist_name="Mine", warninglist_values=["a.example"])
    notebook = nbformat.read(ran.folder / archive.NOTEBOOK, as_version=4)
    shown = [
        cell.outputs[0].data for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith("forms.")
    ]
    assert len(shown) == 7
    assert all("Parameters of this step" in data["text/html"] for data in shown)
    assert re.search(r"match_tags +\| empty ", "".join(data["text/plain"] for data in shown))
    outputs = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    assert {one.output_type for one in outputs} == {"execute_result"}, "no bar of progress, on no stream"
    assert not any("application/vnd.jupyter.widget-view+json" in one.data for one in outputs)


def test_a_form_saved_in_a_notebook_has_a_static_twin(run: Playbook) -> None:
    run.edit(dry_run=True)
    bundle = forms.writing(run)._repr_mimebundle_()  # type: ignore[union-attr]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert re.search(r"<td[^>]*>dry_run</td><td[^>]*>yes</td>", bundle["text/html"])
    assert "dry_run" in bundle["text/plain"]


def test_every_variable_that_a_step_makes_names_its_step() -> None:
    step, found = "", {}
    for cell in nbformat.read(PLAYBOOK, as_version=4).cells:
        if cell.cell_type == "markdown":
            step = (re.findall(r"^### (\w\w:\d)", cell.source, re.MULTILINE) or [step])[-1]
        elif step:
            for name in re.findall(r"^(\w+) = ", cell.source, re.MULTILINE):
                found.setdefault(name, step)
    assert {"parameters": "the cells under Parameters"} | found == STEP_OF_VARIABLE
