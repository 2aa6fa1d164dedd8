"""The archived report and the index in chromium: what they show, fetch, run and link, and who can read them."""

import csv
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import EXAMPLE, PLAYBOOK, Ran

from misp_playbook_lib.model.indicators import defang
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.untrusted import visible

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
    """A page that was opened, what it asked for, and what the console said."""

    def __init__(self, browser: Any, page: Path, **options: Any) -> None:
        self.requests: list[str] = []
        self.console: list[str] = []
        self.page = browser.new_page(**options)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("dialog", lambda dialog: self.console.append(f"dialog: {dialog.message}"))
        self.address = f"file://{page}"
        self.page.goto(self.address)

    def rows(self, caption: str) -> list[list[str]]:
        """Read a table as a reader sees it."""
        table = self.page.locator("table").filter(has=self.page.locator("caption", has_text=caption)).first
        return [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]

    def links(self) -> set[str]:
        """Return where the page links to."""
        return set(self.page.locator("a[href]").evaluate_all("links => links.map(one => one.getAttribute('href'))"))

    def is_inert(self) -> bool:
        """Open everything, and tell whether nothing ran and nothing was fetched."""
        self.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        self.page.mouse.move(200, 200)
        self.page.keyboard.press("Tab")
        ran = self.page.evaluate("document.title === 'owned' || window.owned === true")
        return not ran and self.requests == [self.address] and self.console == []


def held(sandbox: Sandbox) -> set[tuple[str, str, str]]:
    """What the sandbox's MISP holds as a report shows it, defanged: value, event, info."""
    with sandbox.misp.state.read() as db:
        found = db.execute("SELECT a.value1, e.id, e.info FROM attributes a JOIN events e ON e.id = a.event_id")
        return {(defang(str(value)), str(event), defang(str(info))) for value, event, info in found.fetchall()}


def test_the_report_makes_no_request_and_the_console_is_silent(browser: Any, play: Callable[..., Ran]) -> None:
    opened = Opened(browser, play("-f", str(EXAMPLE)).folder / "report.html")
    assert opened.requests == [opened.address]
    assert opened.console == []


def test_the_matches_equal_what_the_sandbox_holds_row_by_row(
    browser: Any, play: Callable[..., Ran], sandbox: Sandbox
) -> None:
    before = Opened(browser, play("-f", str(EXAMPLE)).folder / "report.html").rows("Matches in MISP events")
    assert {(row[1], row[5], row[6]) for row in before} == held(sandbox)
    sandbox.misp.remove_event(2411)
    after = Opened(browser, play("-f", str(EXAMPLE)).folder / "report.html").rows("Matches in MISP events")
    assert {(row[1], row[5], row[6]) for row in after} == held(sandbox)
    assert len(after) == len(before) - 1


PAYLOADS = [
    HOSTILE,
    "<svg onload=\"document.title='owned'\">",
    "</td></table><script>window.owned=true</script>",
    "</summary></details></title></style><script>window.owned=true</script>",
    '"><img src=x onerror="window.owned=true">',
    "' onmouseover='window.owned=true' x='",
    '<a href="javascript:window.owned=true">click</a>',
    "[click](javascript:window.owned=true)",
    "![x](http://evil.example/x.png)",
    "{{ 7*7 }}{% raw %}<b>x</b>",
    "<iframe srcdoc='<script>parent.owned=true</script>'></iframe>",
    "<style>@import url(http://evil.example/x.css);body{display:none}</style>",
    "<meta http-equiv=refresh content=0;url=http://evil.example/>",
    "-->\u2028<!--<script>alert(1)</script>",
    "&lt;script&gt;window.owned=true&lt;/script&gt;",
]
MD5 = "028878c4b6ab475ed0be97eca6f92af9"


@pytest.fixture
def hostile(play: Callable[..., Ran], sandbox: Sandbox, tmp_path: Path) -> Ran:
    """A run into which every field that comes from outside brings every payload."""
    for payload in PAYLOADS:
        attribute = {"type": "text", "value": payload, "comment": payload, "category": "Other", "to_ids": True}
        sandbox.misp.add_event(payload, [attribute], tags=[payload], org=payload)
    answers = [
        {"type": "text", "object_relation": payload, "category": payload, "value": payload, "comment": payload}
        for payload in PAYLOADS
    ]
    answered = {"results": {"Object": [{"name": payload, "Attribute": answers} for payload in PAYLOADS[:3]]}}
    sandbox.modules.answers["virustotal_public", "md5", MD5] = answered
    values = tmp_path / "a<img src=x onerror='window.owned=true'>.json"
    values.write_text(json.dumps([*PAYLOADS, MD5]))
    ran = play(
        warninglist_name=" ".join(PAYLOADS)[:250],
        warninglist_description=" ".join(PAYLOADS),
        warninglist_values=[f"evil.example # {PAYLOADS[0]}"],
        warninglist_values_file=str(values),
        thehive_alert_title=PAYLOADS[0],
    )
    assert ran.exit_code in (0, 4), ran.output
    return ran


@pytest.mark.parametrize("policy", ["with its policy", "without its policy"])
def test_nothing_from_outside_runs_and_all_of_it_is_text(browser: Any, hostile: Ran, policy: str) -> None:
    for page in (hostile.folder / "report.html", hostile.archive / "index.html"):
        if policy == "without its policy":
            page.write_text(page.read_text().replace("Content-Security-Policy", "X-None"))
        opened = Opened(browser, page)
        assert opened.is_inert(), page
        assert (
            opened.page.locator("script, iframe, object, embed, form, body style, img:not([src^='data:'])").count() == 0
        )
        assert opened.page.locator("h1").count() == 1
        assert "<script>" in opened.page.inner_text("body")
    report = Opened(browser, hostile.folder / "report.html")
    shown = {tuple(row) for row in report.rows("Matches in MISP events") if row[0] != MD5}
    wanted = {" ".join(defang(visible(payload)).split()) for payload in PAYLOADS}
    for column in (1, 4, 6, 8, 10):
        assert {row[column] for row in shown} == wanted, column
    assert {row[1] for row in report.rows("VirusTotal: answers")} == wanted


