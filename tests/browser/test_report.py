"""The archived report in chromium: no request, no script, and tables that equal what the sandbox holds."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import EXAMPLE, Ran

from misp_playbook_lib.model.indicators import defang
from misp_playbook_lib.sandbox import Sandbox

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'


@pytest.fixture
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing, and CI installs it: apt-get install chromium")
        pytest.skip("chromium is missing: apt-get install chromium")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


class Opened:
    """A report that was opened, what it asked for, and what the console said."""

    def __init__(self, browser: Any, ran: Ran) -> None:
        self.requests: list[str] = []
        self.console: list[str] = []
        self.page = browser.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.console.append(message.text))
        self.address = f"file://{ran.folder / 'report.html'}"
        self.page.goto(self.address)

    def rows(self, caption: str) -> list[list[str]]:
        """Read a table as a reader sees it."""
        table = self.page.locator("table").filter(has=self.page.locator("caption", has_text=caption)).first
        return [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]


def held(sandbox: Sandbox) -> set[tuple[str, str, str]]:
    """What the sandbox's MISP holds as a report shows it, defanged: value, event, info."""
    with sandbox.misp.state.read() as db:
        found = db.execute("SELECT a.value1, e.id, e.info FROM attributes a JOIN events e ON e.id = a.event_id")
        return {(defang(str(value)), str(event), defang(str(info))) for value, event, info in found.fetchall()}


def test_the_report_makes_no_request_and_the_console_is_silent(browser: Any, play: Callable[..., Ran]) -> None:
    opened = Opened(browser, play("-f", str(EXAMPLE)))
    assert opened.requests == [opened.address]
    assert opened.console == []


def test_the_matches_equal_what_the_sandbox_holds_row_by_row(
    browser: Any, play: Callable[..., Ran], sandbox: Sandbox
) -> None:
    before = Opened(browser, play("-f", str(EXAMPLE))).rows("Matches in MISP events")
    assert {(row[1], row[5], row[6]) for row in before} == held(sandbox)
    sandbox.misp.remove_event(2411)
    after = Opened(browser, play("-f", str(EXAMPLE))).rows("Matches in MISP events")
    assert {(row[1], row[5], row[6]) for row in after} == held(sandbox)
    assert len(after) == len(before) - 1


def test_no_script_from_an_event_runs_and_its_title_is_text(
    browser: Any, play: Callable[..., Ran], sandbox: Sandbox
) -> None:
    attribute = {"type": "domain", "value": "evil.example", "comment": HOSTILE}
    sandbox.misp.add_event(HOSTILE, [attribute], tags=[HOSTILE])
    ran = play(
        warninglist_name=HOSTILE, warninglist_values=[f"evil.example # {HOSTILE}"], warninglist_description=HOSTILE
    )
    assert ran.exit_code == 0, ran.output
    opened = Opened(browser, ran)
    (row,) = opened.rows("Matches in MISP events")
    assert row[6] == defang(HOSTILE)
    assert row[4] == defang(HOSTILE)
    assert opened.page.title() != "owned"
    assert opened.page.locator("main script, main img[src='x']").count() == 0
    assert opened.requests == [opened.address]
    assert opened.console == []
