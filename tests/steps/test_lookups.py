"""The modules of a run: which entries they are asked about, side by side, and what a dry run or an interrupt leaves."""

import _thread
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.model.modules import Lookups, Module, ModulesFound, availability
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.results import LookupResults, LookupStatus
from misp_playbook_lib.model.warninglist import (
    Warninglist,
    WarninglistCategory,
    WarninglistEntry,
    WarninglistSpec,
    WarninglistType,
)
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report.archive import cache_folder
from misp_playbook_lib.report.views import lookup_problems, lookups_line, lookups_view
from misp_playbook_lib.sandbox.modules import Modules
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps.enrich import Progress
from misp_playbook_lib.steps.lookups import LookupDesk

MD5 = "028878c4b6ab475ed0be97eca6f92af9"
HOST = "johnshopkin.net"
ADDRESS = "158.255.208.168"
HASH = "0" * 32
ACCEPTS = {
    "virustotal_public": ("hostname", "ip-src", "ip-dst", "md5"),
    "shodan": ("ip-src", "ip-dst"),
    "countrycode": ("hostname", "domain"),
    "csvimport": (),
}


@pytest.fixture
def modules() -> Iterator[Modules]:
    with Modules() as service:
        yield service


def entries(*values: str) -> tuple[WarninglistEntry, ...]:
    return tuple(WarninglistEntry(value) for value in values)


def planned(
    *values: str, existing: tuple[str, ...] | None = None, action: WarninglistAction = WarninglistAction.APPEND
) -> WarninglistPlan:
    """A plan that adds values to a list with the existing ones (None: to a list that is not there)."""
    current = None
    if existing is not None:
        current = Warninglist(
            id=1,
            name="x",
            description="x",
            type=WarninglistType.STRING,
            category=WarninglistCategory.KNOWN,
            matching_attributes=("ALL",),
            entries=entries(*existing),
            version=1,
            enabled=True,
        )
    return plan(WarninglistSpec("x", entries(*values)), current, action)


class Desk:
    """A run's desk over the sandbox's modules."""

    def __init__(self, modules: Modules, vault: dict[str, Any], **parameters: Any) -> None:
        given = {"warninglist_name": "x", "misp_modules_wait": 0.0, **parameters}
        settings = Settings.model_validate(
            {
                "misp_url": "http://127.0.0.1",
                "misp_key": "k",
                "virustotal_apikey": "good",
                "virustotal_calls_per_minute": 0,
                "shodan_apikey": "good",
                **vault,
            }
        )
        self.parameters = PlaybookParameters(**given)
        self.desk = LookupDesk(self.parameters, settings)
        listed = [Module(name, accepts) for name, accepts in ACCEPTS.items()]
        self.found = ModulesFound(
            modules.url, availability(self.parameters.enrich_with, listed, lambda name: bool(settings.secret(name)))
        )

    def collect(
        self, plan: WarninglistPlan, step: str = "ER:2", show: Callable[[str, Progress], None] = lambda *_: None
    ) -> LookupResults:
        [results] = self.desk.collect(step, self.found, plan, show)
        return results


Make = Callable[..., Desk]


@pytest.fixture
def desk(modules: Modules) -> Make:
    def made(vault: dict[str, Any] | None = None, **parameters: Any) -> Desk:
        return Desk(modules, vault or {}, **parameters)

    return made


def asked(modules: Modules, module: str = "virustotal_public") -> list[str]:
    questions = [request.json for request in modules.requests]
    return [question["attribute"]["value"] for question in questions if question["module"] == module]


def test_of_a_new_list_every_entry_is_asked_about(modules: Modules, desk: Make) -> None:
    results = desk().collect(planned(MD5, HOST, "some text"))
    assert sorted(asked(modules)) == sorted([MD5, HOST])
    assert [lookup.status for lookup in results.lookups] == [
        LookupStatus.ANSWERED,
        LookupStatus.ANSWERED,
        LookupStatus.TYPE_NOT_TAKEN,
    ]


def test_on_append_only_what_was_added_is_asked_about(modules: Modules, desk: Make) -> None:
    results = desk().collect(planned(HOST, existing=(MD5,)))
    assert asked(modules) == [HOST]
    assert results.lookups[0].status is LookupStatus.NOT_ASKED
    assert "1 entries were not added by this run; enrich_all asks about all entries." in lookups_line(results)


def test_where_nothing_was_added_nothing_is_asked_and_that_is_said(modules: Modules, desk: Make) -> None:
    results = desk().collect(planned(MD5, existing=(MD5,)))
    assert asked(modules) == []
    assert lookups_line(results) == "VirusTotal: Not asked: nothing was added; enrich_all asks about all entries."
    assert lookup_problems(results) == []


