"""Figures of the sandbox's MISP beside those measured on a real MISP 2.5.1 (PHP 8.2, MariaDB 10.11, 2 cores)."""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.misp import Misp

ATTRIBUTES = 1_000_000
PAGE = 10_000


def ask(misp: Misp, path: str, body: Any) -> bytes:
    """Post to the MISP and return the answer's bytes.

    Raises:
        RuntimeError: it was refused.

    """
    connection = HTTPConnection("127.0.0.1", misp.port, timeout=300)
    headers = {"Accept": "application/json", "Content-Type": "application/json", "Authorization": misp.key}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")
    return data


def timed(work: Callable[[], Any]) -> str:
    """Return how long it took, in seconds."""
    start = time.perf_counter()
    work()
    return f"{time.perf_counter() - start:.2f} s"


def run(attributes: int = ATTRIBUTES) -> list[tuple[str, str, str]]:
    """Return rows: what, figure, beside what."""
    rows: list[tuple[str, str, str]] = []
    with Misp(demo=False) as misp:
        for count, real in ((100_000, "0.7 s"), (300_000, "2.1 s")):
            entries = [f"entry{number}.example" for number in range(count)]
            body = {"name": f"{count}", "description": "d", "entries": entries}
            figure = timed(lambda body=body: ask(misp, "/warninglists/add", body))  # type: ignore[misc]
            rows.append((f"add {count} entries", figure, f"real MISP {real}"))
        kept = misp.warninglist("300000")
        list_id = kept["id"] if kept else 0
        change = timed(lambda: ask(misp, f"/warninglists/edit/{list_id}", {"description": "other"}))
        rows.append(("edit the description of 300000 entries", change, "real MISP 4.4 s"))
        enable = timed(lambda: ask(misp, "/warninglists/toggleEnable", {"id": [list_id], "enabled": True}))
        rows.append(("enable 300000 entries", enable, "real MISP 1.8 s"))
        check = timed(lambda: ask(misp, "/warninglists/checkValue", entries[:1000]))
        rows.append(("check 1000 values against 300000 entries", check, "real MISP 0.2 s"))
    start = time.perf_counter()
    with Misp(demo=False, attributes=attributes) as misp:
        rows.append((f"generate {attributes} attributes", f"{time.perf_counter() - start:.1f} s", ""))
        rows += _searches(misp, attributes)
    rows.append(("start and stop a sandbox", timed(lambda: Sandbox().stop()), ""))
    return rows


def _searches(misp: Misp, attributes: int) -> list[tuple[str, str, str]]:
    search = "/attributes/restSearch"
    with misp.state.read() as db:
        step = max(attributes // PAGE, 1)
        there = [row[0] for row in db.execute("SELECT value1 FROM attributes WHERE id % ? = 0 LIMIT ?", (step, PAGE))]
        window = "SELECT timestamp FROM attributes ORDER BY timestamp LIMIT 1 OFFSET ?"
        times = [db.execute(window, [offset]).fetchone()[0] for offset in (attributes // 2, attributes // 2 + PAGE)]
    absent = [f"absent{number}.example" for number in range(PAGE)]
    pages = attributes // PAGE

    def page(number: int) -> bytes:
        return ask(misp, search, {"limit": PAGE, "page": number})

    def walk(workers: int, numbers: range) -> str:
        with ThreadPoolExecutor(workers) as pool:
            return timed(lambda: list(pool.map(page, numbers)))

    return [
        ("10000 values, none there", timed(lambda: ask(misp, search, {"value": absent})), "real MISP 0.17 s"),
        ("10000 values, all there", timed(lambda: ask(misp, search, {"value": there})), "real MISP 0.5 s"),
        ("one leading % pattern", timed(lambda: ask(misp, search, {"value": "%login123%"})), "real MISP 1.3 s"),
        ("page 1 of 10000 rows", timed(lambda: page(1)), "real MISP 0.3 s"),
        (f"page {pages // 2}", timed(lambda: page(pages // 2)), "real MISP 0.6 s"),
        (f"page {pages}", timed(lambda: page(pages)), "real MISP 0.95 s"),
        (
            "a window of 10000 rows",
            timed(lambda: ask(misp, search, {"attribute_timestamp": times})),
            "real MISP 0.27 s",
        ),
        ("12 pages one after the other", walk(1, range(1, 13)), "real MISP 6.1 s"),
        ("12 pages two at once", walk(2, range(1, 13)), "real MISP 3.1 s"),
        (f"all {pages} pages two at once", walk(2, range(1, pages + 1)), ""),
    ]


if __name__ == "__main__":
    for what, figure, beside in run(int(sys.argv[1]) if len(sys.argv) > 1 else ATTRIBUTES):
        print(f"{what:45} {figure:>9}  {beside}")  # noqa: T201 - this is its output
