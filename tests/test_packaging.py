"""What a user installs: one set of bounds, a wheel that carries the playbook, an import that costs nothing."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from conftest import ROOT


def bounds(requirements: list[str]) -> dict[str, str]:
    pairs = (re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(>=.+)", text) for text in requirements)
    return {match[1].lower(): match[2] for match in pairs if match}


def test_environment_yml_and_pyproject_have_the_same_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    named = bounds([entry for entry in conda if isinstance(entry, str)] + pip)
    assert named == {**bounds(project["dependencies"]), "python": project["requires-python"]}
    assert all(bound for bound in bounds(project["dependencies"]).values())


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert len(bounds(named)) == len(set(named))


def test_every_package_that_is_imported_is_named_with_its_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = bounds(project["dependencies"] + project["optional-dependencies"]["cluster"]).keys()
    imported = set()
    for path in (ROOT / "misp_playbook_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    others = imported - sys.stdlib_module_names - {"misp_playbook_lib", "misp_modules"}  # in an environment of its own
    homes = metadata.packages_distributions()
    assert [name for name in sorted(others) if not named & {home.lower() for home in homes[name]}] == []


@pytest.mark.parametrize("heavy", ["pymisp", "papermill", "ipywidgets", "matplotlib", "nbconvert", "IPython"])
def test_importing_the_package_pulls_in_nothing_heavy(heavy: str) -> None:
    code = f"import sys, misp_playbook_lib; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_surface_is_what_a_notebook_needs() -> None:
    import misp_playbook_lib  # noqa: PLC0415 - what is under test

    assert misp_playbook_lib.__all__ == ["Playbook", "PlaybookParameters"]
    assert all(isinstance(getattr(misp_playbook_lib, name), type) for name in misp_playbook_lib.__all__)
    with pytest.raises(AttributeError):
        misp_playbook_lib.Nothing  # noqa: B018 - the access is the test


def test_the_wheel_carries_the_notebook_its_pictures_and_the_report_template(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "misp_playbook_lib/playbooks/create_custom_misp_warninglist.ipynb",
        "misp_playbook_lib/playbooks/examples/campaign-zn03.yaml",
        "misp_playbook_lib/playbooks/assets/create_custom_misp_warninglist.svg",
        "misp_playbook_lib/report/template/index.html.j2",
        "misp_playbook_lib/py.typed",
    } <= names
    assert not any(name.startswith(("tests", "vault")) for name in names)


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("exit 127", "apt-get install python3"),
        ('case "$*" in *version_info*) exit 1;; --version) echo Python 3.9.2;; esac', "Python 3.9.2 is too old"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
)
def test_what_make_cannot_install_is_said_in_one_line(tmp_path: Path, python: str, words: str) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "pyproject.toml").touch()
    fake = tmp_path / "fakepython"
    name = "no-such-python"
    if python != "exit 127":
        fake.write_text(f"#!/bin/sh\n{python}\n")
        fake.chmod(0o755)
        name = str(fake)
    made = subprocess.run(
        ["make", "--no-print-directory", "install", f"PYTHON={name}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    assert words in made.stdout
    assert len(made.stdout.strip().splitlines()) == 1
    assert not (tmp_path / ".venv").exists()