def test_enrich_all_asks_about_every_entry(modules: Modules, desk: Make) -> None:
    desk(enrich_all=True).collect(planned(HOST, existing=(MD5,)))
    assert sorted(asked(modules)) == sorted([MD5, HOST])


def test_a_replaced_list_is_asked_about_whole(modules: Modules, desk: Make) -> None:
    desk().collect(planned(MD5, HOST, existing=(MD5,), action=WarninglistAction.REPLACE))
    assert sorted(asked(modules)) == sorted([MD5, HOST])


def test_what_an_earlier_run_could_not_ask_is_asked_though_nothing_was_added(modules: Modules, desk: Make) -> None:
    first = desk({"virustotal_calls_per_day": 5}).collect(planned(MD5, HOST))
    assert first.count(LookupStatus.OUT_OF_BUDGET) == 1
    second = desk({"virustotal_calls_per_day": 50}).collect(planned(MD5, HOST, existing=(MD5, HOST)))
    assert asked(modules) == [MD5, HOST]
    assert [lookup.status for lookup in second.lookups] == [LookupStatus.NOT_ASKED, LookupStatus.ANSWERED]
    desk().collect(planned(MD5, HOST, existing=(MD5, HOST)))
    assert asked(modules) == [MD5, HOST]


def test_services_are_asked_side_by_side(modules: Modules, desk: Make) -> None:
    """Each answers only when the other has been asked too."""
    both = threading.Barrier(2, timeout=30)

    def answer(_: Any) -> Any:
        both.wait()
        return {"results": {}}

    modules.answers["virustotal_public", "ip-dst", ADDRESS] = answer
    modules.answers["shodan", "ip-dst", ADDRESS] = answer
    run, wanted = desk(), planned(ADDRESS)
    run.desk.start(run.found, wanted)
    assert run.collect(wanted).asked == 1
    assert run.collect(wanted, "ER:3").asked == 1


def test_what_was_started_is_collected_and_not_asked_again(modules: Modules, desk: Make) -> None:
    run, wanted = desk(), planned(MD5)
    run.desk.start(run.found, wanted)
    run.desk.start(run.found, wanted)
    assert run.collect(wanted).asked == 1
    assert asked(modules) == [MD5]


def test_collecting_again_asks_only_what_is_missing(modules: Modules, desk: Make) -> None:
    run, wanted = desk(), planned(MD5)
    run.collect(wanted)
    again = run.collect(wanted)
    assert asked(modules) == [MD5]
    assert (again.asked, again.cached) == (0, 1)


def test_any_other_module_works_by_a_default_row(modules: Modules, desk: Make) -> None:
    results = desk(enrich_with=["countrycode"]).collect(planned(HOST), "ER:3")
    assert [one.value for one in results.lookups[0].enrichments] == ["Network (Worldwide)"]
    assert modules.requests[-1].json["config"] == {}


def test_a_key_that_is_missing_and_a_module_that_is_absent_are_no_failures(desk: Make) -> None:
    run = desk({"virustotal_apikey": ""}, enrich_with=["virustotal_public", "nowhere"])
    keyless, absent = run.collect(planned(MD5)), run.collect(planned(MD5), "ER:3")
    assert "not configured: virustotal_apikey is not in the vault" in lookups_line(keyless)
    assert "not on the module server" in lookups_line(absent)
    assert lookup_problems(keyless) == lookup_problems(absent) == []


def test_a_module_that_takes_no_attribute_is_skipped(modules: Modules, desk: Make) -> None:
    results = desk(enrich_with=["csvimport"]).collect(planned(MD5), "ER:3")
    assert modules.requests == []
    assert "takes no attribute, so it is no expansion module" in lookups_line(results)


def test_with_tlp_red_nothing_is_asked(modules: Modules, desk: Make) -> None:
    results = desk(tlp="red").collect(planned(MD5, HOST))
    assert asked(modules) == []
    assert results.count(LookupStatus.WITHHELD) == 2
    assert lookup_problems(results) == []


def test_internal_domains_of_the_vault_are_not_asked_about(modules: Modules, desk: Make) -> None:
    results = desk({"internal_domains": [HOST]}).collect(planned(MD5, f"www.{HOST}"))
    assert asked(modules) == [MD5]
    assert results.lookups[1].status is LookupStatus.WITHHELD


def test_a_dry_run_asks_nothing_and_says_what_it_would_send_where_and_what_it_costs(
    modules: Modules, desk: Make
) -> None:
    desk().collect(planned(HASH))
    modules.clear_requests()
    vault = {"virustotal_calls_per_minute": 4}
    results = desk(vault, dry_run=True).collect(planned(MD5, HOST, HASH, "10.0.0.1"))
    assert asked(modules) == []
    assert "Dry run: 2 questions would be put, which cost 10 API calls of 500 a day and take about 2 minutes." in (
        lookups_line(results)
    )
    [*_, table] = lookups_view(Lookups((results,)))
    assert not isinstance(table, str)
    rows = {row[0]: row for row in table.rows}
    assert rows[HOST][1:3] == ("hostname", "not asked")
    assert rows[HOST][5:] == ("6", f"dry run: would be sent to VirusTotal by {modules.url}")
    assert rows[HASH][2] == "nothing known, from cache (0 h 0 min old)"
    assert rows["10.0.0.1"][2] == "withheld"


