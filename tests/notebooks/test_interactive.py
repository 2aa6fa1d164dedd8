"""The notebook stepped through by an analyst: parameters typed into the cell, cells run twice, no runner around."""

from pathlib import Path

import nbformat
import pytest
from conftest import PLAYBOOK
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from misp_playbook_lib.sandbox import Sandbox


class Analyst:
    """Runs cells of the notebook in a kernel, in any order."""

    def __init__(self, typed: str, folder: Path) -> None:
        self.notebook = nbformat.read(PLAYBOOK, as_version=4)
        cell = next(cell for cell in self.notebook.cells if "parameters" in cell.metadata.get("tags", []))
        cell.source += f"\n{typed}"
        self.client = NotebookClient(
            self.notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )

    def run_all(self, times: int = 1, until: str = "run.finish") -> None:
        """Run every cell down to one with these words, each so many times, before the next."""
        last = self.notebook.cells.index(self.cell(until))
        for index, cell in enumerate(self.notebook.cells[: last + 1]):
            for _ in range(times):
                self.client.execute_cell(cell, index)

    def run(self, words: str) -> None:
        """Run the cell with these words."""
        cell = self.cell(words)
        self.client.execute_cell(cell, self.notebook.cells.index(cell))

    def told(self, words: str) -> str:
        """Run the cell with these words, which fails, and return what an analyst is told."""
        with pytest.raises(CellExecutionError):
            self.run(words)
        (output,) = self.cell(words).outputs
        return "\n".join(output.traceback)

    def cell(self, words: str) -> nbformat.NotebookNode:
        return next(cell for cell in self.notebook.cells if cell.cell_type == "code" and words in cell.source)

    def shown(self, words: str) -> str:
        """Return what the cell with these words shows."""
        cell = self.cell(words)
        return "\n".join(str(output.get("data", {}).get("text/plain", "")) for output in cell.outputs)


@pytest.fixture
def typed() -> str:
    return (
        'warninglist_name = "Mine"\nwarninglist_values = ["johnshopkin.net # C2", "158.255.208.168"]\n'
        "misp_modules_wait = 0\n"
        'send_to_mattermost_option = "via a chat message"\nsend_to_thehive = True\n'
    )


@pytest.fixture(autouse=True)
def _environment(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISP_PLAYBOOK_VAULT", str(vault))


def test_run_all_from_top_to_bottom_does_what_the_runner_does(sandbox: Sandbox, typed: str, tmp_path: Path) -> None:
    analyst = Analyst(typed, tmp_path)
    with analyst.client.setup_kernel():
        analyst.run_all()
    created = sandbox.misp.warninglist("Mine")
    assert created is not None
    assert [value for value, _ in created["entries"]] == ["johnshopkin.net", "158.255.208.168"]
    assert "SANDBOX" in analyst.shown("Playbook.open")
    assert "DevilsTongue" in analyst.shown("run.retrosearch")
    assert "hk-ed[.]metercdn[.]net" in analyst.shown('run.enrich("ER:2"')
    assert "AS9009" in analyst.shown('run.enrich("ER:3"')
    assert "Outcome: success" in analyst.shown("run.finish")
    assert len(sandbox.inbox()["mattermost"]) == len(sandbox.inbox()["thehive"]) == 1


def test_every_cell_run_twice_changes_nothing_twice(sandbox: Sandbox, typed: str, tmp_path: Path) -> None:
    analyst = Analyst(typed, tmp_path)
    with analyst.client.setup_kernel():
        analyst.run_all(times=2)
    created = sandbox.misp.warninglist("Mine")
    assert created is not None
    assert len(created["entries"]) == 2
    assert created["version"] == 1
    assert "nothing was changed" in analyst.shown("run.apply")
    assert "This result was sent already" in analyst.shown("run.send_to_mattermost")
    assert len(sandbox.inbox()["mattermost"]) == len(sandbox.inbox()["thehive"]) == 1


def test_preparation_run_again_tells_nobody_of_the_same_result_twice_and_another_kernel_does(
    sandbox: Sandbox, typed: str, tmp_path: Path
) -> None:
    for told in (1, 2):
        analyst = Analyst(typed, tmp_path)
        with analyst.client.setup_kernel():
            analyst.run_all()
            analyst.run_all()
        assert "Mattermost: skipped. This result was sent already, at " in analyst.shown("run.send_to_mattermost")
        assert len(sandbox.inbox()["mattermost"]) == told
    assert not (tmp_path / "deliveries.json").exists()


def test_in_jupyterlab_a_restart_tells_nobody_of_the_same_result_twice(
    sandbox: Sandbox, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "playbook.ipynb"))  # as jupyter_server does
    analyst = Analyst(typed, tmp_path)
    with analyst.client.setup_kernel():
        analyst.run_all()
        analyst.run_all()
        assert len(sandbox.inbox()["mattermost"]) == len(sandbox.inbox()["thehive"]) == 1
    restarted = Analyst(typed, tmp_path)
    with restarted.client.setup_kernel():
        restarted.run_all()
        assert len(sandbox.inbox()["mattermost"]) == len(sandbox.inbox()["thehive"]) == 1
        assert "Mattermost: skipped. This result was sent already, at " in restarted.shown("run.send_to_mattermost")
        restarted.cell("misp_modules_url: str").source += '\nwarninglist_values.append("another.example")'
        restarted.run_all()
        assert len(sandbox.inbox()["mattermost"]) == len(sandbox.inbox()["thehive"]) == 2
    assert (tmp_path / "deliveries.json").stat().st_mode & 0o777 == 0o600


