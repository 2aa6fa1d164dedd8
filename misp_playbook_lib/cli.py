"""The command `misp-playbook`."""

import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from traceback import format_exception
from typing import NoReturn

import click

from misp_playbook_lib import preparing
from misp_playbook_lib.errors import ParameterError, PlaybookError, SettingsError
from misp_playbook_lib.terminal import say

EXIT_CODES = """\b
Exit codes:
  0  everything was done
  1  anything else: a defect, or a kernel that died
  2  wrong parameters, settings or usage; nothing was started
  3  the run failed up to or in IN; nothing follows from it, see the message
  4  the list is as wanted, but a search, lookup, delivery or report failed or is incomplete
  130, 143  a run was interrupted by SIGINT or SIGTERM; its report says whether the list was written
"""

_run_timeout_option = click.option(
    "--run-timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="End lookups and search after so long; 0: never.  [default: an hour, and what the lookups' quota needs]",
)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="misp-playbook")
def main() -> None:
    """Run security playbooks for MISP and keep their reports."""
    try:
        Path.cwd()
    except OSError:
        _give_up(["The working directory is not there any more: change to one that is."], 2)
    # A defect's traceback quotes what it failed on.
    sys.excepthook = lambda kind, error, trace: say(
        *"".join(format_exception(kind, error, trace)).split("\n"), err=True
    )


@main.command(epilog=EXIT_CODES)
@click.argument("playbook")
@click.option("-p", "--parameter", "assignments", multiple=True, metavar="NAME=VALUE", help="Set a parameter.")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read parameters from a YAML file; -p wins over it.",
)
@click.option(
    "--vault", type=click.Path(path_type=Path, dir_okay=False), help="Use this vault, and no service variable."
)
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports"),
    show_default=True,
    help="Keep the report under this folder.",
)
@click.option("--sandbox", is_flag=True, help="Use an embedded sandbox instead of real servers.")
@_run_timeout_option
def run(
    playbook: str,
    assignments: Sequence[str],
    files: Sequence[Path],
    vault: Path | None,
    archive: Path,
    sandbox: bool,
    run_timeout: float | None,
) -> None:
    """Run PLAYBOOK, a shipped one's name or a notebook's path, and archive its report."""
    if sandbox and vault:
        raise click.UsageError("--sandbox brings its own vault: leave out --vault.")
    from misp_playbook_lib import runner  # noqa: PLC0415 - papermill takes half a second that --help need not pay
    from misp_playbook_lib.parameters import PlaybookParameters  # noqa: PLC0415
    from misp_playbook_lib.report import filing  # noqa: PLC0415
    from misp_playbook_lib.settings import learn_secrets, load_settings, without_services  # noqa: PLC0415
    from misp_playbook_lib.watch import on_signal  # noqa: PLC0415

    with _told_in_a_line():
        learn_secrets(vault, os.environ)
        notebook = runner.find_playbook(playbook)
        texts = preparing.read_texts(assignments, files)
        PlaybookParameters.from_text(texts)
        preparing.archive_left_behind(archive)
        signals: list[int] = []
        with on_signal(signals.append), preparing.sandbox_vault(sandbox) as sandbox_vault:
            used = sandbox_vault or vault
            load_settings(used, without_services(os.environ) if used else None)
            result = runner.run_playbook(
                notebook,
                texts,
                archive_folder=archive,
                vault=used,
                hermetic=bool(used),
                run_timeout=run_timeout,
                stop=lambda: signals[0] if signals else 0,
                progress=lambda step: say(f"{step.code:<16} {step.status.value:<10} {step.summary}"),
            )
        if result.archived:
            filing.write_index(archive)
    for problem in result.problems:
        say(f"! {problem}", err=True)
    report = result.folder / "report.html"
    say("", f"{result.outcome.value}: {result.message}")
    say(f"Report: {report if report.is_file() else result.folder}")
    sys.exit(result.exit_code)


