"""JupyterLab in chromium, opened by `misp-playbook lab`: an analyst fills the forms and runs the cells."""

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
import requests
from conftest import PLAYBOOK

from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.settings import read_vault

pytestmark = [pytest.mark.browser, pytest.mark.timeout(280)]

CHROMIUM = shutil.which("chromium")
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
PATIENCE = 60_000
BLOCKING = ("label", "select-name", "button-name", "aria-input-field-name", "color-contrast", "summary-name")
"""The rules of axe that a form answers for; the page around it is JupyterLab's."""


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
        prompt = cell.locator(".jp-InputPrompt").first
        before = prompt.inner_text()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            "([prompt, before]) => prompt.innerText !== before && !prompt.innerText.includes('*')",
            arg=[prompt.element_handle(), before],
            timeout=PATIENCE,
        )
        return cell

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
def opened(folder: Path, *options: str, theme: str = "JupyterLab Light", **environment: str) -> Iterator[Lab]:
    """Open the lab as a command of its own, with no setting of the user's, and a browser on it."""
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
        address = f"{served(log, process)}/tree/{PLAYBOOK.name}?token=test"
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = browser.new_page(viewport={"width": 1400, "height": 1600})
            lab = Lab(page)
            page.on("request", lambda request: lab.requests.append(request.url))
            page.on("console", lambda one: lab.errors.append(one.text) if one.type == "error" else None)
            page.on("pageerror", lambda error: lab.errors.append(str(error)))
            page.goto(address)
            page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=PATIENCE)
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
            if found := re.search(rb"(http://127\.0\.0\.1:\d+/lab)", line):
                return found[1].decode()
    finally:
        tail.terminate()
        tail.wait()
    raise AssertionError(log.read_text())


def test_an_analyst_fills_every_form_sees_a_finding_mends_it_and_comes_to_the_end(  # noqa: PLR0915 - one long day
    tmp_path: Path,
) -> None:
    with opened(tmp_path, "--sandbox", "--case", "CASE-7") as lab:
        (vault,) = (tmp_path / "tmp").glob("misp-playbook-*/keys.py")
        keys = read_vault(vault)
        lab.run("misp_modules_url: str")
        lab.run("PlaybookParameters.collect")
        assert "SANDBOX" in lab.shown("Playbook.open")
        assert "plan is not there yet: run IN:4 first" in lab.shown("run.apply")
        lab.run("forms.modules")
        lab.control("forms.modules", "misp_modules_wait").fill("0")
        lab.control("forms.modules", "enrich_with").select_option(["virustotal_public", "shodan"])
        lab.picture("modules")
        lab.run("run.find_modules")
        lab.run("run.warninglists")
        lab.run("forms.choose_list")
        lab.control("forms.choose_list", "warninglist_name").fill(HOSTILE)
        lab.cell("forms.choose_list").get_by_text("will be created").wait_for()
        lab.picture("list")
        assert HOSTILE in lab.shown("run.select_warninglist")
        lab.run("forms.details")
        lab.control("forms.details", "warninglist_description").fill("Seen in the case")
        lab.control("forms.details", "warninglist_type").select_option("cidr")
        lab.control("forms.details", "warninglist_matching_attributes").select_option(["ip-dst", "ip-src"])
        lab.picture("details")
        lab.run("run.details")
        lab.run("forms.values")
        values, form = lab.control("forms.values", "warninglist_values"), lab.cell("forms.values")
        values.fill("158.255.208[.]168 # C2\n0.0.0.0/0")
        form.get_by_text("Findings: dangerous: 1.").wait_for()
        lab.picture("values")
        lab.run("run.read_values")
        lab.run("run.plan")
        assert "Set accept_dangerous" in lab.shown("run.apply")
        values.fill("158.255.208[.]168 # C2")
        form.get_by_text("Findings: none.").wait_for()
        form.get_by_text("changed after IN:4 ran").wait_for()
        assert "Run IN:4 again" in lab.shown("run.apply")
        lab.run("run.read_values")
        lab.run("run.plan")
        lab.run("forms.writing")
        assert "was created with 1 entries" in lab.shown("run.apply")
        lab.run("run.enable")
        lab.run("forms.search")
        lab.control("forms.search", "match_published").select_option("both")
        lab.cell("forms.search").get_by_text("match_published is taken over").wait_for()
        assert lab.control("forms.search", "match_published").input_value() == "both"
        lab.picture("search")
        lab.run("run.retrosearch")
        lab.run('run.enrich("ER:2"')
        lab.run('run.enrich("ER:3"')
        lab.run("run.summarise")
        lab.run("forms.notifiers")
        lab.control("forms.notifiers", "send_to_slack").check()
        lab.cell("forms.notifiers").get_by_text("Slack: will be told").wait_for()
        lab.picture("notifiers")
        assert "sent" in lab.shown("run.send_to_slack")
        assert "Outcome: success" in lab.shown("run.finish")
        lab.check_manners()
        found = requests.get(
            f"{keys['misp_url']}/warninglists/index",
            headers={"Authorization": keys["misp_key"], "Accept": "application/json"},
            timeout=10,
        ).json()
        assert HOSTILE in [one["Warninglist"]["name"] for one in found["Warninglists"]]
    assert not list((tmp_path / "tmp").glob("misp-playbook-*"))


