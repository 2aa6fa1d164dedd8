"""The modules of a run side by side: what to ask each, started early, at its own pace, collected when wanted."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.pool import AsyncResult, ThreadPool

from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import ModuleAvailability, ModulesFound, Quota
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan
from misp_playbook_lib.model.results import LookupResult, LookupResults, LookupStatus
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps.enrich import Asking, Progress, ask, from_cache, seconds_needed
from misp_playbook_lib.steps.lookup_cache import LookupCache, cache_file
from misp_playbook_lib.steps.lookup_policy import Policy, to_ask
from misp_playbook_lib.steps.quota import QuotaLedger

LOOK_SECONDS = 0.5
"""How often progress is shown."""
NOTHING_ADDED = "nothing was added; enrich_all asks about all entries"
KEPT = "not added by this run; enrich_all asks about all entries"

_DECIDES = ("tlp", "dry_run", "enrich_all", "enrich_with", "misp_modules_url", "misp_modules_wait")
"""The parameters that decide what is asked, and how."""

Show = Callable[[str, Progress], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """The questions to one module, being put in a thread of its own."""

    plan: WarninglistPlan
    title: str
    progress: Progress
    stop: threading.Event
    outcome: "AsyncResult[LookupResults]"

    def collect(self, show: Show) -> LookupResults:
        """Wait for the end; an interrupt ends the questions and keeps what was got."""
        interrupted = False
        while not self.outcome.ready():
            try:
                self.outcome.wait(LOOK_SECONDS)
                show(self.title, self.progress)
            except KeyboardInterrupt:
                interrupted = True
                self.stop.set()
        return replace(self.outcome.get(), interrupted=interrupted)


class LookupDesk:
    """Takes the questions of one run to its modules.

    Args:
        parameters: what the run was asked for.
        settings: keys, quotas, and what must not leave.

    """

    def __init__(self, parameters: PlaybookParameters, settings: Settings) -> None:
        self._parameters = parameters
        self._settings = settings
        self._jobs: dict[str, _Job] = {}

    def use(self, parameters: PlaybookParameters) -> None:
        """Work by other parameters from here on; what was begun by others as to what may be asked is ended."""
        if any(getattr(parameters, name) != getattr(self._parameters, name) for name in _DECIDES):
            for job in self._jobs.values():
                job.stop.set()
            self._jobs.clear()
        self._parameters = parameters

    def start(self, found: ModulesFound, plan: WarninglistPlan) -> None:
        """Begin to ask every module that can be asked, each in a thread of its own, and return at once."""
        for module in found.modules:
            running = self._jobs.get(module.row.name)
            if module.usable and (running is None or running.plan is not plan):
                self._jobs[module.row.name] = self._begin(found.url, module, plan)

    def collect(self, step: str, found: ModulesFound, plan: WarninglistPlan, show: Show) -> tuple[LookupResults, ...]:
        """Return what the modules of a step answered, asking those that were not started for this plan.

        Raises:
            SettingsError: the files that the runs share cannot be used; nothing was asked.

        """
        mine = [module for module in found.modules if module.row.step == step]
        jobs = {module.row.name: self._job(found.url, module, plan) for module in mine if module.usable}
        return tuple(
            jobs[module.row.name].collect(show) if module.usable else _not_asked(module, plan) for module in mine
        )

    def _job(self, url: str, module: ModuleAvailability, plan: WarninglistPlan) -> _Job:
        started = self._jobs.pop(module.row.name, None)
        return started if started is not None and started.plan is plan else self._begin(url, module, plan)

    def _begin(self, url: str, module: ModuleAvailability, plan: WarninglistPlan) -> _Job:
        progress, stop = Progress(), threading.Event()
        # Its threads die with the process: a run that ends early does not wait for a quota.
        pool = ThreadPool(1)
        outcome = pool.apply_async(self._work, (url, module, plan, progress, stop))
        pool.close()
        return _Job(plan, module.row.title, progress, stop, outcome)

    def _work(
        self,
        url: str,
        module: ModuleAvailability,
        plan: WarninglistPlan,
        progress: Progress,
        stop: threading.Event,
    ) -> LookupResults:
        with self._asking(url, module, progress, stop) as asking:
            settled = self._sort_out(module, plan, asking)
            questions = [(entry, one) for entry, one in settled if isinstance(one, Indicator)]
            answers = iter(self._would_ask(asking, questions) if self._parameters.dry_run else ask(asking, questions))
            lookups = tuple(next(answers) if isinstance(one, Indicator) else one for _, one in settled)
            kept = sum(lookup.detail == KEPT for lookup in lookups)
            note = f"{kept:,} entries were {KEPT}." if kept else ""
            if kept == len(lookups):
                note = f"Not asked: {NOTHING_ADDED}."
            if self._parameters.dry_run and questions:
                note = f"{_price(asking, lookups)} {note}".strip()
            return LookupResults(module.row.name, lookups, note)

    def _sort_out(
        self, module: ModuleAvailability, plan: WarninglistPlan, asking: Asking
    ) -> list[tuple[str, Indicator | LookupResult]]:
        """Say of each entry what to ask, or why not; on append only what was added, or owed by an earlier run."""
        policy = Policy(self._parameters.tlp, plan.type, self._settings.internal_domains)
        whole = self._parameters.enrich_all or plan.creates or plan.action is WarninglistAction.REPLACE
        added = {entry.value for entry in plan.entries if whole} or {entry.value for entry in plan.added}
        owed = frozenset() if whole else asking.cache.owed(asking.now())
        settled: list[tuple[str, Indicator | LookupResult]] = []
        for entry in plan.entries:
            if entry.value in added or owed:
                question = to_ask(entry.value, module, policy)
                if entry.value in added or question in owed:
                    settled.append((entry.value, question))
                    continue
            kept = LookupResult(entry.value, module.row.name, LookupStatus.NOT_ASKED, detail=KEPT)
            settled.append((entry.value, kept))
        return settled

    @contextmanager
    def _asking(
        self, url: str, module: ModuleAvailability, progress: Progress, stop: threading.Event
    ) -> Iterator[Asking]:
        row, settings = module.row, self._settings
        key = settings.secret(row.secret) if row.secret else ""
        quota = Quota(*settings.calls(row.secret))
        with (
            closing(MispModulesClient(url)) as client,
            closing(LookupCache(url, row.name, cache_file(sandbox=settings.sandbox))) as cache,
        ):
            ledger = QuotaLedger(key, quota) if quota.limited else None
            wait = self._parameters.misp_modules_wait
            yield Asking(client, row, key, cache, ledger, wait, stop=stop, progress=progress)
            if ledger:
                ledger.close()

    def _would_ask(self, asking: Asking, questions: list[tuple[str, Indicator]]) -> list[LookupResult]:
        """Say what a run would ask that is not dry, and what from the cache it would not."""
        known = asking.cache.get({question for _, question in questions}, asking.now())
        row = asking.row
        return [
            replace(from_cache(row, question, found), entry=entry)
            if (found := known.get(question))
            else LookupResult(
                entry,
                row.name,
                LookupStatus.NOT_ASKED,
                question,
                f"dry run: would be sent to {row.title} by {asking.client.url}",
                calls=row.cost(question.type),
            )
            for entry, question in questions
        ]


def _price(asking: Asking, lookups: tuple[LookupResult, ...]) -> str:
    counts: dict[int, int] = {}
    for lookup in lookups:
        if lookup.calls:
            counts[lookup.calls] = counts.get(lookup.calls, 0) + 1
    quota = asking.ledger.quota if asking.ledger else Quota()
    minutes = seconds_needed(counts, quota.per_minute, asking.wait) / 60
    calls = sum(lookup.calls for lookup in lookups)
    day = f" of {quota.per_day:,} a day" if quota.per_day else ""
    price = (
        f"Dry run: {sum(counts.values()):,} questions would be put, which cost {calls:,} API calls{day} "
        f"and take about {minutes:,.0f} minutes."
    )
    control, title = asking.row.control, asking.row.title
    if counts and control and not asking.control_answered():
        more = f"At most one more question, about {control.value}, is put where {title} says nothing about an entry."
        price = f"{price} {more}"
    return price


def _not_asked(module: ModuleAvailability, plan: WarninglistPlan) -> LookupResults:
    lookups = tuple(
        LookupResult(entry.value, module.row.name, LookupStatus.NOT_ASKED, detail=module.detail)
        for entry in plan.entries
    )
    return LookupResults(module.row.name, lookups, f"Not asked: {module.detail}.")