@main.command()
@click.argument("run_id")
@click.option(
    "--vault", type=click.Path(path_type=Path, dir_okay=False), help="Use this vault, and no service variable."
)
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
@click.option("--resend", is_flag=True, help="Send again also what may have arrived.")
def notify(run_id: str, vault: Path | None, archive: Path, *, resend: bool) -> None:
    """Send what the archived run RUN_ID could not deliver, from the part that failed on.

    A message whose answer was lost may have arrived: it is named, and sent again with --resend only. Exits with 4 if
    anything failed again or may have arrived.
    """
    from misp_playbook_lib.settings import load_settings, without_services  # noqa: PLC0415
    from misp_playbook_lib.steps.deliver import deliver_later  # noqa: PLC0415

    with _told_in_a_line():
        settings = load_settings(vault, without_services(os.environ) if vault else None)
        delivered = deliver_later(archive, run_id, settings, resend=resend)
    for one in delivered:
        say(f"{one.service}: {one.status}. {one.detail}")
    if not delivered:
        say(f"Run {run_id} has nothing left to deliver.")
    if any(one.status.unsettled for one in delivered):
        sys.exit(4)


@main.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--jobs", type=click.IntRange(1), help="Run so many at a time.  [default: the number of cores]")
@click.option("--cluster", metavar="ADDRESS", help="Run on the workers of this Dask scheduler, as tcp://host:8786.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports"),
    show_default=True,
    help="Keep the reports under this folder.",
)
@click.option(
    "--vault", type=click.Path(path_type=Path, dir_okay=False), help="Use this vault, and no service variable."
)
@click.option("--sandbox", is_flag=True, help="Use one embedded sandbox for all runs instead of real servers.")
@click.option("--dry-run", is_flag=True, help="Write nothing, send nothing, ask no module; say what would be done.")
@click.option("--again", is_flag=True, help="Run also what this archive shows to be done.")
@_run_timeout_option
def batch(
    file: Path,
    jobs: int | None,
    cluster: str | None,
    archive: Path,
    vault: Path | None,
    sandbox: bool,
    dry_run: bool,
    again: bool,
    run_timeout: float | None,
) -> None:
    """Run a playbook once for every set of parameters in FILE, a YAML or CSV file, and archive every report.

    Every set is checked before the first run starts. The exit code is that of the worst run: 1, then 3, then 4.
    """
    if sandbox and (vault or cluster):
        raise click.UsageError(
            "--sandbox brings its own vault and is on this machine: leave out --vault and --cluster."
        )
    if cluster and jobs:
        raise click.UsageError("--jobs is for this machine: a cluster runs as many at a time as it has threads.")
    from misp_playbook_lib import batch as batches  # noqa: PLC0415
    from misp_playbook_lib.batch_file import read_batch  # noqa: PLC0415
    from misp_playbook_lib.batch_results import shown_results  # noqa: PLC0415
    from misp_playbook_lib.settings import learn_secrets  # noqa: PLC0415

    with _told_in_a_line():
        learn_secrets(vault, os.environ)
        wanted = read_batch(file, {"dry_run": "true"} if dry_run else {})
        preparing.archive_left_behind(archive)
        with preparing.sandbox_vault(sandbox) as sandbox_vault:
            used, hermetic = sandbox_vault or vault, bool(sandbox_vault or vault)
            place = batches.place(wanted, archive, jobs, cluster, used, hermetic=hermetic)
            with place as pool, shown_results(len(wanted.sets)) as tell:
                record = batches.run_batch(
                    wanted,
                    pool,
                    archive=archive,
                    vault=used,
                    hermetic=hermetic,
                    run_timeout=run_timeout,
                    again=again,
                    tell=tell,
                )
    say(*record.text().split("\n"))
    for line in record.not_run:
        say(f"! not run: {file}:{line}", err=True)
    say(f"Batch: {record.folder / 'index.html'}")
    sys.exit(record.worst.exit_code)


@main.command()
@click.argument("playbook")
def describe(playbook: str) -> None:
    """Show the parameters of PLAYBOOK with their types, defaults and help."""
    from misp_playbook_lib import parameters, runner  # noqa: PLC0415
    from misp_playbook_lib.report.tables import as_text, table  # noqa: PLC0415

    with _told_in_a_line():
        notebook = runner.find_playbook(playbook)
        columns = ("Step", "Parameter", "Type", "Default", "Help")
        say(*as_text(table(f"Parameters of {notebook.stem}", columns, parameters.describe())).split("\n"))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.option("--vault", type=click.Path(path_type=Path, dir_okay=False), help="Use this vault.")
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
@click.option("--misp-modules-url", default="", help="Look there for misp-modules, not where the vault says.")
def doctor(as_json: bool, vault: Path | None, archive: Path, misp_modules_url: str) -> None:
    """See whether everything a run needs is there; nothing is changed, nothing is posted.

    Exits with 3 if anything is in error, else with 0.
    """
    from misp_playbook_lib import doctor as checkup  # noqa: PLC0415

    checks = checkup.examine(vault, archive, misp_modules_url)
    say(*checkup.render(checks, as_json=as_json).split("\n"))
    if any(check.health is checkup.Health.ERROR for check in checks):
        sys.exit(3)


