"""What the tests share: a sandbox on real sockets, its vault, and the playbook run through the command line."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from click.testing import CliRunner
from sandbox_fixtures import ask, misp  # noqa: F401 - fixtures

from misp_playbook_lib import untrusted
from misp_playbook_lib.cli import main
from misp_playbook_lib.sandbox import Sandbox

# No test asserts on time; CI looks at the same examples every time, a developer's machine at others.
hypothesis.settings.register_profile("playbook", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("playbook")

ROOT = Path(__file__).parent.parent
PLAYBOOK = ROOT / "playbooks" / "create_custom_misp_warninglist.ipynb"
EXAMPLE = ROOT / "playbooks" / "examples" / "campaign-zn03.yaml"


@dataclass(frozen=True)
class Ran:
    """What a run of the command left behind."""

    exit_code: int
    output: str
    archive: Path

    @property
    def folders(self) -> list[Path]:
        return sorted(path.parent for path in self.archive.glob("*/*/run.json"))

    @property
    def folder(self) -> Path:
        """The folder of the latest run."""
        return self.folders[-1]

    @property
    def manifest(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return loaded

    @property
    def report(self) -> str:
        return (self.folder / "report.html").read_text()

    @property
    def summary(self) -> str:
        return (self.folder / "summary.md").read_text()

    def step(self, code: str) -> dict[str, Any]:
        return next(step for step in self.manifest["steps"] if step["step"] == code)


@pytest.fixture(autouse=True)
def _no_services_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MISP_PLAYBOOK_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test know the secrets of another."""
    monkeypatch.setattr(untrusted, "KNOWN", untrusted.Known())


@pytest.fixture(autouse=True)
def _own_cache_and_quota(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep every test away from the user's cache and quota, and from those of other tests."""
    folder = tmp_path_factory.getbasetemp() / "xdg" / uuid.uuid4().hex
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def vault(sandbox: Sandbox, tmp_path: Path) -> Path:
    path = tmp_path / "keys.py"
    sandbox.write_vault(path)
    return path


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Ran]:
    """Run `misp-playbook run` with these arguments, archiving under the test's folder."""

    def run(*arguments: str) -> Ran:
        archive = tmp_path / "reports"
        result = CliRunner().invoke(main, ["run", *arguments, "--archive", str(archive)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.output, archive)

    return run


@pytest.fixture
def play(vault: Path, command: Callable[..., Ran]) -> Callable[..., Ran]:
    """Run the real notebook against the sandbox; values that are lists become YAML lists."""

    def run(*arguments: str, **parameters: object) -> Ran:
        given = {"misp_modules_wait": 0, **parameters}
        words: list[str] = []
        for name, value in given.items():
            words += ["-p", f"{name}={json.dumps(value) if isinstance(value, list) else value}"]
        return command(str(PLAYBOOK), "--vault", str(vault), *words, *arguments)

    return run
