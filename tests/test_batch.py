"""A batch on this machine: runs that do not touch each other, what is done skipped, an end in order."""

import multiprocessing
import os
import pty
import re
import signal
import termios
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from batching import Batched, batch_file, batched, ended, small_notebook, small_vault, started
from conftest import PLAYBOOK

from misp_playbook_lib.batch_file import read_batch
from misp_playbook_lib.batch_results import DONE_BEFORE, NOT_RUN, BatchRecord, BatchRow, digest, done_before
from misp_playbook_lib.batch_run import safe_to_repeat
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.sandbox import Sandbox

NAMES = ("One", "Two", "Three")
HANGS = """
step('IN:4')
if warninglist_name == 'Two':
    with state.step('IN:5', 'A step'):
        (here / 'hangs').write_text('')
        threading.Event().wait()
"""
ONCE = "(here / 'died').mkdir(); os.kill(os.getppid(), signal.SIGKILL); threading.Event().wait()"
DIES_ONCE = f"if warninglist_name == 'Two' and not (here / 'died').exists():\n    {ONCE}\nstep('IN:5')"


def sets(*names: str, **texts: object) -> list[dict[str, object]]:
    return [{"warninglist_name": name, **texts} for name in names or NAMES]


def small(folder: Path, code: str, *more: str, runs: list[dict[str, object]] | None = None) -> Batched:
    file = batch_file(folder, small_notebook(folder, code), runs or sets())
    return batched(folder, file, "--vault", str(small_vault(folder)), *more)


def test_the_real_playbook_runs_for_every_set_and_tells_the_worst(
    sandbox: Sandbox, vault: Path, tmp_path: Path
) -> None:
    built_in = sandbox.misp.add_warninglist("Shipped", "string", "known", [("a.example", "")], ["ALL"], default=True)
    runs = [*sets("One", "Two", warninglist_values=["a.example"]), {"warninglist_id": built_in, "tlp": "red"}]
    runs[2]["warninglist_values"] = "b.example"
    ran = batched(
        tmp_path, batch_file(tmp_path, PLAYBOOK, runs, defaults={"enrich_with": []}), "--vault", str(vault), "--jobs=2"
    )
    assert ran.exit_code == 3, ran.output
    assert ran.outcomes == ["success", "success", "failed"]
    assert all(sandbox.misp.warninglist(name) for name in ("One", "Two"))
    rows = [line.split("|")[1:-1] for line in ran.output.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in rows[0]] == ["List", "Outcome", "Entries", "Matches", "Failures", "Report"]
    assert [cell.strip() for cell in rows[1]][:5] == ["One", "success, created", "1", "0", "0"]
    assert [cell.strip() for cell in rows[3]][:2] == [f"ID {built_in}", "failed"]
    assert all(Path(row[5].strip()).is_file() for row in rows[1:])
    assert "ships with MISP" in ran.output


def test_a_bad_set_among_good_ones_stops_before_anything_ran(tmp_path: Path) -> None:
    ran = small(tmp_path, "step('IN:5')", runs=[*sets(), {"warninglist_name": "Four", "tlp": "pink"}])
    assert ran.exit_code == 2
    assert ran.errors == f"Error: {tmp_path / 'runs.yaml'}:1: tlp is none of clear, green, amber, amber+strict, red\n"
    assert not ran.archive.exists()


def test_a_vault_that_cannot_be_read_stops_before_anything_ran(tmp_path: Path) -> None:
    file = batch_file(tmp_path, small_notebook(tmp_path), sets())
    ran = batched(tmp_path, file, "--vault", str(tmp_path / "absent.py"))
    assert ran.exit_code == 2
    assert "absent.py cannot be read" in ran.errors
    assert not ran.archive.exists()


