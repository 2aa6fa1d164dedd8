"""Asking one module: a status for every pair, each question once, back-off, and what an interrupted run leaves."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import MODULE_TABLE, Quota, module_row
from misp_playbook_lib.model.results import LookupResult, LookupStatus
from misp_playbook_lib.sandbox.modules import Modules
from misp_playbook_lib.sandbox.server import Request, Response, Service
from misp_playbook_lib.steps.enrich import Asking, ask, lookup, read_error, seconds_needed
from misp_playbook_lib.steps.lookup_cache import HOUR, LookupCache
from misp_playbook_lib.steps.quota import MINUTE, QuotaLedger
from misp_playbook_lib.untrusted import know_secrets

RECORDINGS = Path(__file__).parents[1] / "data" / "misp-modules-3.1.0" / "query.json"
RECORDED = {each["name"]: each for each in json.loads(RECORDINGS.read_text())["exchanges"]}

MD5 = Indicator("md5", "028878c4b6ab475ed0be97eca6f92af9")
HOST = Indicator("hostname", "johnshopkin.net")
ADDRESS = Indicator("ip-src", "158.255.208.168")
SILENT = (Indicator("ip-dst", "1.2.3.4"), Indicator("ip-dst", "1.2.3.5"))
CONTROL = "8.8.8.8"
START = 1_700_000_000.0

EXPECTED = {
    **dict.fromkeys(("vt_public_bad", "vt_public_forbidden", "vt_forbidden"), LookupStatus.KEY_REFUSED),
    **dict.fromkeys(("vt_public_quota",), LookupStatus.RATE_LIMITED),
    **dict.fromkeys(("vt_public_e204", "vt_public_e500"), LookupStatus.FAILED),
    **dict.fromkeys(("vt_public_md5_notfound", "vt_public_url_notfound"), LookupStatus.NOTHING_KNOWN),
    **dict.fromkeys(
        ("shodan_bad", "shodan_quota", "shodan_forbidden", "shodan_notfound"),
        LookupStatus.UNKNOWN,
    ),
    **dict.fromkeys(
        ("vt_md5_ok", "vt_public_md5_ok", "vt_public_hostname_ok", "vt_public_ip_ok", "shodan_ok"),
        LookupStatus.ANSWERED,
    ),
}
EXPECTED = {f"{how}_{name}": status for how in ("launcher", "proxycfg") for name, status in EXPECTED.items()} | {
    **dict.fromkeys(
        (
            "cpe_nonet",
            "cve_nonet",
            "envproxyonly_vt_public_md5",
            "eql",
            "hashlookup_nonet",
            "module_type_key",
            "no_module",
            "shodan_config_null",
            "shodan_no_network",
            "unknown_module",
            "vt_no_network",
            "vt_public_no_network",
            "vt_public_stickyerror",
        ),
        LookupStatus.UNKNOWN,
    ),
    **dict.fromkeys(
        ("vt_no_config", "vt_public_no_config", "vt_public_empty_apikey", "shodan_no_config"),
        LookupStatus.KEY_REFUSED,
    ),
    **dict.fromkeys(
        ("ssh_fingerprint", "shodan_unsupported_type", "vt_public_unsupported_type", "vt_unsupported"),
        LookupStatus.TYPE_NOT_TAKEN,
    ),
    **dict.fromkeys(
        (
            "bad_json",
            "empty_body",
            "html_to_markdown_nonet",
            "json_list",
            "rulezet",
            "shodan_no_uuid",
            "timeout_1",
            "vt_public_no_uuid",
            "vt_public_old_style",
        ),
        LookupStatus.FAILED,
    ),
    **dict.fromkeys(("countrycode", "extract_url_components", "jinja_template"), LookupStatus.ANSWERED),
}


class Replay(Service):
    """Answers every question with one recorded response."""

    recorded: dict[str, Any]

    def handle(self, request: Request) -> Response:  # noqa: ARG002 - whatever is asked
        body = self.recorded["body"]
        text = body if isinstance(body, str) else json.dumps(body)
        return Response(self.recorded["status"], text, content_type=self.recorded["content_type"])


class Clock:
    """A clock that goes forward only when somebody waits."""

    def __init__(self) -> None:
        self.now, self.waits = START, list[float]()

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with Replay() as service:
        yield service


@pytest.fixture
def modules() -> Iterator[Modules]:
    with Modules() as service:
        yield service


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., Asking]


@pytest.fixture
def asking(modules: Modules, clock: Clock, tmp_path: Path) -> Make:
    def made(module: str = "virustotal_public", key: str = "good", quota: Quota | None = None) -> Asking:
        return Asking(
            client=MispModulesClient(modules.url),
            row=module_row(module),
            key=key,
            cache=LookupCache(modules.url, module, tmp_path / "cache" / "lookups.sqlite"),
            ledger=QuotaLedger(key, quota, tmp_path / "state" / "quota.sqlite") if quota else None,
            wait=0.0,
            now=clock,
            pause=clock.wait,
        )

    return made


def put(asking: Asking, *questions: Indicator) -> list[LookupResult]:
    return ask(asking, [(question.value, question) for question in questions])


def hashes(count: int) -> list[Indicator]:
    return [Indicator("md5", f"{number:032x}") for number in range(count)]


def asked(modules: Modules) -> list[str]:
    return [request.json["attribute"]["value"] for request in modules.requests]


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_answer_has_its_status(replay: Replay, name: str) -> None:
    replay.recorded = RECORDED[name]["response"]
    module = RECORDED[name]["request"]
    module = module.get("module", "virustotal") if isinstance(module, dict) else "virustotal"
    assert lookup(MispModulesClient(replay.url), module, ADDRESS, "good").status is EXPECTED[name]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Non existing hash", LookupStatus.NOTHING_KNOWN),
        ("No results found on URLhaus for this domain attribute", LookupStatus.NOTHING_KNOWN),
        ("Not found", LookupStatus.NOTHING_KNOWN),
        ("<html><h1>404 Not Found</h1></html>", LookupStatus.FAILED),
        ("Module or API endpoint not found", LookupStatus.FAILED),
        ("Name or service not known: api.example not found", LookupStatus.FAILED),
        ("Error 429 Too Many Requests", LookupStatus.RATE_LIMITED),
        ("", LookupStatus.FAILED),
    ],
)
def test_only_a_module_that_says_so_knows_nothing(words: str, status: LookupStatus) -> None:
    assert read_error(words)[0] is status


def test_an_answer_that_holds_nothing_but_the_question_knows_nothing(replay: Replay) -> None:
    echo = {"results": {"Attribute": [{"type": "ip-src", "value": ADDRESS.value}]}}
    replay.recorded = {"status": 200, "body": echo, "content_type": "text/html"}
    assert lookup(MispModulesClient(replay.url), "any", ADDRESS, "").status is LookupStatus.NOTHING_KNOWN


def test_an_answer_of_which_nothing_is_of_use_is_still_an_answer(modules: Modules, asking: Make) -> None:
    whois = {"name": "whois", "Attribute": [{"type": "text", "category": "Other", "value": "Domain: x"}]}
    modules.answers["virustotal_public", "hostname", "evil.test"] = {"results": {"Object": [whois]}}
    [result] = put(asking(), Indicator("hostname", "evil.test"))
    assert result.status is LookupStatus.ANSWERED
    assert result.enrichments == ()


def test_a_key_in_an_error_text_is_masked(replay: Replay) -> None:
    words = {"error": "GET https://vendor.example/?key=a-very-secret-key failed"}
    replay.recorded = {"status": 200, "body": words, "content_type": "text/html"}
    know_secrets(["a-very-secret-key"])
    result = lookup(MispModulesClient(replay.url), "any", ADDRESS, "a-very-secret-key")
    assert "a-very-secret-key" not in result.detail
    assert result.status is LookupStatus.FAILED


def test_a_second_run_asks_nothing_and_says_how_old_its_answers_are(
    modules: Modules, asking: Make, clock: Clock
) -> None:
    first = put(asking(), MD5, HOST, *hashes(3))
    clock.now += HOUR
    modules.clear_requests()
    second = put(asking(), MD5, HOST, *hashes(3))
    assert asked(modules) == []
    assert [result.age for result in second] == [HOUR] * 5
    assert not any(result.asked or result.calls for result in second)
    assert [result.status for result in second] == [result.status for result in first]
    assert [result.enrichments for result in second] == [result.enrichments for result in first]


def test_answers_are_kept_a_day_and_nothing_known_six_hours(modules: Modules, asking: Make, clock: Clock) -> None:
    [unknown] = hashes(1)
    put(asking(), MD5, unknown)
    modules.clear_requests()
    clock.now += 6 * HOUR + 1
    put(asking(), MD5, unknown)
    assert asked(modules) == [unknown.value]
    clock.now += 18 * HOUR
    put(asking(), MD5)
    assert asked(modules) == [unknown.value, MD5.value]


def test_failures_are_not_kept(modules: Modules, asking: Make) -> None:
    put(asking(key="e500"), MD5)
    modules.clear_requests()
    [result] = put(asking(), MD5)
    assert asked(modules) == [MD5.value]
    assert result.status is LookupStatus.ANSWERED


def test_another_module_or_server_has_its_own_memory(modules: Modules, asking: Make, tmp_path: Path) -> None:
    put(asking(), MD5)
    modules.clear_requests()
    put(asking("virustotal"), MD5)
    with Modules() as other:
        elsewhere = asking()
        elsewhere.client = MispModulesClient(other.url)
        elsewhere.cache = LookupCache(other.url, "virustotal_public", tmp_path / "cache" / "lookups.sqlite")
        put(elsewhere, MD5)
        assert asked(other) == [MD5.value]
    assert asked(modules) == [MD5.value]


def test_entries_that_are_the_same_question_share_one_answer(modules: Modules, asking: Make) -> None:
    results = ask(asking(), [("johnshopkin.net", HOST), ("johnshopkin[.]net", HOST)])
    assert asked(modules) == [HOST.value]
    assert [result.entry for result in results] == ["johnshopkin.net", "johnshopkin[.]net"]
    assert results[0].enrichments == results[1].enrichments
    assert [result.asked for result in results] == [True, False]


def test_results_keep_the_order_of_the_entries_whatever_was_asked_first(asking: Make) -> None:
    questions = [ADDRESS, MD5, HOST, *hashes(2)]
    results = put(asking(quota=Quota(4, 500)), *questions)
    assert [result.indicator for result in results] == questions


def test_after_a_refused_key_nothing_more_is_asked(modules: Modules, asking: Make) -> None:
    results = put(asking(key="bad"), *hashes(1000))
    assert len(modules.requests) == 1
    assert {result.status for result in results} == {LookupStatus.KEY_REFUSED}
    assert results[0].detail == "Wrong API key"
    assert results[1].detail == "key refused: not asked again"
    assert [result.asked for result in results].count(True) == 1


def test_a_server_that_does_not_answer_is_left_alone_after_three_tries(modules: Modules, asking: Make) -> None:
    questions = asking()
    modules.stop()
    results = put(questions, *hashes(100))
    assert {result.status for result in results} == {LookupStatus.FAILED}
    assert [result.asked for result in results].count(True) == 3
    assert "not asked again" in results[-1].detail


def test_a_pause_stands_between_two_questions(asking: Make, clock: Clock) -> None:
    questions = asking()
    questions.wait = 3.0
    put(questions, *hashes(4))
    assert clock.waits == [3.0] * 3


def test_lookups_keep_to_the_budget_of_a_minute(modules: Modules, asking: Make, clock: Clock) -> None:
    results = put(asking(quota=Quota(4, 500)), MD5, HOST, ADDRESS)
    assert asked(modules) == [HOST.value, ADDRESS.value, MD5.value]
    assert sum(clock.waits) == pytest.approx(2 * MINUTE)
    assert [result.calls for result in results] == [4, 6, 2]


def test_an_unknown_value_is_debited_the_one_call_that_it_costs(modules: Modules, asking: Make, clock: Clock) -> None:
    modules.calls_left["good"] = 4
    results = put(asking(quota=Quota(per_minute=0, per_day=4)), *hashes(1))
    assert modules.calls_left["good"] == 3
    assert [result.calls for result in results] == [1]
    assert clock.waits == []


def test_what_is_over_the_days_budget_is_said_and_asked_the_day_after(
    modules: Modules, asking: Make, clock: Clock
) -> None:
    modules.calls_left["good"] = 10
    quota = Quota(per_minute=0, per_day=10)
    first = put(asking(quota=quota), MD5, HOST, ADDRESS)
    assert [result.status for result in first] == [
        LookupStatus.ANSWERED,
        LookupStatus.ANSWERED,
        LookupStatus.OUT_OF_BUDGET,
    ]
    assert "used up until 2023-11-15 22:13 UTC; run again then to go on" in first[-1].detail
    clock.now += 24 * HOUR - 1
    modules.calls_left["good"] = 10
    modules.clear_requests()
    second = put(asking(quota=quota), ADDRESS)
    assert second[0].status is LookupStatus.OUT_OF_BUDGET
    clock.now += 1
    assert put(asking(quota=quota), ADDRESS)[0].status is LookupStatus.ANSWERED
    assert asked(modules) == [ADDRESS.value]


def test_two_runs_at_once_stay_within_one_budget(modules: Modules, asking: Make) -> None:
    """The sandbox's own count of the key's calls would refuse the first call too many."""
    known = modules.answers["virustotal_public", "md5", MD5.value]
    questions = hashes(40)
    for question in questions:
        modules.answers["virustotal_public", "md5", question.value] = known
    modules.calls_left["good"] = 60
    quota = Quota(per_minute=0, per_day=60)
    results: list[list[LookupResult]] = []
    halves = [questions[:20], questions[20:]]
    runs = [
        threading.Thread(target=lambda half=half: results.append(put(asking(quota=quota), *half))) for half in halves
    ]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    statuses = [result.status for half in results for result in half]
    assert statuses.count(LookupStatus.ANSWERED) == 15
    assert statuses.count(LookupStatus.OUT_OF_BUDGET) == 25
    assert modules.calls_left["good"] == 0


def test_a_refusal_for_too_many_questions_is_waited_out(modules: Modules, asking: Make, clock: Clock) -> None:
    answer = modules.answers["virustotal_public", "md5", MD5.value]
    refusals = iter([{"error": "Quota exceeded"}] * 2)
    modules.answers["virustotal_public", "md5", MD5.value] = lambda one: next(refusals, None) or answer(one)
    [result] = put(asking(quota=Quota(4, 500)), MD5)
    assert result.status is LookupStatus.ANSWERED
    assert len(modules.requests) == 3
    assert sum(clock.waits) == pytest.approx(3 * MINUTE)


def test_where_waiting_does_not_help_what_is_as_dear_is_not_asked_again(modules: Modules, asking: Make) -> None:
    results = put(asking(key="quota", quota=Quota(4, 500)), *hashes(50), ADDRESS)
    assert {result.status for result in results} == {LookupStatus.RATE_LIMITED}
    assert asked(modules) == [hashes(1)[0].value] * 3 + [ADDRESS.value] * 3


def test_a_key_without_a_minutes_budget_does_not_wait(modules: Modules, asking: Make, clock: Clock) -> None:
    results = put(asking(key="quota"), *hashes(50))
    assert {result.status for result in results} == {LookupStatus.RATE_LIMITED}
    assert len(modules.requests) == 1
    assert clock.waits == []


def test_silence_is_nothing_known_once_the_control_question_is_answered(modules: Modules, asking: Make) -> None:
    results = put(asking("shodan"), *SILENT)
    assert asked(modules) == [SILENT[0].value, CONTROL, SILENT[1].value]
    assert {result.status for result in results} == {LookupStatus.NOTHING_KNOWN}
    assert {result.detail for result in results} == {"Shodan has an answer about 8.8.8.8, and none about this"}
    assert [result.calls for result in results] == [2, 1]


def test_the_answer_to_a_control_question_is_kept_a_day_for_each_key(
    modules: Modules, asking: Make, clock: Clock, tmp_path: Path
) -> None:
    for seconds, key, controls in ((0.0, "good", 1), (24 * HOUR - 1, "good", 1), (0.0, "other", 2), (1.0, "good", 3)):
        clock.now += seconds
        put(asking("shodan", key), Indicator("ip-dst", f"1.2.4.{len(modules.requests)}"))
        assert asked(modules).count(CONTROL) == controls
    assert b"other" not in (tmp_path / "cache" / "lookups.sqlite").read_bytes()


def test_an_answer_about_the_controls_own_address_as_an_entry_does_not_stand_for_it(
    modules: Modules, asking: Make
) -> None:
    put(asking("shodan"), Indicator("ip-dst", CONTROL), SILENT[0])
    assert asked(modules) == [CONTROL, SILENT[0].value, CONTROL]


@pytest.mark.parametrize("key", ["bad", "quota", "forbidden", "e204", "e500"])
def test_silence_to_the_control_question_ends_the_questions_which_stay_owed(
    modules: Modules, asking: Make, key: str
) -> None:
    results = put(asking("shodan", key), *SILENT, ADDRESS)
    assert asked(modules) == [SILENT[0].value, CONTROL]
    assert {result.status for result in results} == {LookupStatus.FAILED}
    assert {result.detail.partition(":")[0] for result in results} == {"could not ask"}
    assert "8.8.8.8" in results[0].detail
    assert "check shodan_apikey in the vault" in results[0].detail
    assert [result.asked for result in results] == [True, False, False]
    assert asking("shodan").cache.owed(START) == frozenset([*SILENT, ADDRESS])
    assert [result.status for result in put(asking("shodan"), *SILENT, ADDRESS)] == [
        LookupStatus.NOTHING_KNOWN,
        LookupStatus.NOTHING_KNOWN,
        LookupStatus.ANSWERED,
    ]


def test_a_control_question_counts_in_the_quota_and_keeps_the_pause(
    modules: Modules, asking: Make, clock: Clock
) -> None:
    questions = asking("shodan", quota=Quota(per_minute=0, per_day=2))
    questions.wait = 3.0
    results = put(questions, *SILENT)
    assert asked(modules) == [SILENT[0].value, CONTROL]
    assert [result.status for result in results] == [LookupStatus.NOTHING_KNOWN, LookupStatus.OUT_OF_BUDGET]
    assert clock.waits == [3.0, 3.0]
    assert questions.ledger
    assert questions.ledger.left(clock.now).per_day == 0


def test_a_control_question_waits_for_the_budget_of_a_minute(modules: Modules, asking: Make, clock: Clock) -> None:
    put(asking("shodan", quota=Quota(per_minute=1, per_day=0)), SILENT[0])
    assert asked(modules) == [SILENT[0].value, CONTROL]
    assert sum(clock.waits) == pytest.approx(MINUTE)


def test_silence_that_no_budget_is_left_to_explain_is_a_failure_that_stays_owed(modules: Modules, asking: Make) -> None:
    results = put(asking("shodan", quota=Quota(per_minute=0, per_day=1)), *SILENT)
    assert asked(modules) == [SILENT[0].value]
    assert [result.status for result in results] == [LookupStatus.FAILED, LookupStatus.OUT_OF_BUDGET]
    assert "the control question about 8.8.8.8 could not be put: the day's budget" in results[0].detail
    assert asking("shodan").cache.owed(START) == frozenset(SILENT)


def test_an_interrupt_ends_the_questions_before_the_control_question(modules: Modules, asking: Make) -> None:
    questions = asking("shodan")
    questions.wait, questions.pause = 1.0, lambda _: questions.stop.set()
    results = put(questions, *SILENT)
    assert asked(modules) == [SILENT[0].value]
    assert [result.status for result in results] == [LookupStatus.FAILED, LookupStatus.NOT_ASKED]
    assert "could not be put: interrupted" in results[0].detail


def test_a_module_without_a_control_question_leaves_a_failure_without_a_reason_unknown(
    modules: Modules, asking: Make
) -> None:
    [result] = put(asking("cve"), Indicator("vulnerability", "CVE-2020-1472"))
    assert result.status is LookupStatus.UNKNOWN
    assert len(modules.requests) == 1


def test_an_interrupt_keeps_what_was_got_and_the_next_run_goes_on(modules: Modules, asking: Make, clock: Clock) -> None:
    questions = asking()
    questions.wait = 1.0

    def interrupted(seconds: float) -> None:
        clock.wait(seconds)
        if len(modules.requests) == 2:
            questions.stop.set()

    questions.pause = interrupted
    results = put(questions, MD5, *hashes(3))
    assert [result.status for result in results].count(LookupStatus.NOT_ASKED) == 2
    assert results[-1].detail == "interrupted; run again to go on"
    again = put(asking(), MD5, *hashes(3))
    assert LookupStatus.NOT_ASKED not in {result.status for result in again}
    assert sorted(asked(modules)) == sorted([MD5.value, *(one.value for one in hashes(3))])


def test_a_run_that_is_killed_and_run_again_asks_nothing_twice(modules: Modules, asking: Make, tmp_path: Path) -> None:
    known = modules.answers["virustotal_public", "md5", MD5.value]
    questions = hashes(6)
    for question in questions:
        modules.answers["virustotal_public", "md5", question.value] = known
    process = multiprocessing.get_context("spawn").Process(target=ask_until_killed, args=(modules.url, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(modules.requests) == 3
    assert asking().cache.owed(START) == frozenset(questions[3:])
    results = put(asking(), *questions)
    assert [result.status for result in results] == [LookupStatus.ANSWERED] * 6
    assert sorted(asked(modules)) == sorted(question.value for question in questions)


def ask_until_killed(url: str, folder: Path) -> None:
    """Ask, one question after the other, and be killed in the pause after the third."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    cache = LookupCache(url, "virustotal_public", folder / "cache" / "lookups.sqlite")
    row = MODULE_TABLE["virustotal_public"]
    put(Asking(MispModulesClient(url), row, "good", cache, None, 3.0, now=lambda: START, pause=pause), *hashes(6))


def test_the_cache_is_closed_to_others(asking: Make, tmp_path: Path) -> None:
    put(asking(), MD5)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()} == {0o600}


def test_the_time_needed_is_that_of_the_budget_or_of_the_pauses() -> None:
    assert seconds_needed({4: 10, 6: 5}, per_minute=4, wait=3.0) == 70 / 4 * 60
    assert seconds_needed({4: 10}, per_minute=0, wait=3.0) == 30.0


def test_progress_tells_what_is_being_asked(modules: Modules, asking: Make) -> None:
    questions = asking()
    seen: list[tuple[int, int, str]] = []

    def answer(_: Any) -> Any:
        seen.append((questions.progress.done, questions.progress.total, questions.progress.asking))
        return {"results": {}}

    for question in hashes(2):
        modules.answers["virustotal_public", "md5", question.value] = answer
    put(questions, *hashes(2))
    assert seen == [(0, 2, hashes(2)[0].value), (1, 2, hashes(2)[1].value)]
    assert (questions.progress.done, questions.progress.asking) == (2, "")