def test_the_report_links_to_misp_virustotal_and_thehive_and_into_itself_alone(
    browser: Any, play: Callable[..., Ran], sandbox: Sandbox
) -> None:
    ran = play("-f", str(EXAMPLE), send_to_thehive=True)
    [alert] = sandbox.inbox()["thehive"]
    report = Opened(browser, ran.folder / "report.html")
    outside = {link for link in report.links() if not link.startswith("#")}
    notebook = {link for link in outside if link in PLAYBOOK.read_text()}
    own = f"{sandbox.misp_url}/"
    found = outside - notebook - {sandbox.misp_url}
    assert {link for link in found if link.startswith(f"{own}events/view/")} == {
        f"{own}events/view/{row[5]}" for row in report.rows("Matches in MISP events")
    }
    page = f"{sandbox.thehive.url}/alerts/{alert['_id']}/details"
    assert page in found
    assert all(link.startswith((own, "https://www.virustotal.com/gui/")) for link in found - {page})
    inside = {link for link in report.links() if link.startswith("#")}
    assert all(report.page.locator(f"[id='{link[1:]}']").count() == 1 for link in inside)
    index = Opened(browser, ran.archive / "index.html")
    assert index.links() == {f"{ran.folder.parent.name}/{ran.folder.name}/report.html"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_a_phone_needs_no_sideways_scrolling(
    browser: Any, play: Callable[..., Ran], scheme: str
) -> None:
    ran = play("-f", str(EXAMPLE), enrich_with=["virustotal_public", "shodan", "nowhere"])
    for page in (ran.folder / "report.html", ran.archive / "index.html"):
        opened = Opened(browser, page, color_scheme=scheme, viewport={"width": 390, "height": 800})
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
        opened.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        found = Axe().run(opened.page).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        levels = opened.page.locator("h1, h2, h3, h4, h5, h6").evaluate_all("all => all.map(one => +one.tagName[1])")
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert opened.page.locator("html").get_attribute("lang") == "en"
        assert opened.page.locator("img:not([alt])").count() == 0
        assert opened.page.locator("table:not(:has(caption))").count() == 0


def test_what_failed_stands_above_the_fold(
    browser: Any, play: Callable[..., Ran], sandbox: Sandbox, vault: Path
) -> None:
    keys = vault.read_text()
    vault.write_text(f"{keys}virustotal_apikey = 'bad'\n" if "virustotal_apikey" not in keys else keys)
    sandbox.misp.stop()
    ran = play(warninglist_name="Mine", warninglist_values=["a.example"])
    assert ran.exit_code == 3
    opened = Opened(browser, ran.folder / "report.html", viewport={"width": 1280, "height": 800})
    failure = opened.page.get_by_text("no connection").first
    assert failure.bounding_box()["y"] < 400
    assert sandbox.misp_url in opened.page.inner_text("header")
    assert "TLP:AMBER" in opened.page.inner_text("header")
    assert opened.page.locator("#er-1 .badge").inner_text() == "not reached"
    assert opened.page.locator("#pr-1 .badge").inner_text() == "failed"


def test_a_long_table_shows_its_first_rows_and_the_file_beside_it_has_all(
    browser: Any, play: Callable[..., Ran], sandbox: Sandbox
) -> None:
    values = [f"host{number}.example" for number in range(250)]
    sandbox.misp.add_event("Many", [{"type": "domain", "value": value, "to_ids": True} for value in values])
    given = [value.upper() for value in values]
    ran = play(warninglist_name="Mine", warninglist_values=given, enrich_with=[])
    opened = Opened(browser, ran.folder / "report.html")
    assert len(opened.rows("Matches in MISP events")) == len(opened.rows("Corrections")) == 200
    shown = opened.page.inner_text("main")
    for file in ("matches.csv", "values.csv", "plan.diff"):
        assert f"The first 200 of 250 rows. All are in {file}, beside this report." in shown
    assert {row["value"] for row in rows(ran.folder / "matches.csv")} == set(values)
    corrected = [row for row in rows(ran.folder / "values.csv") if row["what"] == "correction"]
    assert {(row["entry"], row["becomes"]) for row in corrected} == set(zip(given, values, strict=True))
    diff = (ran.folder / "plan.diff").read_text()
    assert all(value in diff for value in values)


def test_the_lists_of_the_server_and_the_findings_lie_beside_the_report(browser: Any, play: Callable[..., Ran]) -> None:
    ran = play(warninglist_name="Mine", warninglist_values=["a.example", "10.0.0.1"], enrich_with=[])
    lists = Opened(browser, ran.folder / "report.html").rows("Warninglists on the server")
    assert {row["name"] for row in rows(ran.folder / "warninglists.csv")} == {row[1] for row in lists}
    assert ("finding", "10.0.0.1", "not-public") in {
        (row["what"], row["entry"], row["rule"]) for row in rows(ran.folder / "values.csv")
    }


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_page_prints_without_its_folded_parts(browser: Any, play: Callable[..., Ran]) -> None:
    opened = Opened(browser, play("-f", str(EXAMPLE)).folder / "report.html")
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("details.code").first.is_visible()
    assert opened.page.locator("h1").is_visible()
    assert opened.page.pdf().startswith(b"%PDF")