@main.command()
@click.option("--port", type=click.IntRange(0, 65530), default=0, help="MISP's port; its neighbours take those above.")
@click.option("--data", type=click.Path(path_type=Path, dir_okay=False), help="Keep MISP's state in this file.")
@click.option("--attributes", type=click.IntRange(0), default=0, help="Fill MISP with so many generated attributes.")
@click.option("--seed", type=int, default=1, show_default=True, help="The number from which they are generated.")
@click.option("--misp-modules", is_flag=True, help="Run the real misp-modules (make misp-modules installs it).")
@click.option(
    "--write-vault", type=click.Path(path_type=Path, dir_okay=False), help="Write a vault that points to the sandbox."
)
def sandbox(
    port: int, data: Path | None, attributes: int, seed: int, misp_modules: bool, write_vault: Path | None
) -> None:
    """Run an embedded MISP, misp-modules, Mattermost, Slack and TheHive on loopback until interrupted.

    Once ready it prints one line of JSON: where each is, with which key, and where what was delivered can be read.
    """
    from misp_playbook_lib.sandbox import Sandbox  # noqa: PLC0415

    with _told_in_a_line():
        if write_vault and os.path.lexists(write_vault) and not _is_sandbox_vault(write_vault):
            raise SettingsError(f"{write_vault} is not a sandbox's vault and is not overwritten: name another file.")
        try:
            running = Sandbox(port, data, attributes, seed, real_modules=misp_modules)
        except OSError as error:
            raise SettingsError(f"The sandbox cannot start: {error.strerror}; give another --port.") from None
        except sqlite3.Error as error:
            raise SettingsError(f"{data} is no database of the sandbox ({error}): name another file.") from None
    stopped = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopped.set())
    with running:
        if write_vault:
            running.write_vault(write_vault)
        click.echo(json.dumps(running.addresses()))  # with its keys, which are no secrets
        stopped.wait()


@main.command()
@click.argument("run_id")
@click.option("--force", is_flag=True, help="Restore although the list changed since; what was changed is lost.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option(
    "--vault", type=click.Path(path_type=Path, dir_okay=False), help="Use this vault, and no service variable."
)
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
def restore(run_id: str, force: bool, dry_run: bool, vault: Path | None, archive: Path) -> None:
    """Put the list back as it was before the run RUN_ID; a list that the run created is deleted.

    Shows what changes, keeps what undoes the restoring, and refuses where the list changed since. Exits with 2 if
    there is nothing of that run to restore or the vault is another server's, with 3 if it was refused or failed. What
    undoes interactive runs and restorings is kept for 90 days, of each list's last for ever.
    """
    from misp_playbook_lib.steps import restore as restoring  # noqa: PLC0415 - PyMISP takes half a second

    with _told_in_a_line():
        restoring.restore_run(archive, run_id, vault, force=force, dry_run=dry_run, tell=say)


@main.command()
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
def runs(archive: Path) -> None:
    """List the archived runs, the latest first, and what can be restored, broken off and interactive runs too."""
    from misp_playbook_lib.report import told  # noqa: PLC0415

    with _told_in_a_line():
        preparing.archive_left_behind(archive)
        say(*told.all_runs(archive).split("\n"))


@main.command()
@click.argument("run_id")
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
def show(run_id: str, archive: Path) -> None:
    """Show what came of the run RUN_ID, and its files."""
    from misp_playbook_lib.report import history, told  # noqa: PLC0415

    with _told_in_a_line():
        say(*told.one_run(history.find_run(archive, run_id)).split("\n"))


