"""JupyterLab in chromium, opened by `misp-playbook lab`, as an analyst sees and works it."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

NOTEBOOK = "create_custom_misp_warninglist.ipynb"
CHROMIUM = shutil.which("chromium")
PATIENCE = 60_000
READY = (
    ".jp-NotebookPanel-toolbar:has(.jp-Toolbar-kernelName[aria-label^='Python 3'])"
    ":has(.jp-Notebook-ExecutionIndicator[data-status='idle'])"
)


@dataclass
class Lab:
    """JupyterLab as an analyst sees it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def cell(self, words: str) -> Any:
        """Find the code cell with these words."""
        return self.page.locator(".jp-CodeCell", has=self.page.locator(".cm-content", has_text=words)).first

    def run(self, words: str) -> Any:
        """Run a cell, wait for its end, and return it."""
        cell = self.cell(words)
        cell.locator(".cm-content").first.click()
        self.press_and_wait(cell, "Control+Enter")
        return cell

    def press_and_wait(self, cell: Any, key: str) -> None:
        """Press a key that runs a cell, and wait for its end."""
        prompt = cell.locator(".jp-InputPrompt").first
        before = prompt.inner_text()
        self.page.keyboard.press(key)
        self.page.wait_for_function(
            "([prompt, before]) => prompt.innerText !== before && !prompt.innerText.includes('*')",
            arg=[prompt.element_handle(), before],
            timeout=PATIENCE,
        )

    def shown(self, words: str) -> str:
        """Run a cell and return what it shows."""
        text: str = self.run(words).locator(".jp-OutputArea").first.inner_text()
        return text

    def control(self, form: str, label: str) -> Any:
        """Find a control of a form by its label."""
        return self.cell(form).get_by_label(label, exact=True)

    def picture(self, name: str) -> None:
        """Keep a picture where a developer asks for it (LAB_PICTURES names a folder)."""
        if folder := os.environ.get("LAB_PICTURES"):
            self.page.screenshot(path=f"{folder}/{name}.png")

    def check_manners(self) -> None:
        """See that the console is silent, that nobody outside was asked, and that no text became markup."""
        assert self.errors == []
        assert {urlsplit(url).hostname for url in self.requests if not url.startswith(("data:", "blob:"))} == {
            "127.0.0.1"
        }
        assert "owned" not in self.page.title()


def missing() -> str:
    if CHROMIUM is None:
        return "chromium is missing: apt-get install chromium"
    if importlib.util.find_spec("jupyterlab") is None:
        return "JupyterLab is missing: pip install 'misp-playbook[lab]'"
    return ""


@contextmanager
def opened(
    folder: Path, *options: str, theme: str = "JupyterLab Light", view: str = "lab/tree", **environment: str
) -> Iterator[Lab]:
    """Open the lab as a command of its own, with no setting of the user's, and a browser on it.

    Notebook 7, where it is installed, is another view of the same server.
    """
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, which CI does")
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    (folder / "tmp").mkdir()
    places = {"CONFIG_DIR": "config", "RUNTIME_DIR": "runtime", "DATA_DIR": "data"}
    own = {f"JUPYTER_{name}": str(folder / place) for name, place in places.items()}
    own |= {"TMPDIR": str(folder / "tmp"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    # Every cell stays in the page, not only those in sight.
    setting(folder, "notebook-extension/tracker", {"windowingMode": "none"})
    setting(folder, "apputils-extension/themes", {"theme": theme})
    log = folder / "lab.log"
    quiet = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--IdentityProvider.token=test"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "misp_playbook_lib", "lab", *options, *quiet],
            cwd=folder,
            env={**os.environ, **own, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        address = f"{served(log, process)}/{view}/{NOTEBOOK}?token=test"
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = browser.new_page(viewport={"width": 1400, "height": 1600})
            lab = Lab(page)
            page.on("request", lambda request: lab.requests.append(request.url))
            page.on("console", lambda one: lab.errors.append(one.text) if one.type == "error" else None)
            page.on("pageerror", lambda error: lab.errors.append(str(error)))
            page.goto(address)
            page.locator(READY).first.wait_for(timeout=PATIENCE)
            yield lab
            browser.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def setting(folder: Path, name: str, values: dict[str, str]) -> None:
    path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(values))


def served(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Wait until JupyterLab says where it is."""
    tail = subprocess.Popen(["tail", "--pid", str(process.pid), "-n", "+1", "-f", str(log)], stdout=subprocess.PIPE)
    assert tail.stdout is not None
    try:
        for line in tail.stdout:
            if found := re.search(rb"(http://127\.0\.0\.1:\d+)/lab", line):
                return found[1].decode()
    finally:
        tail.terminate()
        tail.wait()
    raise AssertionError(log.read_text())


def check_with_axe(lab: Lab) -> None:
    """See that every form is accessible, a label on every control included; the page around it is JupyterLab's."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - only where there is a browser

    found = Axe().run(lab.page, context=".misp-playbook").response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious] == []
