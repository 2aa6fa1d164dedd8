"""The open run of *Create a custom MISP warninglist*: one method a step, each returns what the next works on."""

import os
import uuid
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from misp_playbook_lib.clients.deadline import beyond_deadline
from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.clients.misp_modules import MispModulesClient
from misp_playbook_lib.errors import PlaybookError, ServiceError, SettingsError
from misp_playbook_lib.model.indicators import RECOGNITION_RULES
from misp_playbook_lib.model.modules import (
    Lookups,
    ModulesFound,
    availability,
)
from misp_playbook_lib.model.plan import WarninglistAction, WarninglistPlan, plan
from misp_playbook_lib.model.results import (
    Applied,
    ApplyOutcome,
    CorrelationResult,
    Delivery,
    LookupResults,
    Published,
    Scope,
)
from misp_playbook_lib.model.selection import Selection, select
from misp_playbook_lib.model.values import ValuesRead
from misp_playbook_lib.model.warninglist import (
    WarninglistCategory,
    WarninglistRows,
    WarninglistSpec,
    WarninglistType,
)
from misp_playbook_lib.open_run import OpenRun
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report import display, exports, facts, undo, views
from misp_playbook_lib.report.correlation import impact_line, matches_line
from misp_playbook_lib.report.progress import shown_count, shown_progress, shown_waiting
from misp_playbook_lib.report.summary import TITLE, Summary, summarise
from misp_playbook_lib.report.tables import table
from misp_playbook_lib.report.written import telling
from misp_playbook_lib.settings import RUN_DIR_VARIABLE, Settings, load_settings
from misp_playbook_lib.state import Outcome, RunState, StepRecord
from misp_playbook_lib.steps import apply as applying
from misp_playbook_lib.steps.entries import read_values, refuse_findings
from misp_playbook_lib.steps.order import in_order
from misp_playbook_lib.steps.read_back import set_enabled
from misp_playbook_lib.steps.retrosearch import impact, retrosearch
from misp_playbook_lib.steps.run_time import RunTime

PUBLISHED = {True: Published.YES, False: Published.NO, None: Published.BOTH}


