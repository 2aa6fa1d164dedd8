"""Opens JupyterLab on a dated copy of a playbook in a case folder; the original stays as it is."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from misp_playbook_lib.errors import ParameterError, SettingsError
from misp_playbook_lib.settings import VAULT_VARIABLE, find_vault, without_services

CASES = Path("cases")
ASSETS = "assets"
INSTALL = "JupyterLab is not installed: pip install 'misp-playbook[lab]'"
_REFERENCE = re.compile(r"[\w.-]{1,64}")
_QUIET = (
    "--ServerApp.ip=127.0.0.1",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
_NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
"""JupyterLab asks nobody outside: not for updates, extensions (jupyterlab/labapp.py) or news (labconfig)."""


def open_lab(notebook: Path, reference: str, arguments: Sequence[str], *, sandbox: bool, today: date) -> int:
    """Work on a copy of a notebook until JupyterLab ends, and return its exit code.

    Args:
        notebook: the playbook.
        reference: the case's reference, part of the folder's name; may be empty.
        arguments: handed on to JupyterLab.
        sandbox: whether to start the sandbox and to work on it; it ends with JupyterLab.
        today: the date in the folder's name. A copy that is there is gone on with.

    Raises:
        SettingsError: JupyterLab is not installed.
        ParameterError: the reference cannot be part of a folder's name.

    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise SettingsError(INSTALL)
    copy = copy_playbook(notebook, case_folder(reference, today, sandbox=sandbox))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="misp-playbook-")))
        environment = dict(os.environ)
        if sandbox:
            environment = _start_sandbox(stack, folder)
        elif vault := find_vault(environment):
            environment[VAULT_VARIABLE] = str(vault.absolute())
        return _jupyterlab(copy, arguments, environment | _without_news(folder, environment))


def case_folder(reference: str, today: date, *, sandbox: bool) -> Path:
    """Return the folder of a case: cases/<date>[-<reference>][-sandbox].

    Raises:
        ParameterError: the reference holds more than letters, digits, dots, hyphens and underscores.

    """
    if reference and (not _REFERENCE.fullmatch(reference) or reference.startswith(".")):
        raise ParameterError([f"--case {reference} must be letters, digits, dots, hyphens and underscores, 64 at most"])
    parts = (today.isoformat(), reference, "sandbox" if sandbox else "")
    return CASES / "-".join(filter(None, parts))


def copy_playbook(notebook: Path, folder: Path) -> Path:
    """Copy a notebook and its pictures into a folder for its owner alone; a copy that is there stays."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = folder / notebook.name
    if not copy.exists():
        shutil.copyfile(notebook, copy)
    assets = notebook.parent / ASSETS
    if assets.is_dir():
        shutil.copytree(assets, folder / ASSETS, dirs_exist_ok=True)
    return copy


def _start_sandbox(stack: ExitStack, folder: Path) -> dict[str, str]:
    """Start a sandbox that ends with the stack, and return the environment that names it and no other service."""
    from misp_playbook_lib.sandbox import Sandbox  # noqa: PLC0415 - only a sandbox session needs it

    sandbox = stack.enter_context(Sandbox())
    sandbox.write_vault(folder / "keys.py")
    return without_services(os.environ) | {VAULT_VARIABLE: str(folder / "keys.py")}


def _without_news(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Write a configuration without JupyterLab's question for news, and return the variable that adds it."""
    config = folder / "labconfig"
    config.mkdir()
    (config / "page_config.json").write_text(json.dumps(_NO_NEWS), encoding="utf-8")
    paths = [str(folder), *filter(None, [environment.get("JUPYTER_CONFIG_PATH")])]
    return {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}


def _jupyterlab(copy: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run JupyterLab on this interpreter; an interrupt is its to ask about, a termination is handed on."""
    command = [sys.executable, "-m", "jupyterlab", copy.name, f"--ServerApp.root_dir={copy.parent.absolute()}"]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [*command, *_QUIET, *arguments],
        cwd=copy.parent,
        env={**environment, "JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
    )
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
