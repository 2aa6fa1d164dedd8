"""Ask one module about entries, as fast as its quota allows, and say of each what came of it.

Nothing is asked twice: entries that stand for the same question share its answer, and what an earlier run was told is
taken from the cache.
"""

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from misp_playbook_lib.clients.deadline import seconds_left
from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.errors import RateLimited, ServiceError, ServiceUnavailable
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import ModuleRow
from misp_playbook_lib.model.results import Enrichment, EnrichmentKind, LookupResult, LookupStatus
from misp_playbook_lib.steps.lookup_cache import LookupCache, Remembered
from misp_playbook_lib.steps.quota import MINUTE, Booking, Later, QuotaLedger, UsedUp, key_digest
from misp_playbook_lib.untrusted import redact

TRIES = 3
"""How often a question is put that the service says is one too many, and how many times in a row we look for a server
that does not answer."""
LONGEST_DETAIL = 200
INTERRUPTED = "interrupted; run again to go on"

_WORDS = (
    (LookupStatus.RATE_LIMITED, r"quota exceeded|too many requests|rate limit|\b429\b"),
    (LookupStatus.KEY_REFUSED, r"wrong api key|invalid api key|forbidden|not authorized|authentication|api key is"),
    (LookupStatus.TYPE_NOT_TAKEN, r"unsupported attribute type"),
    (LookupStatus.UNKNOWN, r"something went wrong"),
)
"""The words of modules that fail (misp_modules/modules/expansion/*.py of 3.1.0)."""
_NOTHING_KNOWN = re.compile(
    r"(?:(?:file|domain|ip address|url)(?: \".*\")? )?not found"
    r"|non existing .+|no results? (?:found|from) .+|no matching .+|nothing could be found .+",
    re.IGNORECASE | re.DOTALL,
)
"""The words of modules that were answered, with nothing: whole sentences, so that no failure passes for one."""


@dataclass(slots=True)
class Progress:
    """How far a module's questions are; read from another thread while they are put."""

    total: int = 0
    done: int = 0
    asking: str = ""
    seconds_left: float = 0.0
    waited: float = 0.0
    """Seconds spent on waiting until the next question may be put."""


@dataclass(slots=True)
class Asking:
    """What it takes to put questions to one module.

    `ledger` is None where the key has no limit, `wait` the least pause between two questions in seconds. `now` and
    `pause` are the clock; `stop` ends the questions after the one that is being put.
    """

    client: MispModulesClient
    row: ModuleRow
    key: str
    cache: LookupCache
    ledger: QuotaLedger | None
    wait: float
    now: Callable[[], float] = time.time
    stop: threading.Event = field(default_factory=threading.Event)
    pause: Callable[[float], object] | None = None
    progress: Progress = field(default_factory=Progress)
    need: Callable[[float], object] = lambda _: None
    """Told, before the first question, about how many seconds all of them will take."""

    def control_answered(self) -> bool:
        """Tell whether the module answered its control question with this key within a day."""
        return bool(self.cache.get(self._controls(), self.now()))

    def remember_control(self) -> None:
        """Keep for a day that the module answered its control question with this key."""
        for question in self._controls():
            self.cache.put(question, LookupStatus.ANSWERED, "", (), self.now())

    def _controls(self) -> tuple[Indicator, ...]:
        """Return the control question as the cache keeps it, apart from an entry's and from other keys'."""
        control = self.row.control
        return (Indicator(f"{control.type} with key {key_digest(self.key)}", control.value),) if control else ()

    def sleep(self, seconds: float) -> None:
        """Wait, unless there is nothing to wait for or the questions are ended; not beyond the run's deadline."""
        seconds = min(seconds, seconds_left())
        if seconds > 0:
            self.progress.waited += seconds
            (self.pause or self.stop.wait)(seconds)


def ask(asking: Asking, questions: Sequence[tuple[str, Indicator]]) -> list[LookupResult]:
    """Put the questions that the cache cannot answer.

    Args:
        asking: the module and its means.
        questions: entry and question, in the order of the list.

    Returns:
        a result for each, in the same order.

    Raises:
        SettingsError: the files of cache or quota cannot be used.

    """
    wanted = tuple(dict.fromkeys(question for _, question in questions))
    now = asking.now()
    results = {
        question: from_cache(asking.row, question, found) for question, found in asking.cache.get(wanted, now).items()
    }
    missing = [question for question in wanted if question not in results]
    asking.cache.owe(missing, now)
    results |= _Queue(asking, missing).work_off()
    seen: set[Indicator] = set()
    answers = []
    for entry, question in questions:
        result = replace(results[question], entry=entry, enrichments=_useful(results[question], asking.row))
        if question in seen:
            result = replace(result, asked=False, calls=0)
        seen.add(question)
        answers.append(result)
    return answers


