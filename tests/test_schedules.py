"""The README's schedules: each works as it stands, and a slow night does not meet the next."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from batching import Batched, batch_file, small_notebook, small_vault
from conftest import ROOT

from misp_playbook_lib.batch_file import read_batch

BLOCKS = re.findall(r"```(cron|ini)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
HOME = "/srv/misp-playbook"
HANGS = "(here / 'hangs').write_text('')\n(here / 'go').read_text()\nstep('IN:5')"


def units() -> dict[str, str]:
    """Return the systemd units of the README by their names."""
    texts = [text for kind, text in BLOCKS if kind == "ini"]
    return {Path(text.split("\n", 1)[0].lstrip("# ")).name: text for text in texts}


def setting(text: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def cron_command() -> str:
    ((_, line),) = [block for block in BLOCKS if block[0] == "cron"]
    schedule = re.fullmatch(r"(?:[\d*/,-]+ ){5}(.+)\n", line)
    assert schedule is not None
    assert "%" not in line, "cron would take it for the end of the command"
    return schedule[1]


def systemd_command() -> str:
    service = units()["misp-playbook.service"]
    return f"cd {setting(service, 'WorkingDirectory')} && exec {setting(service, 'ExecStart')}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation as the README's paths have it, whose nightly batch waits for a word to go on."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "misp-playbook").symlink_to(Path(sys.executable).parent / "misp-playbook")
    (tmp_path / "vault").mkdir()
    small_vault(tmp_path).rename(tmp_path / "vault" / "keys.py")
    batch_file(tmp_path, small_notebook(tmp_path, HANGS), [{"warninglist_name": "One"}]).rename(
        tmp_path / "nightly.yaml"
    )
    for name in ("hangs", "go"):
        os.mkfifo(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("command", [cron_command, systemd_command])
def test_a_night_runs_the_batch_and_the_next_gives_way_while_it_lasts(home: Path, command: object) -> None:
    assert callable(command)
    words = ["sh", "-c", command().replace(HOME, shlex.quote(str(home)))]
    night = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    (home / "hangs").read_text()  # until the run has come so far
    assert subprocess.run(words, check=False, capture_output=True).returncode == 75
    if command is systemd_command:
        night.send_signal(signal.SIGTERM)  # as systemd does with KillMode=mixed: to the main process alone
    else:
        (home / "go").write_text("")
    output, errors = night.communicate(timeout=60)
    ran = Batched(night.returncode, output, errors, home / "reports")
    assert ran.outcomes == (["interrupted"] if command is systemd_command else ["success"]), errors
    assert night.returncode == (1 if command is systemd_command else 0)


def test_the_units_are_ones_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here")
    for name, text in units().items():
        (tmp_path / name).write_text(text.replace(HOME, str(tmp_path)))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / name for name in units())],
        check=False,
        capture_output=True,
        text=True,
    )
    assert [line for line in verified.stderr.splitlines() if "misp-playbook" in line] == []
    assert setting(units()["misp-playbook.service"], "KillMode") == "mixed"
    calendar = setting(units()["misp-playbook.timer"], "OnCalendar")
    subprocess.run(["systemd-analyze", "calendar", calendar], check=True, capture_output=True)


def test_the_example_makes_a_run_for_each_set_and_combination() -> None:
    batch = read_batch(ROOT / "playbooks" / "examples" / "batch.yaml")
    assert [(one.warninglist, one.parameters.match_published) for one in batch.sets] == [
        ("Campaign-ZN03 hosts", True),
        ("Campaign-ZN03 hosts", False),
        ("Campaign-ZN04 hosts", True),
        ("Campaign-ZN04 hosts", False),
    ]