def test_restart_and_run_all_is_safe_and_a_large_paste_and_a_hostile_event_do_no_harm(
    tmp_path: Path, sandbox: Sandbox, vault: Path
) -> None:
    sandbox.misp.add_event(HOSTILE, [{"type": "ip-dst", "value": "45.0.0.1"}])
    folder = tmp_path / "lab"
    folder.mkdir()
    with opened(folder, "--case", "CASE-8", theme="JupyterLab Dark", MISP_PLAYBOOK_VAULT=str(vault)) as lab:
        cell = lab.cell("misp_modules_url: str")
        cell.locator(".cm-content").first.click()
        lab.page.keyboard.press("Control+End")
        typed = 'warninglist_name = "Mine"\nenrich_with = []\nwarninglist_values = ["45.0.0.1"]\n'
        lab.page.keyboard.insert_text(f"\n{typed}")
        for _ in range(2):
            restart_and_run_all(lab)
            assert HOSTILE in lab.cell("run.retrosearch").locator(".jp-OutputArea").first.inner_text()
        created = sandbox.misp.warninglist("Mine")
        assert created is not None
        assert created["version"] == 1
        pasted = "\n".join(f"45.{number // 256}.{number % 256}.1" for number in range(20_000))
        # Playwright types a text line by line; a paste is one change of the value.
        lab.control("forms.values", "warninglist_values").evaluate(
            "(area, text) => { area.value = text; area.dispatchEvent(new Event('input', {bubbles: true})); }", pasted
        )
        lab.cell("forms.values").get_by_text("20,000 entries of a string list").wait_for()
        lab.control("forms.values", "warninglist_values").scroll_into_view_if_needed()
        lab.picture("dark")
        assert "Kept from the forms: warninglist_values" in lab.shown("Playbook.open")
        assert "Run IN:4 again" in lab.shown("run.plan(")
        lab.check_manners()
        check_with_axe(lab)


def restart_and_run_all(lab: Lab) -> None:
    before = lab.page.evaluate("performance.now()")
    lab.page.get_by_role("menuitem", name="Kernel").click()
    lab.page.get_by_role("menuitem", name=re.compile("Restart Kernel and Run All")).click()
    lab.page.locator(".jp-Dialog button", has_text="Restart").click()
    lab.cell("run.finish").locator(".jp-InputPrompt", has_text="[*]").wait_for(timeout=PATIENCE)
    lab.cell("run.finish").get_by_text("Outcome:").wait_for(timeout=PATIENCE)
    assert lab.page.evaluate("performance.now()") > before


def check_with_axe(lab: Lab) -> None:
    """See that every control of every form has a label, and that its words can be read."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - only where there is a browser

    options = {"runOnly": {"type": "rule", "values": list(BLOCKING)}}
    found = Axe().run(lab.page, context=".misp-playbook", options=options).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []
