"""The open run of *Create a custom MISP warninglist*: one method a step, each returns what the next works on."""

import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from misp_playbook_lib.clients.mattermost import MattermostClient
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.clients.slack import SlackClient
from misp_playbook_lib.clients.thehive import TheHiveClient
from misp_playbook_lib.errors import PlaybookError, ServiceError
from misp_playbook_lib.model.indicators import RECOGNITION_RULES
from misp_playbook_lib.model.modules import (
    Lookups,
    MispServer,
    ModuleAvailability,
    ModulesFound,
    availability,
    module_row,
)
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.reading import parse_line
from misp_playbook_lib.model.results import (
    Applied,
    ApplyOutcome,
    CorrelationResult,
    Delivery,
    DeliveryStatus,
    LookupResult,
    LookupResults,
    LookupStatus,
    Published,
)
from misp_playbook_lib.model.selection import Selection, select
from misp_playbook_lib.model.warninglist import (
    WarninglistCategory,
    WarninglistRows,
    WarninglistSpec,
    WarninglistType,
)
from misp_playbook_lib.parameters import MATTERMOST_CARD, PlaybookParameters
from misp_playbook_lib.report import display, facts, undo, views
from misp_playbook_lib.report.summary import Summary, summarise
from misp_playbook_lib.report.tables import table
from misp_playbook_lib.settings import Settings, load_settings
from misp_playbook_lib.state import Outcome, RunState, StepRecord
from misp_playbook_lib.steps import apply as applying
from misp_playbook_lib.steps import notify
from misp_playbook_lib.steps.enrich import enrich
from misp_playbook_lib.steps.retrosearch import retrosearch

TITLE = "Create a custom MISP warninglist"
RUN_DIR_VARIABLE = "MISP_PLAYBOOK_RUN_DIR"
"""Set by the runner: the run's folder, and the sign that nobody is watching."""


