"""An analyst without a mouse: reaches and fills every form in JupyterLab by keys, and runs the cells."""

from pathlib import Path

import pytest
from jupyterlab_page import Lab, check_with_axe, opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(280)]

FOCUSED = """() => {
  const one = document.activeElement, cell = one.closest('.jp-Cell');
  return {
    label: one.labels && one.labels.length ? one.labels[0].innerText : '',
    cell: one === cell && one.matches('.jp-CodeCell') ? cell.querySelector('.cm-content').innerText : '',
    inside: cell !== null && one !== cell,
  };
}"""
STEPS = 150
"""Keys that are pressed at most to come somewhere."""


class Keys:
    """Everything that is done by keyboard alone."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.press = lab, lab.page.keyboard.press

    def to_cell(self, words: str) -> None:
        """Leave a form, and go down to a cell."""
        for _ in range(STEPS):
            if words in (focused := self.lab.page.evaluate(FOCUSED))["cell"]:
                return
            self.press("Shift+Tab" if focused["inside"] else "ArrowDown")
        raise AssertionError(f"{words} cannot be reached")

    def to_control(self, label: str) -> None:
        """Go on to a control of the form."""
        for _ in range(STEPS):
            if self.lab.page.evaluate(FOCUSED)["label"] == label:
                return
            self.press("Tab")
        raise AssertionError(f"{label} cannot be reached")

    def type(self, label: str, text: str) -> None:
        """Replace the text of a control."""
        self.to_control(label)
        self.press("Control+A")
        self.lab.page.keyboard.type(text)

    def choose(self, label: str, downs: int) -> None:
        """Open a choice, go down so many lines, and take what stands there."""
        self.to_control(label)
        for key in ("Space", *["ArrowDown"] * downs, "Enter"):
            self.press(key)

    def toggle(self, label: str) -> None:
        self.to_control(label)
        self.press("Space")

    def run(self, words: str, *, shows: str) -> None:
        """Run a cell and see what it shows."""
        self.to_cell(words)
        cell = self.lab.cell(words)
        self.lab.press_and_wait(cell, "Control+Enter")
        assert shows in cell.locator(".jp-OutputArea").inner_text()


def test_every_form_is_filled_and_every_cell_run_without_a_mouse(  # noqa: PLR0915 - one long day
    tmp_path: Path,
) -> None:
    with opened(tmp_path, "--sandbox") as lab:
        keys, cells = Keys(lab), lab.page.locator(".jp-Cell").count()
        keys.to_cell("misp_modules_url: str")
        keys.press("Shift+Enter")
        keys.to_cell("PlaybookParameters.collect")
        keys.press("Shift+Enter")
        keys.run("Playbook.open", shows="SANDBOX")
        keys.run("forms.modules", shows="What modules cost")
        keys.type("misp_modules_wait", "0")
        keys.toggle("virustotal_public")
        keys.type("another module", "dns")
        keys.press("Enter")
        lab.control("forms.modules", "dns").wait_for()
        keys.run("run.find_modules", shows="dns")
        assert "virustotal_public" not in lab.cell("run.find_modules").locator(".jp-OutputArea").inner_text()
        keys.run("run.warninglists", shows="cidr")
        keys.run("forms.choose_list", shows="warninglist_name")
        keys.type("warninglist_name", "By keys")
        keys.run("run.select_warninglist", shows="By keys")
        keys.run("forms.details", shows="warninglist_description")
        keys.type("warninglist_description", "Typed, b, d d and all")
        keys.choose("warninglist_type", downs=4)
        keys.type("add an attribute type of this server", "ip-d")
        keys.press("Enter")
        lab.cell("forms.details").get_by_text("ip-d is none of those").wait_for()
        keys.type("add an attribute type of this server", "ip-dst")
        keys.press("Enter")
        lab.control("forms.details", "ip-dst").wait_for()
        keys.run("run.details", shows="cidr")
        keys.run("forms.values", shows="warninglist_values_file")
        keys.type("warninglist_values", "158.255.208.168 # C2\n10.0.0.0/8")
        lab.cell("forms.values").get_by_text("2 entries of a cidr list").wait_for()
        keys.run("run.read_values", shows="2 entries")
        keys.run("run.plan", shows="Create the warninglist By keys")
        keys.run("forms.writing", shows="dry_run")
        keys.toggle("warninglist_enable")
        keys.run("run.apply", shows="was created with 2 entries")
        keys.run("run.enable", shows="By keys")
        keys.run("forms.search", shows="match_published")
        keys.choose("match_published", downs=2)
        keys.run("run.retrosearch", shows="attributes")
        keys.run('run.enrich("ER:2"', shows="")
        keys.run('run.enrich("ER:3"', shows="dns")
        keys.run("run.summarise", shows="By keys")
        keys.run("forms.notifiers", shows="Slack")
        keys.toggle("send_to_slack")
        lab.cell("forms.notifiers").get_by_text("Slack: will be told").wait_for()
        keys.run("run.send_to_slack", shows="Slack: sent")
        keys.run("run.finish", shows="Outcome")
        assert lab.page.locator(".jp-Cell").count() == cells, "no key that was meant for a form reached the notebook"
        lab.check_manners()
        check_with_axe(lab)