class _Queue:
    """The questions that wait, by their price, and the outcomes of those that were put."""

    def __init__(self, asking: Asking, questions: Sequence[Indicator]) -> None:
        self._asking = asking
        self._waiting: dict[int, list[Indicator]] = {}
        for question in reversed(questions):
            self._waiting.setdefault(asking.row.cost(question.type), []).append(question)
        self._results: dict[Indicator, LookupResult] = {}
        self._refusals: dict[int, int] = {}
        self._unreachable = 0
        self._last = float("-inf")
        asking.progress.total = len(questions)

    def work_off(self) -> dict[Indicator, LookupResult]:
        """Put one question after the other until none is left, or none may be put any more."""
        self._tell()
        self._asking.need(self._asking.progress.seconds_left)
        while self._waiting and not self._asking.stop.is_set() and seconds_left() > 0:
            booking = self._reserve(self._waiting.keys())
            if isinstance(booking, UsedUp):
                self._drop_all(LookupStatus.OUT_OF_BUDGET, _used_up(booking))
            elif booking:
                self._put(booking)
        if self._asking.stop.is_set():
            self._drop_all(LookupStatus.NOT_ASKED, INTERRUPTED)
        self._drop_all(LookupStatus.DEADLINE, "run again to go on")
        self._asking.progress.asking = ""
        return self._results

    def _reserve(self, costs: Collection[int]) -> Booking | UsedUp | None:
        """Wait for leave to put a question of one of these prices; None where the questions are ended."""
        asking = self._asking
        self._tell()
        asking.sleep(self._last + asking.wait - asking.now())
        while not asking.stop.is_set() and seconds_left() > 0:
            if asking.ledger is None:
                return Booking("", next(iter(costs)))
            booking = asking.ledger.reserve(costs, asking.now())
            if not isinstance(booking, Later):
                return booking
            self._tell()
            asking.sleep(booking.at - asking.now())
        return None

    def _put(self, booking: Booking) -> None:
        cost = booking.calls
        question = self._waiting[cost].pop()
        self._asking.progress.asking = question.value
        result = self._lookup(question)
        self._last = self._asking.now()
        calls = 1 if result.status is LookupStatus.NOTHING_KNOWN else cost
        if self._asking.ledger:
            self._asking.ledger.settle(booking, calls, self._last)
        result, calls = self._explained(result, calls)
        if result.status is LookupStatus.RATE_LIMITED and self._back_off(cost):
            self._waiting[cost].append(question)
            return
        if result.status is not LookupStatus.RATE_LIMITED:
            self._refusals.pop(cost, None)
        self._asking.progress.done += 1
        self._results[question] = replace(result, asked=True, calls=calls)
        if result.status not in (LookupStatus.RATE_LIMITED, LookupStatus.KEY_REFUSED, LookupStatus.FAILED):
            self._asking.cache.put(question, result.status, result.detail, result.enrichments, self._last)
        if result.status is LookupStatus.RATE_LIMITED:
            for price in [price for price in self._waiting if price >= cost]:
                self._drop(price, LookupStatus.RATE_LIMITED, f"{result.detail}: not asked again")
        elif result.status is LookupStatus.KEY_REFUSED:
            self._drop_all(LookupStatus.KEY_REFUSED, "key refused: not asked again")
        elif self._unreachable == TRIES:
            self._drop_all(LookupStatus.FAILED, f"{result.detail}: not asked again")
        if not self._waiting.get(cost, True):
            del self._waiting[cost]

    def _lookup(self, question: Indicator) -> LookupResult:
        name = self._asking.row.name
        try:
            result = lookup(self._asking.client, name, question, self._asking.key)
        except ServiceUnavailable as error:
            self._unreachable += 1
            return LookupResult("", name, LookupStatus.FAILED, question, str(error))
        self._unreachable = 0
        return result

    def _explained(self, result: LookupResult, calls: int) -> tuple[LookupResult, int]:
        """Say what a module's silence means, and what it cost: a control question tells, at most one a day and key."""
        asking, control = self._asking, self._asking.row.control
        if result.status is not LookupStatus.UNKNOWN or control is None:
            return result, calls
        if not asking.control_answered():
            booking = self._reserve([asking.row.cost(control.type)])
            if not isinstance(booking, Booking):
                why = _used_up(booking) if booking else INTERRUPTED
                detail = f"no answer, and the control question about {control.value} could not be put: {why}"
                return replace(result, status=LookupStatus.FAILED, detail=detail), calls
            asking.progress.asking = control.value
            answer = self._lookup(control)
            self._last = asking.now()
            if asking.ledger:
                asking.ledger.settle(booking, booking.calls, self._last)
            calls += booking.calls
            if answer.status is not LookupStatus.ANSWERED:
                why = f"{answer.detail}; check {asking.row.secret} in the vault"
                detail = f"could not ask: no answer to the control question about {control.value} either: {why}"
                self._drop_all(LookupStatus.FAILED, detail)
                return replace(result, status=LookupStatus.FAILED, detail=detail), calls
            asking.remember_control()
        detail = f"{asking.row.title} has an answer about {control.value}, and none about this"
        return replace(result, status=LookupStatus.NOTHING_KNOWN, detail=detail), calls

    def _back_off(self, cost: int) -> bool:
        """Hold the key for a minute, then two; False where that did not help, or no minute's budget is at fault."""
        ledger = self._asking.ledger
        self._refusals[cost] = self._refusals.get(cost, 0) + 1
        if ledger is None or not ledger.quota.per_minute or self._refusals[cost] >= TRIES:
            return False
        ledger.hold_until(self._last + MINUTE * self._refusals[cost])
        return True

    def _drop_all(self, status: LookupStatus, detail: str) -> None:
        for price in list(self._waiting):
            self._drop(price, status, detail)

    def _drop(self, price: int, status: LookupStatus, detail: str) -> None:
        for question in self._waiting.pop(price):
            self._results[question] = LookupResult("", self._asking.row.name, status, question, detail)

    def _tell(self) -> None:
        counts = {cost: len(questions) for cost, questions in self._waiting.items()}
        quota = self._asking.ledger.quota if self._asking.ledger else None
        self._asking.progress.seconds_left = seconds_needed(counts, quota.per_minute if quota else 0, self._asking.wait)