def test_a_dry_run_names_the_control_question_unless_it_was_answered_within_a_day(modules: Modules, desk: Make) -> None:
    line = lookups_line(desk(dry_run=True).collect(planned(ADDRESS, "1.2.3.4"), "ER:3"))
    assert "2 questions would be put, which cost 2 API calls" in line
    assert "At most one more question, about 8.8.8.8, is put where Shodan says nothing about an entry." in line
    assert asked(modules, "shodan") == []
    desk().collect(planned("1.2.3.4"), "ER:3")
    assert "8.8.8.8" not in lookups_line(desk(dry_run=True).collect(planned(ADDRESS), "ER:3"))


def test_with_tlp_red_no_control_question_is_asked(modules: Modules, desk: Make) -> None:
    results = desk(tlp="red").collect(planned("1.2.3.4"), "ER:3")
    assert results.count(LookupStatus.WITHHELD) == 1
    assert asked(modules, "shodan") == []


def test_an_address_that_shodan_does_not_know_is_no_problem_and_a_bad_key_is_one(modules: Modules, desk: Make) -> None:
    known = desk().collect(planned("1.2.3.4", "1.2.3.5"), "ER:3")
    assert lookup_problems(known) == []
    assert asked(modules, "shodan") == ["1.2.3.4", "8.8.8.8", "1.2.3.5"]
    refused = desk({"shodan_apikey": "bad"}).collect(planned("1.2.3.6", "1.2.3.7", "1.2.3.8"), "ER:3")
    [problem] = lookup_problems(refused)
    assert problem.startswith(
        "Shodan: failed for 3 entries (could not ask: no answer to the control question about 8.8.8.8"
    )
    assert problem.endswith("check shodan_apikey in the vault)")
    assert asked(modules, "shodan")[3:] == ["1.2.3.6", "8.8.8.8"]


def test_equal_problems_are_one_line_with_a_count(desk: Make) -> None:
    results = desk({"virustotal_apikey": "bad"}).collect(planned(*(f"{number:032x}" for number in range(1000))))
    assert lookup_problems(results) == ["VirusTotal: key refused for 1,000 entries (Wrong API key)"]


def test_an_interrupt_ends_the_questions_and_keeps_what_was_got(modules: Modules, desk: Make) -> None:
    """As Jupyter does it: SIGINT reaches the main thread while it waits for the answers."""
    run, wanted = desk(misp_modules_wait=3600.0), planned(MD5, HASH, "1" * 32)
    run.desk.start(run.found, wanted)

    def interrupt_after_the_first(_: str, progress: Progress) -> None:
        if progress.done == 1 and not interrupted:
            interrupted.append(True)
            _thread.interrupt_main()

    interrupted: list[bool] = []
    results = run.collect(wanted, show=interrupt_after_the_first)
    assert results.interrupted
    assert [lookup.status for lookup in results.lookups] == [LookupStatus.ANSWERED, *[LookupStatus.NOT_ASKED] * 2]
    assert lookup_problems(results) == ["VirusTotal: interrupted, 2 entries were not asked about"]
    assert asked(modules) == [MD5]


def test_files_that_cannot_be_used_are_said_and_nothing_is_asked(modules: Modules, desk: Make) -> None:
    cache_folder().mkdir(parents=True)
    (cache_folder() / "lookups.sqlite").mkdir()
    with pytest.raises(SettingsError, match=r"lookups\.sqlite cannot be used"):
        desk().collect(planned(MD5))
    assert modules.requests == []


def test_a_sandboxs_answers_are_kept_apart(modules: Modules, desk: Make) -> None:
    vault = {
        "sandbox": True,
        "misp_modules_url": modules.url,
        "sandbox_addresses": ["http://127.0.0.1", modules.url],
    }
    desk(vault).collect(planned(MD5))
    assert desk().collect(planned(MD5)).cached == 0
    assert desk(vault).collect(planned(MD5)).cached == 1
    assert len(asked(modules)) == 2


def test_detections_and_new_indicators_are_told_apart(desk: Make) -> None:
    results = desk().collect(planned(MD5, HOST, HASH))
    assert results.lookups[0].detections == "55/70"
    assert "new indicators: 8, called malicious: 1 of 1 with a detection ratio." in lookups_line(results)
    unrated = replace(results, lookups=results.lookups[1:])
    assert "called malicious: 0 of 0 with" in lookups_line(unrated)