class Playbook:
    """An open run: settings, connection and state. Make one with `Playbook.open`."""

    def __init__(self, parameters: PlaybookParameters, settings: Settings, misp: MispClient, state: RunState) -> None:
        self.parameters = parameters
        self.settings = settings
        self.misp = misp
        self.state = state
        self._delivered: dict[str, Delivery] = {}
        self._undo = undo.UndoRecord(state.folder or undo.interactive_folder(state.run_id), misp.server.url)
        self._applied: Applied | None = None

    @classmethod
    def open(cls, parameters: PlaybookParameters) -> "Playbook":
        """PR:1. Read the vault, connect to MISP, and see who we are there.

        Raises:
            SettingsError: the vault is missing or malformed.
            ServiceError: MISP cannot be reached or does not accept the key.

        """
        display.register()
        folder = os.environ.get(RUN_DIR_VARIABLE)
        run_id = Path(folder).name if folder else f"interactive-{uuid.uuid4().hex[:8]}"
        started = datetime.now(UTC).isoformat(timespec="seconds")
        state = RunState(run_id, Path(folder) if folder else None, started=started)
        with state.step("PR:1", "Initialise environment") as step:
            settings = load_settings()
            misp = MispClient(settings)
            state.facts["server"] = asdict(misp.server)
            step.summary = misp.server.line
        return cls(parameters, settings, misp, state)

    @property
    def server(self) -> MispServer:
        """The server this run works on."""
        return self.misp.server

    def find_modules(self) -> ModulesFound:
        """PR:2. Look for the wanted modules on the module server; what is absent is skipped later."""
        url, wanted = self.parameters.misp_modules_url, self.parameters.enrich_with
        with self.state.step("PR:2", "Verify MISP modules") as step:
            if not wanted:
                step.skip("No module is wanted (enrich_with is empty).")
                return ModulesFound(url, ())
            try:
                modules = MispModulesClient(url).modules()
            except ServiceError as error:
                absent = availability(wanted, None, self._has_secret)
                if any(module.configured for module in absent):
                    step.incomplete(f"{error} ({url}). Nothing will be asked of {', '.join(wanted)}.")
                return ModulesFound(url, absent, str(error))
            found = ModulesFound(url, availability(wanted, modules, self._has_secret))
            step.summary = "; ".join(f"{module.row.name}: {module.detail}" for module in found.modules)
            return found

    def recognition_rules(self) -> display.View:
        """PR:3. Show by what an entry's type is recognised."""
        with self.state.step("PR:3", "Set helper variables") as step:
            step.summary = f"{len(RECOGNITION_RULES)} rules."
            rules = table("How an entry's type is recognised", ("Type", "Recognised by", "Example"), RECOGNITION_RULES)
            return display.as_view([rules])

    def warninglists(self) -> WarninglistRows:
        """IN:1. Return the server's lists."""
        with self.state.step("IN:1", "MISP warninglists") as step:
            rows = self.misp.warninglists()
            step.summary = f"{len(rows)} lists on the server."
            return WarninglistRows(rows)

    def select_warninglist(self, lists: WarninglistRows) -> Selection:
        """IN:2. Find the list by ID, else by its exact name among `lists`; no such name: it will be created.

        Raises:
            WarninglistError: no list has that ID, or several have that name.

        """
        wanted = self.parameters
        with self.state.step("IN:2", "Set the MISP warninglist name (or ID)") as step:
            selected = select(lists.rows, wanted.warninglist_name, wanted.warninglist_id)
            if selected.list_id:
                current = self.misp.warninglist(selected.list_id)
                selected = replace(selected, name=current.name, current=current)
            step.summary = views.selection_line(selected)
            return selected

    def details(self, selection: Selection) -> WarninglistSpec:
        """IN:3. Say what the list's details shall be; empty parameters keep or default."""
        wanted = self.parameters
        with self.state.step("IN:3", "MISP warninglist details") as step:
            spec = WarninglistSpec(
                name=selection.name,
                description=wanted.warninglist_description or None,
                type=WarninglistType(wanted.warninglist_type) if wanted.warninglist_type else None,
                category=WarninglistCategory(wanted.warninglist_category) if wanted.warninglist_category else None,
                matching_attributes=tuple(wanted.warninglist_matching_attributes) or None,
            )
            step.summary = views.spec_line(spec)
            return spec

    def plan(self, selection: Selection, details: WarninglistSpec) -> WarninglistPlan:
        """IN:4. Read the values and work out what would change; nothing is sent.

        Raises:
            WarninglistError: the plan could not be carried out, and why.

        """
        wanted = self.parameters
        with self.state.step("IN:4", "MISP warninglist values") as step:
            list_type = details.type or (selection.current.type if selection.current else WarninglistType.STRING)
            entries = tuple(entry for line in wanted.warninglist_values if (entry := parse_line(line, list_type)))
            spec = replace(details, entries=entries)
            planned = plan(spec, selection.current, WarninglistAction(wanted.warninglist_values_action))
            applying.check_writable(self.misp, planned)
            step.summary = views.plan_line(planned)
            if self._undo.planned(planned):
                step.summary += f" Every change: {undo.DIFF} in the run folder."
            return planned

    def apply(self, planned: WarninglistPlan) -> Applied:
        """IN:5. Create or update the list, and read it back.

        Raises:
            PlaybookError: it was not written, or not as planned; the message says which.

        """
        with self.state.step("IN:5", "Create or update the MISP warninglist") as step:
            applied = applying.apply(self.misp, planned, self._undo, dry_run=self.parameters.dry_run)
            self._applied = applied
            if applied.outcome is ApplyOutcome.UNCHANGED:
                step.skip(views.done_line(applied))
            step.summary = views.done_line(applied)
            self._note_list(applied)
            return applied

    def enable(self, applied: Applied) -> Applied:
        """IN:6. Enable the list if that is wanted and it is not.

        Raises:
            PlaybookError: it could not be enabled.

        """
        with self.state.step("IN:6", "Enable the MISP warninglist") as step:
            if not self.parameters.warninglist_enable:
                step.skip("Not wanted (warninglist_enable is False).")
            elif applied.warninglist is not None and applied.warninglist.enabled:
                step.skip("The list is enabled already.")
            elif self.parameters.dry_run:
                step.skip("Dry run: the list would be enabled.")
            elif applied.warninglist is not None:
                enabled = applying.set_enabled(self.misp, applied.warninglist, self._undo, enabled=True)
                applied = replace(applied, warninglist=enabled)
                step.summary = "The list is enabled."
                self._note_list(applied)
            return applied

    def link(self, applied: Applied) -> display.Link | display.View:
        """IN:7. Link to the list in MISP."""
        with self.state.step("IN:7", "View the warninglist in MISP") as step:
            url = self._url(applied)
            if not url:
                step.skip("Dry run: there is no list to link to.")
                return display.as_view([step.summary])
            step.summary = url
            return display.Link(url, f"Warninglist {applied.plan.name} in MISP")

    def retrosearch(self, applied: Applied) -> CorrelationResult:
        """ER:1. Find the attributes in MISP that hold one of the list's values."""
        wanted = self.parameters
        with self.state.step("ER:1", "Query MISP") as step:
            published = {True: Published.YES, False: Published.NO, None: Published.BOTH}[wanted.match_published]
            values = [entry.value for entry in applied.plan.entries]
            result = retrosearch(self.misp, values, published=published, tags=wanted.match_tags)
            for reason in result.incomplete:
                step.incomplete(reason)
            step.summary = views.matches_line(result)
            self.state.facts["matches"] = {"attributes": len(result.matches), "events": result.events}
            return result

    def enrich(self, code: str, modules: ModulesFound, applied: Applied) -> Lookups:
        """ER:2, ER:3. Ask the modules that belong to a step about the entries they take."""
        with self.state.step(code, {"ER:2": "Query VirusTotal", "ER:3": "Query Shodan"}[code]) as step:
            mine = [module for module in modules.modules if module.row.step == code]
            usable = [module for module in mine if module.usable]
            if self.parameters.dry_run or not usable:
                reason = "Dry run: no module is asked." if self.parameters.dry_run and usable else ""
                step.skip(
                    reason or "; ".join(f"{one.row.name}: {one.detail}" for one in mine) or "No module is wanted."
                )
                return Lookups(tuple(self._not_asked(module, reason or module.detail, applied) for module in mine))
            client = MispModulesClient(modules.url)
            entries = [entry.value for entry in applied.plan.entries]
            results = tuple(
                enrich(
                    client,
                    module,
                    entries,
                    key=self.settings.secret(module.row.secret) if module.row.secret else "",
                    wait=self.parameters.misp_modules_wait,
                )
                for module in usable
            )
            self._note_lookups(step, results)
            return Lookups(results)

    def summarise(self, applied: Applied, matches: CorrelationResult, lookups: Iterable[Lookups]) -> Summary:
        """EN:1. Put together what was done, found and missed, in Markdown."""
        with self.state.step("EN:1", "Create the summary of the playbook") as step:
            results = [result for one in lookups for result in one.results]
            summary = summarise(
                title=TITLE,
                tlp=self.parameters.tlp,
                where=self.server.line,
                applied=applied,
                url=self._url(applied),
                matches=matches,
                lookups=results,
                failures=self.state.problems,
            )
            step.summary = f"{len(summary.markdown):,} characters of Markdown."
            if self.state.folder:
                (self.state.folder / "summary.md").write_text(summary.markdown, encoding="utf-8")
            return summary

    def send_to_mattermost(self, summary: Summary, *, again: bool = False) -> Delivery:
        """EN:2. Post the summary to Mattermost, as the option says; once in a run unless `again`."""
        option, hook = self.parameters.send_to_mattermost_option, self.settings.secret("mattermost_hook")
        return self._deliver(
            "Mattermost",
            wanted=bool(option),
            missing="" if hook else "mattermost_hook",
            again=again,
            send=lambda: notify.send_to_mattermost(
                MattermostClient(hook, self.settings.mattermost_playbook_user), summary, card=option == MATTERMOST_CARD
            ),
        )

    def send_to_slack(self, summary: Summary, *, again: bool = False) -> Delivery:
        """EN:2. Post the summary to Slack; once in a run unless `again`."""
        hook = self.settings.secret("slack_hook")
        return self._deliver(
            "Slack",
            wanted=self.parameters.send_to_slack,
            missing="" if hook else "slack_hook",
            again=again,
            send=lambda: notify.send_to_slack(SlackClient(hook), summary),
        )

    def send_to_thehive(self, summary: Summary, applied: Applied, *, again: bool = False) -> Delivery:
        """EN:3. Add an alert with the entries as observables; once in a run unless `again`."""
        wanted, key = self.parameters, self.settings.secret("thehive_key")
        return self._deliver(
            "TheHive",
            wanted=wanted.send_to_thehive,
            missing="thehive_key" if not key else "" if self.settings.thehive_url else "thehive_url",
            again=again,
            send=lambda: notify.send_to_thehive(
                TheHiveClient(self.settings.thehive_url, key),
                summary,
                applied,
                title=wanted.thehive_alert_title,
                reference=wanted.thehive_alert_reference,
                alert_type=wanted.thehive_alert_type,
                tlp=wanted.tlp,
                pap=wanted.pap,
            ),
        )

    def finish(self) -> display.View:
        """EN:4. See that what was appended still stands, append it again if not, and say how the run ended."""
        with self.state.step("EN:4", "End of the playbook") as step:
            self.state.finished = True
            repaired = self._look_again(step)
            outcome = self.state.outcome
            step.summary = "Everything was done." if outcome is Outcome.SUCCESS else "Failed or incomplete, see above."
            step.summary = f"{repaired} {step.summary}".strip()
            lines = [f"Outcome: {outcome}.", *filter(None, [repaired]), *self.state.problems]
            if self.state.folder is None:
                lines.append("This interactive run is not archived: the command misp-playbook run keeps a report.")
            else:
                lines.append(f"Run {self.state.run_id}.")
            if self._undo.kept:
                lines.append(f"To undo what it did to the list: misp-playbook restore {self.state.run_id}")
            return display.as_view(lines)

    def _look_again(self, step: StepRecord) -> str:
        """Append again what somebody else's write took away since IN:5, and say so."""
        if self._applied is None or self.parameters.dry_run:
            return ""
        try:
            gone = applying.append_again(self.misp, self._applied, self._undo)
        except PlaybookError as error:
            step.incomplete(f"The list was not seen to stand at the end: {error}")
            return ""
        repaired = f"{gone:,} entries had been overwritten by somebody else and were appended again." if gone else ""
        if repaired and self.state.folder:
            with (self.state.folder / "summary.md").open("a", encoding="utf-8") as summary:
                summary.write(f"\n{repaired}\n")
        return repaired

    def _deliver(
        self, service: str, *, wanted: bool, missing: str, again: bool, send: Callable[[], Delivery]
    ) -> Delivery:
        code, title = _DELIVERY_STEPS[service]
        with self.state.step(f"{code} {service}", title) as step:
            earlier = self._delivered.get(service)
            if not wanted:
                delivery = Delivery(service, DeliveryStatus.SKIPPED, "Not wanted.")
            elif earlier and not again:
                delivery = replace(earlier, detail=f"Already delivered in this run. {earlier.detail}")
            elif missing:
                delivery = Delivery(service, DeliveryStatus.FAILED, f"Not configured: {missing} is not in the vault.")
            elif self.parameters.dry_run:
                delivery = Delivery(service, DeliveryStatus.SKIPPED, "Dry run: nothing is sent.")
            else:
                try:
                    delivery = self._delivered[service] = send()
                except ServiceError as error:
                    delivery = Delivery(service, DeliveryStatus.FAILED, str(error))
            if delivery.status is DeliveryStatus.FAILED:
                step.incomplete(delivery.detail)
            elif delivery.status is DeliveryStatus.SKIPPED:
                step.skip(delivery.detail)
            step.summary = delivery.detail
            self.state.facts.setdefault("deliveries", {})[service] = asdict(delivery)
            return delivery

    def _has_secret(self, name: str) -> bool:
        return bool(self.settings.secret(name))

    def _url(self, applied: Applied) -> str:
        return f"{self.server.url}/warninglists/view/{applied.warninglist.id}" if applied.warninglist else ""

    def _not_asked(self, module: ModuleAvailability, reason: str, applied: Applied) -> LookupResults:
        lookups = tuple(
            LookupResult(entry.value, module.row.name, LookupStatus.NOT_ASKED, detail=reason)
            for entry in applied.plan.entries
        )
        return LookupResults(module.row.name, lookups)

    def _note_lookups(self, step: StepRecord, results: tuple[LookupResults, ...]) -> None:
        for result in results:
            title = module_row(result.module).title
            for lookup in result.could_not_ask:
                step.incomplete(f"{title} about {lookup.entry}: {lookup.status}, {lookup.detail}")
            self.state.facts.setdefault("lookups", {})[result.module] = facts.lookups(result)
        step.summary = " ".join(map(views.lookups_line, results))

    def _note_list(self, applied: Applied) -> None:
        self.state.facts["warninglist"] = facts.warninglist(applied, self._url(applied))


_DELIVERY_STEPS = {
    "Mattermost": ("EN:2", "Send a summary to Mattermost"),
    "Slack": ("EN:2", "Send a summary to Slack"),
    "TheHive": ("EN:3", "Send an alert to TheHive"),
}