def seconds_needed(counts: Mapping[int, int], per_minute: int, wait: float) -> float:
    """Estimate how long lookups take, given how many there are of each price and what a minute grants (0: any)."""
    calls = sum(cost * count for cost, count in counts.items())
    return max(wait * sum(counts.values()), calls * MINUTE / per_minute if per_minute else 0.0)


def lookup(client: MispModulesClient, module: str, question: Indicator, key: str) -> LookupResult:
    """Put one question and turn whatever comes back into a status.

    Raises:
        ServiceUnavailable: the module server does not answer.

    """
    try:
        answer = client.query(module, question, {"apikey": key} if key else {})
    except ServiceUnavailable:
        raise
    except RateLimited as error:
        return LookupResult("", module, LookupStatus.RATE_LIMITED, question, str(error))
    except ServiceError as error:
        return LookupResult("", module, LookupStatus.FAILED, question, str(error))
    if answer.error is not None:
        status, detail = read_error(redact(answer.error))
        return LookupResult("", module, status, question, detail)
    told = any(one.kind is not EnrichmentKind.ECHO for one in answer.enrichments)
    status = LookupStatus.ANSWERED if told else LookupStatus.NOTHING_KNOWN
    return LookupResult("", module, status, question, "", answer.enrichments)


def read_error(error: str) -> tuple[LookupStatus, str]:
    """Turn a module's error text into a status and what to say of it."""
    text = " ".join(error.split())[:LONGEST_DETAIL]
    if _NOTHING_KNOWN.fullmatch(text.rstrip(".")):
        return LookupStatus.NOTHING_KNOWN, text
    status = next((one for one, words in _WORDS if re.search(words, text, re.IGNORECASE)), LookupStatus.FAILED)
    if status is LookupStatus.UNKNOWN:
        return status, "the module gave no reason; the module server's log may have it"
    return status, text or "the module failed without a word"


def _used_up(booking: UsedUp) -> str:
    if booking.at is None:
        return "one lookup makes more API calls than the day's budget in the vault"
    moment = datetime.fromtimestamp(booking.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"the day's budget of API calls is used up until {moment}; run again then to go on"


def from_cache(row: ModuleRow, question: Indicator, found: Remembered) -> LookupResult:
    """Make a result of what is remembered."""
    return LookupResult("", row.name, found.status, question, found.detail, found.enrichments, age=found.age)


def _useful(result: LookupResult, row: ModuleRow) -> tuple[Enrichment, ...]:
    return tuple(one for one in result.enrichments if f"{one.category}/{one.type}" not in row.leave_out)
