"""The case folder and the copy that `misp-playbook lab` opens."""

import sys
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import PLAYBOOK

from misp_playbook_lib.cli import main
from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.lab import case_folder, copy_playbook

TODAY = date(2026, 1, 31)


def test_the_folder_says_the_day_the_case_and_that_it_is_a_sandbox() -> None:
    assert case_folder("", TODAY, sandbox=False) == Path("cases/2026-01-31")
    assert case_folder("INC-7", TODAY, sandbox=False) == Path("cases/2026-01-31-INC-7")
    assert case_folder("INC-7", TODAY, sandbox=True) == Path("cases/2026-01-31-INC-7-sandbox")


@pytest.mark.parametrize("reference", ["../INC", "a/b", "a b", ".hidden", "x" * 65])
def test_a_reference_that_leads_elsewhere_is_refused(reference: str) -> None:
    with pytest.raises(ParameterError, match="--case"):
        case_folder(reference, TODAY, sandbox=False)


def test_the_copy_has_its_picture_and_is_its_owners_alone(tmp_path: Path) -> None:
    copy = copy_playbook(PLAYBOOK, tmp_path / "case")
    assert copy.read_bytes() == PLAYBOOK.read_bytes()
    assert list((tmp_path / "case" / "assets").glob("*.svg"))
    assert (tmp_path / "case").stat().st_mode & 0o777 == 0o700


def test_a_copy_that_is_worked_on_is_gone_on_with(tmp_path: Path) -> None:
    copy = copy_playbook(PLAYBOOK, tmp_path)
    copy.write_text("worked on")
    assert copy_playbook(PLAYBOOK, tmp_path).read_text() == "worked on"


def test_without_jupyterlab_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    result = CliRunner().invoke(main, ["lab"])
    assert result.exit_code == 2
    assert "pip install 'misp-playbook[lab]'" in result.output
    assert not Path("cases").exists()