@main.command()
@click.argument("before")
@click.argument("after")
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
def diff(before: str, after: str, archive: Path) -> None:
    """Show how list and matches of the run AFTER differ from those of the run BEFORE."""
    from misp_playbook_lib.report import history, told  # noqa: PLC0415

    with _told_in_a_line():
        say(*told.two_runs(history.find_run(archive, before), history.find_run(archive, after)).split("\n"))


@main.command()
@click.option(
    "--keep", required=True, metavar="N|DAYS", help="20: the 20 latest runs of each list; 90d: 90 days' runs."
)
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
def prune(keep: str, archive: Path) -> None:
    """Remove old runs from the archive; the last good run of a list stays, however old."""
    from misp_playbook_lib.report import filing  # noqa: PLC0415

    with _told_in_a_line():
        removed = filing.prune(archive, keep)
    for run in removed:
        say(f"removed {run.run_id} {run.warninglist}")
    say(f"{len(removed):,} runs removed.")


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--type", "list_type", required=True, help="The list's type: string, substring, hostname, cidr or regex.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--accept-dangerous", is_flag=True, help="Let entries that would match nearly everything pass.")
def check(file: Path, list_type: str, as_json: bool, accept_dangerous: bool) -> None:
    """Check the entries in FILE without a server, for an editor or a pre-commit hook.

    Prints a finding a line as FILE:LINE: severity: entry: reason; remedy. Exits with 3 if any blocks a write.
    """
    from misp_playbook_lib.model.findings import blocking  # noqa: PLC0415
    from misp_playbook_lib.steps import check as checking  # noqa: PLC0415

    with _told_in_a_line():
        findings = checking.check_file(file, list_type)
    if findings or as_json:
        say(*checking.render(file, findings, as_json=as_json).split("\n"))
    if blocking([found for _, found in findings], accept_dangerous=accept_dangerous):
        sys.exit(3)


@main.command()
@click.option("--vault", type=click.Path(path_type=Path, dir_okay=False), default="vault/keys.py", show_default=True)
def init(vault: Path) -> None:
    """Ask for addresses and keys, write the vault for you alone, and see whether everything a run needs is there.

    A vault that is there already is not overwritten. Exits with 3 if anything is in error, as doctor does.
    """
    from misp_playbook_lib import doctor as checkup  # noqa: PLC0415
    from misp_playbook_lib import init as first  # noqa: PLC0415

    with _told_in_a_line():
        first.make_vault(vault)
    checks = checkup.examine(vault, Path("reports"))
    say(*checkup.render(checks, as_json=False).split("\n"))
    if any(check.health is checkup.Health.ERROR for check in checks):
        sys.exit(3)


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--case", "reference", default="", metavar="REF", help="The case's reference, for the folder's name.")
@click.option("--sandbox", is_flag=True, help="Use an embedded sandbox instead of real servers.")
@click.option("--playbook", default="create_custom_misp_warninglist", show_default=True, help="Open this playbook.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[JUPYTERLAB OPTIONS]")
def lab(reference: str, sandbox: bool, playbook: str, arguments: Sequence[str]) -> None:
    """Open JupyterLab on a copy of the playbook in cases/<date>-<REF>; the original stays as it is.

    Every other option, such as --no-browser, is handed on to JupyterLab.
    """
    from misp_playbook_lib import lab as session  # noqa: PLC0415
    from misp_playbook_lib import runner  # noqa: PLC0415

    with _told_in_a_line():
        notebook = runner.find_playbook(playbook)
        today = datetime.now().astimezone().date()
        sys.exit(session.open_lab(notebook, reference, arguments, sandbox=sandbox, today=today))


def _is_sandbox_vault(path: Path) -> bool:
    from misp_playbook_lib.given import read_given  # noqa: PLC0415
    from misp_playbook_lib.settings import VAULT_LIMIT  # noqa: PLC0415

    try:
        return b"\nsandbox = True\n" in b"\n" + read_given(path, VAULT_LIMIT)
    except OSError:
        return False


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    """Turn an error into its line and exit code: 2 for wrong parameters and settings, else 3."""
    try:
        yield
    except ParameterError as error:
        _give_up(error.problems, 2)
    except SettingsError as error:
        _give_up([str(error)], 2)
    except PlaybookError as error:
        _give_up([str(error)], 3)


def _give_up(problems: Sequence[str], exit_code: int) -> NoReturn:
    say(*(f"Error: {problem}" for problem in problems), err=True)
    sys.exit(exit_code)