def test_a_cell_run_before_preparation_says_in_one_line_which_to_run_first(
    sandbox: Sandbox, typed: str, tmp_path: Path
) -> None:
    analyst = Analyst(typed, tmp_path)
    with analyst.client.setup_kernel():
        analyst.run("PlaybookParameters.collect")
        line = "StepOrderError: run is not there yet: run PR:1 first, and then the cells below."
        assert analyst.told("run.warninglists") == analyst.told("forms.modules") == line
        analyst.cell("Playbook.open").source += "\nnothing_of_ours"
        assert "name 'nothing_of_ours' is not defined" in analyst.told("nothing_of_ours")
    assert not [asked for asked in sandbox.misp.requests if "warninglists" in asked.path]


def test_preparation_run_on_parameters_that_were_refused_says_that_they_come_first(typed: str, tmp_path: Path) -> None:
    analyst = Analyst(typed, tmp_path)
    analyst.cell("misp_modules_url: str").source += "\ntlp = 'purple'"
    with analyst.client.setup_kernel():
        analyst.run("misp_modules_url: str")
        assert "tlp" in analyst.told("PlaybookParameters.collect")
        assert "parameters is not there yet: run the cells under Parameters first" in analyst.told("Playbook.open")


def test_a_parameters_cell_that_ran_again_is_not_passed_over(sandbox: Sandbox, typed: str, tmp_path: Path) -> None:
    analyst = Analyst(typed, tmp_path)
    with analyst.client.setup_kernel():
        analyst.run_all(until="run.plan(")
        analyst.cell("misp_modules_url: str").source += "\ndry_run = True"
        analyst.run("misp_modules_url: str")
        line = (
            "StepOrderError: The parameters cell says otherwise than when PR:1 ran: dry_run. "
            "Run the cell below it and PR:1 again, and then the cells below."
        )
        assert analyst.told("run.apply") == line
        analyst.run("Playbook.open")
        assert analyst.told("run.apply") == line
        analyst.run("PlaybookParameters.collect")
        analyst.run("Playbook.open")
        analyst.run("run.apply")
        assert "ry run" in analyst.shown("run.apply")
    assert sandbox.misp.warninglist("Mine") is None


def test_a_step_that_waits_for_the_server_shows_that_it_does(sandbox: Sandbox, typed: str, tmp_path: Path) -> None:
    analyst = Analyst(typed, tmp_path)
    sandbox.misp.faults.add(path="^/warninglists/index", kind="latency", seconds=2.5, times=1)
    with analyst.client.setup_kernel():
        for words in ("misp_modules_url: str", "PlaybookParameters.collect", "Playbook.open", "run.warninglists"):
            analyst.run(words)
    assert "IN:1: 00:0" in analyst.shown("run.warninglists")
    assert "PR:1: " not in analyst.shown("Playbook.open")


def test_an_untouched_run_all_refuses_in_one_line(sandbox: Sandbox, tmp_path: Path) -> None:
    analyst = Analyst("", tmp_path)
    with analyst.client.setup_kernel(), pytest.raises(CellExecutionError, match="name the list") as caught:
        analyst.run_all()
    assert "Traceback" not in str(caught.value.traceback)
    assert sandbox.misp.requests
    assert not [asked for asked in sandbox.misp.requests if "add" in asked.path or "edit" in asked.path]