def test_one_run_that_breaks_leaves_the_others_alone_and_each_is_told_as_it_comes(tmp_path: Path) -> None:
    ran = small(tmp_path, "assert warninglist_name != 'Two'\nstep('IN:5')", "--jobs=1")
    assert ran.exit_code == 1
    assert ran.outcomes == ["success", "crashed", "success"]
    assert "AssertionError" in ran.record["runs"][1]["message"]
    told = [line.split()[:2] for line in ran.output.splitlines()[:3]]
    assert told == [["success", "One:"], ["crashed", "Two:"], ["success", "Three:"]]
    assert ran.errors == "", "a bar was drawn where nobody watches"


def test_a_worker_that_is_killed_costs_one_attempt_of_one_run(tmp_path: Path) -> None:
    ran = small(tmp_path, DIES_ONCE, "--jobs=2")
    assert ran.exit_code == 0, ran.output
    assert ran.outcomes == ["success"] * 3
    (dead,) = ran.record["runs"][1]["figures"]["died"]
    message = "the process that ran it died. The list Two: not written."
    assert [one["message"] for one in ran.manifests if one["run_id"] == dead] == [message]
    assert [one["outcome"] for one in ran.manifests].count("success") == 3
    assert list((ran.archive / ".incomplete").iterdir()) == []


def test_a_run_whose_worker_died_after_messages_may_have_gone_is_not_tried_again(tmp_path: Path) -> None:
    code = f"step('EN:1')\nif not (here / 'died').exists():\n    {ONCE}"
    ran = small(tmp_path, code, runs=sets("One", send_to_slack="yes"))
    assert ran.exit_code == 1
    assert ran.outcomes == ["crashed"]
    assert ran.record["runs"][0]["message"] == "the process that ran it died. The list One: not written."
    assert [step["step"] for step in ran.manifests[0]["steps"]] == ["EN:1"]
    assert len(ran.manifests) == 1


def test_a_run_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    ran = small(tmp_path, "os.kill(os.getppid(), signal.SIGKILL); threading.Event().wait()", runs=sets("One"))
    assert ran.exit_code == 1
    assert ran.outcomes == ["crashed"]
    assert [one["outcome"] for one in ran.manifests] == ["crashed", "crashed"]


@pytest.mark.parametrize(
    ("given", "steps", "safe"),
    [
        ({"send_to_slack": True}, ["IN:5"], True),
        ({"send_to_slack": True}, ["IN:5", "EN:1"], False),
        ({"send_to_slack": True, "dry_run": True}, ["IN:5", "EN:1"], True),
        ({}, ["IN:5", "EN:1"], True),
        ({"send_to_thehive": True}, ["EN:1"], False),
        ({"send_to_mattermost_option": "via a chat message"}, ["EN:1"], False),
    ],
)
def test_only_a_message_that_may_have_gone_forbids_a_second_attempt(
    given: dict[str, object], steps: list[str], safe: bool
) -> None:
    parameters = PlaybookParameters.model_validate({"warninglist_name": "One", **given}).model_dump()
    assert safe_to_repeat({"parameters": parameters, "steps": [{"step": code} for code in steps]}) is safe


@pytest.mark.parametrize("where", ["the command", "the file"])
def test_a_run_that_hangs_is_ended_with_its_report_and_says_where_it_hung(tmp_path: Path, where: str) -> None:
    keys, words = ({}, ["--run-timeout=4"]) if where == "the command" else ({"run_timeout": 4}, [])
    file = batch_file(tmp_path, small_notebook(tmp_path, HANGS), sets("Two"), **keys)
    ran = batched(tmp_path, file, "--vault", str(small_vault(tmp_path)), *words)
    assert ran.exit_code == 1
    assert ran.outcomes == ["crashed"]
    row = ran.record["runs"][0]
    assert "longer than its run_timeout of 4 seconds" in row["message"]
    assert "IN:5 A step" in row["message"]
    assert "run_timeout" in (ran.archive / row["figures"]["folder"] / "report.html").read_text()


def test_a_run_that_will_not_be_interrupted_is_killed(tmp_path: Path) -> None:
    code = "while True:\n    try:\n        threading.Event().wait()\n    except KeyboardInterrupt:\n        pass"
    ran = small(tmp_path, code, "--run-timeout=3", runs=sets("One"))
    assert ran.outcomes == ["crashed"]
    assert "the kernel died" in ran.record["runs"][0]["message"]


def test_the_same_batch_again_runs_only_what_is_not_done(tmp_path: Path) -> None:
    code = "(here / f'{warninglist_name}-{os.getpid()}').mkdir()\nassert warninglist_name != 'Two'\nstep('IN:5')"
    first = small(tmp_path, code, runs=sets("One", "Two"))
    assert first.outcomes == ["success", "crashed"]
    second = small(tmp_path, code, runs=sets("One", "Two"))
    assert second.outcomes == [DONE_BEFORE, "crashed"]
    assert second.record["runs"][0]["figures"]["run_id"] == first.record["runs"][0]["figures"]["run_id"]
    small(tmp_path, code, "--again", runs=sets("One"))
    assert [len(list(tmp_path.glob(f"{name}-*"))) for name in ("One", "Two")] == [2, 2]


def test_a_run_counts_as_done_while_the_archive_still_holds_it(tmp_path: Path) -> None:
    ran = small(tmp_path, "step('IN:5')", runs=sets("One"))
    (row,) = ran.record["runs"]
    assert list(done_before(ran.archive, [row["digest"], "other"])) == [row["digest"]]
    (ran.archive / row["figures"]["folder"] / "run.json").unlink()
    assert done_before(ran.archive, [row["digest"]]) == {}


def test_a_run_is_the_same_with_the_same_playbook_parameters_file_of_values_and_server(tmp_path: Path) -> None:
    values = tmp_path / "values.txt"

    def asked(code: str, where: str, content: str, **texts: object) -> str:
        values.write_text(content)
        runs = sets("One", warninglist_values_file=str(values), **texts)
        batch = read_batch(batch_file(tmp_path, small_notebook(tmp_path, code), runs))
        return digest(batch.sets[0], batch.notebook, where)

    first = asked("step('IN:5')", "https://misp.example", "a.example")
    assert asked("step('IN:5')", "https://misp.example", "a.example", tlp="amber") == first
    others = [
        asked("step('IN:6')", "https://misp.example", "a.example"),
        asked("step('IN:5')", "https://other.example", "a.example"),
        asked("step('IN:5')", "https://misp.example", "b.example"),
        asked("step('IN:5')", "https://misp.example", "a.example", tlp="red"),
    ]
    assert len({first, *others}) == 5


def test_runs_of_one_list_go_one_after_another_in_the_order_of_the_file(tmp_path: Path) -> None:
    code = (
        "(here / 'busy').mkdir()\n"
        "with (here / 'log').open('a') as log: log.write(tlp + '\\n')\n"
        "threading.Event().wait(0.5)\n(here / 'busy').rmdir()\nstep('IN:5')"
    )
    ran = small(tmp_path, code, "--jobs=2", runs=[*sets("One", tlp="red"), *sets("One", tlp="green")])
    assert ran.outcomes == ["success", "success"], ran.output
    assert (tmp_path / "log").read_text().split() == ["red", "green"]


def test_two_batches_that_append_to_one_list_lose_nothing(sandbox: Sandbox, vault: Path, tmp_path: Path) -> None:
    sandbox.misp.add_warninglist("Shared", "string", "known", [("start.example", "")], ["ALL"])
    batches = []
    for batch, values in {"a": ["a1.example", "a2.example"], "b": ["b1.example"]}.items():
        folder = tmp_path / batch
        folder.mkdir()
        runs = [{"warninglist_name": "Shared", "warninglist_values": value} for value in values]
        file = batch_file(folder, PLAYBOOK, runs, defaults={"enrich_with": []})
        batches.append((folder, started(folder, file, "--vault", str(vault), "--jobs=1")))
    for folder, process in batches:
        assert set(ended(folder, process).outcomes) == {"success"}
    shared = sandbox.misp.warninglist("Shared")
    assert shared is not None
    assert {value for value, _ in shared["entries"]} == {"start.example", "a1.example", "a2.example", "b1.example"}


def test_all_runs_of_a_key_have_one_quota(sandbox: Sandbox, vault: Path, tmp_path: Path) -> None:
    vault.write_text(vault.read_text().replace("virustotal_calls_per_day = 0", "virustotal_calls_per_day = 6"))
    runs = [
        {"warninglist_name": name, "warninglist_values": [f"{part}{number}" * 16 for number in range(4)]}
        for name, part in (("One", "a"), ("Two", "b"))
    ]
    keys = {"enrich_with": ["virustotal_public"]}
    ran = batched(tmp_path, batch_file(tmp_path, PLAYBOOK, runs, defaults=keys), "--vault", str(vault), "--jobs=2")
    assert ran.outcomes == ["partial", "partial"], ran.output
    questions = [request for request in sandbox.modules.requests if request.path == "/query"]
    # Four calls are kept for a hash, one is made for an unknown one: after three, six a day leave no room.
    assert 1 <= len(questions) <= 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_batch_with_what_was_done_archived_and_the_rest_named(
    tmp_path: Path, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "hangs")
    file = batch_file(tmp_path, small_notebook(tmp_path, HANGS), sets())
    process = started(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--jobs=1")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("success     One")
    family = psutil.Process(process.pid)
    (tmp_path / "hangs").read_text()  # until the run has come so far
    children = family.children(recursive=True)
    process.send_signal(number)
    ran = ended(tmp_path, process)
    assert ran.exit_code == 1
    assert ran.outcomes == ["success", "crashed", NOT_RUN]
    assert "the batch was interrupted" in ran.record["runs"][1]["message"]
    assert f"! not run: {file}:1: Three\n" in ran.errors
    assert sorted(one["outcome"] for one in ran.manifests) == ["crashed", "success"]
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    assert list((ran.archive / ".incomplete").iterdir()) == []


WAITS = """
import os, sys
if "--multiprocessing-fork" in sys.orig_argv:
    open({spawned!r}, "w").write("!\\n")
    open({go!r}).close()
"""


def test_a_signal_while_a_process_is_being_started_ends_the_batch_as_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned, go = tmp_path / "spawned", tmp_path / "go"
    for path in (spawned, go):
        os.mkfifo(path)
    (tmp_path / "sitecustomize.py").write_text(WAITS.format(spawned=str(spawned), go=str(go)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    file = batch_file(tmp_path, small_notebook(tmp_path), sets())
    process = started(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--jobs=1")
    with spawned.open() as reader:
        reader.readline()  # until it has come so far
        for one in (*psutil.Process(process.pid).children(), process):  # as a terminal does
            one.send_signal(signal.SIGINT)
        opened = os.open(go, os.O_RDWR)  # which waits for nobody
        ran = ended(tmp_path, process)
        os.close(opened)
    assert (ran.exit_code, ran.outcomes) == (1, [NOT_RUN] * 3)
    assert ran.errors == "".join(f"! not run: {file}:1: {name}\n" for name in NAMES)


def test_a_batch_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs")
    file = batch_file(tmp_path, small_notebook(tmp_path, HANGS), sets("Two"))
    process = started(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--jobs=1")
    family = psutil.Process(process.pid)
    (tmp_path / "hangs").read_text()  # until the run has come so far
    children = family.children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_nothing_is_left_over_when_a_batch_is_done(tmp_path: Path) -> None:
    multiprocessing.resource_tracker.ensure_running()
    this = psutil.Process()
    small(tmp_path, "step('IN:5')", runs=sets("Zero"))
    threads, descriptors, children = threading.active_count(), this.num_fds(), len(this.children(recursive=True))
    small(tmp_path, DIES_ONCE, "--jobs=2")
    assert (threading.active_count(), len(this.children(recursive=True))) == (threads, children)
    assert this.num_fds() <= descriptors
    assert [path.name for path in sorted((tmp_path / "reports" / "batches").glob("*/*"))] == [
        "batch.json",
        "index.html",
    ] * 2


def test_batch_json_and_page_say_what_came_of_each_set_and_show_hostile_names_as_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    ran = small(tmp_path, "step('IN:5')", runs=sets(name))
    assert (ran.record["exit_code"], ran.record["playbook"], ran.record["server"]) == (0, "small", "sandbox")
    (row,) = ran.record["runs"]
    assert (row["line"], row["warninglist"], row["outcome"]) == (1, name, "success")
    figures = {name: row["figures"][name] for name in ("change", "entries", "matches", "failures", "report")}
    assert figures == {"change": "updated", "entries": 3, "matches": None, "failures": 0, "report": True}
    page = (ran.folders[0] / "index.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    (link,) = re.findall(r'href="([^"]+)"', page)
    assert (ran.folders[0] / link).resolve() == ran.archive / row["figures"]["folder"] / "report.html"
    assert ran.folders[0].stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in ran.folders[0].iterdir()} == {
        "batch.json": 0o600,
        "index.html": 0o600,
    }


def test_the_archives_index_leads_to_the_batch_and_to_every_run_of_it(tmp_path: Path) -> None:
    ran = small(tmp_path, "assert warninglist_name != 'Two'\nstep('IN:5')", "--jobs=2")
    page = (ran.archive / "index.html").read_text()
    for row in ran.record["runs"]:
        assert f'href="{row["figures"]["folder"]}/report.html"' in page
    assert f'href="batches/{ran.folders[0].name}/index.html"' in page
    assert "✗ crashed</td><td>2 success, 1 crashed</td><td>runs.yaml</td>" in page


def test_who_watches_sees_how_far_the_batch_is(tmp_path: Path) -> None:
    file = batch_file(tmp_path, small_notebook(tmp_path), sets("One", "Two"))
    terminal, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    process = started(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--jobs=1", stderr=theirs)
    os.close(theirs)
    assert ended(tmp_path, process).outcomes == ["success"] * 2
    with open(terminal, "rb", buffering=0) as shown:  # noqa: PTH123 - a descriptor
        drawn = shown.read(1 << 16).decode()
    assert [part for part in ("0/2", "1/2", "2/2") if part in drawn] == ["0/2", "1/2", "2/2"]


def test_a_dry_run_writes_nothing(sandbox: Sandbox, vault: Path, tmp_path: Path) -> None:
    file = batch_file(tmp_path, PLAYBOOK, sets("One", warninglist_values="a.example", enrich_with=[]))
    ran = batched(tmp_path, file, "--vault", str(vault), "--dry-run")
    assert ran.exit_code == 0, ran.output
    assert sandbox.misp.warninglist("One") is None
    assert "not written" in ran.output


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["success", DONE_BEFORE], 0),
        (["success", "partial"], 4),
        (["partial", "failed"], 3),
        (["failed", "crashed"], 1),
        (["success", NOT_RUN], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst_run(tmp_path: Path, outcomes: list[str], code: int) -> None:
    batch = read_batch(batch_file(tmp_path, "create_custom_misp_warninglist", sets("One")))
    row = BatchRow(1, 1, "One", "")
    rows = [replace(row, outcome=outcome) for outcome in outcomes]
    assert BatchRecord(tmp_path, tmp_path, batch, "sandbox", rows).worst.exit_code == code


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--sandbox", "--vault", "x"], "--sandbox brings its own vault"),
        (["--sandbox", "--cluster", "tcp://127.0.0.1:1"], "leave out --vault and --cluster"),
        (["--jobs", "2", "--cluster", "tcp://127.0.0.1:1"], "--jobs is for this machine"),
        (["--jobs", "0"], "0 is not in the range"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path: Path, words: list[str], problem: str) -> None:
    ran = batched(tmp_path, batch_file(tmp_path, PLAYBOOK, sets()), *words)
    assert ran.exit_code == 2
    assert problem in " ".join(ran.errors.split())