class Playbook(OpenRun):
    """The steps of an open run. Make one with `Playbook.open`."""

    def __init__(self, parameters: PlaybookParameters, settings: Settings, misp: MispClient, state: RunState) -> None:
        super().__init__(parameters, settings, misp, state)
        self._undo = undo.UndoRecord(state.folder or undo.interactive_folder(state.run_id), misp.server.url)
        self._applied: Applied | None = None
        self._results: dict[str, LookupResults] = {}

    @classmethod
    def open(cls, parameters: PlaybookParameters) -> "Playbook":
        """PR:1. Read the vault, connect to MISP, and see who we are there.

        Raises:
            ParameterError: a parameter holds a secret of the vault.
            SettingsError: the vault is missing or malformed.
            ServiceError: MISP cannot be reached or does not accept the key.

        """
        display.register()
        folder = os.environ.get(RUN_DIR_VARIABLE)
        run_time = RunTime(Path(folder) if folder else None)
        run_id = Path(folder).name if folder else f"interactive-{uuid.uuid4().hex[:8]}"
        started = datetime.now(UTC).isoformat(timespec="seconds")
        state = RunState(run_id, Path(folder) if folder else None, started=started)
        waiting = shown_waiting("PR:1", quiet=bool(folder))
        with state.step("PR:1", "Initialise environment") as step, waiting:
            settings = load_settings()
            parameters = parameters.edited({})  # checked again, for the vault's secrets are known from here on
            state.facts["server"] = {"url": settings.misp_url, "sandbox": settings.sandbox}
            misp = MispClient(settings)
            state.facts["server"] = asdict(misp.server)
            display.link(misp.server.url, archived=state.folder is not None)
            step.summary = misp.server.line
        opened = cls(parameters, settings, misp, state)
        opened._lookups.need = run_time.add_lookups
        opened._go_on()
        return opened

    @in_order("PR:2")
    def find_modules(self) -> ModulesFound:
        """PR:2. Look for the wanted modules on the module server; what is absent is skipped later.

        Raises:
            SettingsError: `misp_modules_url` leaves the sandbox.

        """
        wanted = self.parameters.enrich_with
        with self.state.step("PR:2", "Verify MISP modules") as step:
            url = self.settings.modules_url(self.parameters.misp_modules_url)
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
            for module in found.modules:
                if module.configured and not module.usable:
                    remedy = "enable it there, or take it out of enrich_with"
                    step.incomplete(f"{module.row.name}: {module.detail}; {remedy} ({url}).")
            return found

    def recognition_rules(self) -> display.View:
        """PR:3. Show by what an entry's type is recognised."""
        with self.state.step("PR:3", "Set helper variables") as step:
            step.summary = f"{len(RECOGNITION_RULES)} rules."
            rules = table("How an entry's type is recognised", ("Type", "Recognised by", "Example"), RECOGNITION_RULES)
            return display.as_view([rules])

    @in_order("IN:1")
    def warninglists(self) -> WarninglistRows:
        """IN:1. Return the server's lists."""
        with self.state.step("IN:1", "MISP warninglists") as step:
            rows = self.misp.warninglists()
            step.summary = f"{len(rows)} lists on the server."
            self._export(exports.WARNINGLISTS, exports.warninglists(rows))
            return WarninglistRows(rows)

    @in_order("IN:2")
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

    @in_order("IN:3")
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

    @in_order("IN:4 values")
    def read_values(self, selection: Selection, details: WarninglistSpec) -> ValuesRead:
        """IN:4. Gather the entries from parameter, file and event, correct and check them.

        Raises:
            PlaybookError: a file or an event cannot be read, and why.

        """
        wanted, current = self.parameters, selection.current
        with self.state.step("IN:4 values", "MISP warninglist values") as step:
            values = read_values(
                self.misp,
                details.type or (current.type if current else WarninglistType.STRING),
                details.matching_attributes or (current.matching_attributes if current else ()),
                current,
                lines=wanted.warninglist_values,
                file=wanted.warninglist_values_file,
                event=wanted.warninglist_values_event,
                removing=wanted.warninglist_values_action == WarninglistAction.REMOVE,
            )
            self.state.facts["values"] = facts.values(values)
            self._export(exports.VALUES, exports.values(values))
            step.summary = views.values_line(values)
            return values

    @in_order("IN:4")
    def plan(self, selection: Selection, details: WarninglistSpec, values: ValuesRead) -> WarninglistPlan:
        """IN:4. Work out what would change; nothing is sent.

        Raises:
            WarninglistError: the plan could not be carried out, and why.

        """
        with self.state.step("IN:4", "MISP warninglist values") as step:
            spec = replace(details, entries=values.entries, findings=values.findings)
            planned = plan(spec, selection.current, WarninglistAction(self.parameters.warninglist_values_action))
            applying.check_writable(self.misp, planned)
            expected = impact(self.misp, planned)
            planned = replace(planned, impact=expected)
            step.summary = f"{views.plan_line(planned)} {impact_line(expected)}"
            if self._undo.planned(planned):
                step.summary += f" Every change: {undo.DIFF} in the run folder."
            return planned

    @in_order("IN:5")
    def apply(self, planned: WarninglistPlan) -> Applied:
        """IN:5. Create or update the list, and read it back.

        Raises:
            PlaybookError: it was not written, not as planned, or not seen; the message says which.

        """
        with self.state.step("IN:5", "Create or update the MISP warninglist") as step:
            if planned.changes:
                refuse_findings(planned.spec.findings, accept_dangerous=self.parameters.accept_dangerous)
                self._undo.require_space(planned)
            applied = applying.apply(self.misp, planned, self._undo, dry_run=self.parameters.dry_run)
            self._applied = applied
            if applied.outcome is ApplyOutcome.UNCHANGED:
                step.skip(views.done_line(applied))
            step.summary = views.done_line(applied)
            self._note_list(applied)
            return applied

    @in_order("IN:6")
    def enable(self, applied: Applied) -> Applied:
        """IN:6. Enable the list if that is wanted and it is not.

        Raises:
            PlaybookError: it was not enabled, or not seen to be; the message says which.

        """
        with self.state.step("IN:6", "Enable the MISP warninglist") as step:
            if not self.parameters.warninglist_enable:
                step.skip("Not wanted (warninglist_enable is False).")
            elif applied.warninglist is not None and applied.warninglist.enabled:
                step.skip("The list is enabled already.")
            elif self.parameters.dry_run:
                step.skip("Dry run: the list would be enabled.")
            elif applied.warninglist is not None:
                # A list that was written is not left disabled.
                with beyond_deadline(), telling(self._undo, applied.plan.name):
                    enabled = set_enabled(self.misp, applied.warninglist, self._undo, enabled=True)
                applied = replace(applied, warninglist=enabled)
                step.summary = "The list is enabled."
                self._note_list(applied)
            return applied

    @in_order("IN:7")
    def link(self, applied: Applied) -> display.Link | display.View:
        """IN:7. Link to the list in MISP."""
        with self.state.step("IN:7", "View the warninglist in MISP") as step:
            url = self._url(applied)
            if not url:
                step.skip("Dry run: there is no list to link to.")
                return display.as_view([step.summary])
            step.summary = url
            return display.Link(url, f"Warninglist {applied.plan.name} in MISP")

    @in_order("ER:1", counts=True)
    def retrosearch(self, applied: Applied) -> CorrelationResult:
        """ER:1. Find the attributes in MISP that the list's entries hit, and say on which MISP warns."""
        wanted = self.parameters
        with self.state.step("ER:1", "Query MISP") as step:
            listed = applied.warninglist
            enabled = wanted.warninglist_enable if listed is None or wanted.dry_run else listed.enabled
            with shown_count("Retro-search", quiet=self.state.folder is not None) as show:
                result = retrosearch(
                    self.misp,
                    applied.plan,
                    Scope(PUBLISHED[wanted.match_published], tuple(wanted.match_tags), wanted.since),
                    enabled=enabled,
                    max_attributes=wanted.scan_max_attributes,
                    progress=show,
                    watched=not self.unattended,
                )
            for reason in result.incomplete:
                step.incomplete(reason)
            step.summary = matches_line(result)
            self._export(exports.MATCHES, exports.matches(result.matches))
            self.state.facts["matches"] = facts.matches(result)
            self.state.facts["search"] = facts.search(result)
            return result

    @in_order("ER:1 lookups", counts=True)
    def start_lookups(self, modules: ModulesFound, applied: Applied) -> None:
        """Begin to ask the modules, beside the retro-search; `enrich` collects what they answer."""
        self._lookups.start(modules, applied.plan)

    @in_order(counts=True)
    def enrich(self, code: str, modules: ModulesFound, applied: Applied) -> Lookups:
        """ER:2, ER:3. Collect what the modules that belong to a step know about the entries."""
        with self.state.step(code, {"ER:2": "Query VirusTotal", "ER:3": "Query Shodan"}[code]) as step:
            try:
                with shown_progress(quiet=self.state.folder is not None) as show:
                    results = self._lookups.collect(code, modules, applied.plan, show)
            except SettingsError as error:
                step.incomplete(f"No module was asked: {error}")
                results = ()
            self._note_lookups(step, results)
            return Lookups(results)

    @in_order("EN:1")
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
                run_id=self.state.run_id,
                archived=self.state.folder is not None,
            )
            step.summary = f"{len(summary.markdown):,} characters of Markdown."
            if self.state.folder:
                (self.state.folder / "summary.md").write_text(summary.markdown, encoding="utf-8")
            return summary

    @in_order("EN:2 Mattermost")
    def send_to_mattermost(self, summary: Summary, *, again: bool = False) -> Delivery:
        """EN:2. Post the summary to Mattermost, as the option says; each result once unless `again`."""
        return self._deliveries.deliver("Mattermost", summary, again=again)

    @in_order("EN:2 Slack")
    def send_to_slack(self, summary: Summary, *, again: bool = False) -> Delivery:
        """EN:2. Post the summary to Slack; each result once unless `again`."""
        return self._deliveries.deliver("Slack", summary, again=again)

    @in_order("EN:3")
    def send_to_thehive(self, summary: Summary, *, again: bool = False) -> Delivery:
        """EN:3. Add an alert with the entries as observables; each result once unless `again`."""
        return self._deliveries.deliver("TheHive", summary, again=again)

    @in_order("EN:4", also="_applied")
    def finish(self) -> display.View:
        """EN:4. See that what was appended still stands, append it again if not, and say how the run ended."""
        with self.state.step("EN:4", "End of the playbook") as step:
            self.state.finished = True
            with shown_waiting("EN:4", quiet=self.unattended), beyond_deadline():
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
            repaired = applying.append_again(self.misp, self._applied, self._undo)
        except PlaybookError as error:
            step.incomplete(f"The list was not seen to stand at the end: {error}")
            return ""
        if repaired and self.state.folder:
            with (self.state.folder / "summary.md").open("a", encoding="utf-8") as summary:
                summary.write(f"\n{repaired}\n")
        return repaired

    def _has_secret(self, name: str) -> bool:
        return bool(self.settings.secret(name))

    def _url(self, applied: Applied) -> str:
        return f"{self.server.url}/warninglists/view/{applied.warninglist.id}" if applied.warninglist else ""

    def _note_lookups(self, step: StepRecord, results: tuple[LookupResults, ...]) -> None:
        self._results |= {result.module: result for result in results}
        self._export(exports.ENRICHMENTS, exports.enrichments(self._results.values()))
        for result in results:
            for problem in views.lookup_problems(result):
                step.incomplete(problem)
            self.state.facts.setdefault("lookups", {})[result.module] = facts.lookups(result)
        step.summary = " ".join(map(views.lookups_line, results))
        if not step.problems and not any(result.asked or result.cached for result in results):
            step.skip(step.summary or "No module is wanted.")

    def _note_list(self, applied: Applied) -> None:
        self.state.facts["warninglist"] = facts.warninglist(applied, self._url(applied))
        self._export(exports.WARNINGLIST, exports.warninglist(applied.warninglist or applied.plan.result))

    def _export(self, name: str, text: str) -> None:
        """Leave a file in the run folder, if there is one."""
        if self.state.folder:
            with (self.state.folder / name).open("w", encoding="utf-8", newline="", errors="replace") as file:
                file.write(text)
