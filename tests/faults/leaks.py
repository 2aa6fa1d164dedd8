"""What must not get out: secrets that a service names, in every shape; what hostile values do, in every way out."""

import csv
import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import judging
from proxy import INSTEAD, Call, Script
from secret_shapes import SHAPES
from stage import KEY, Stage
from warm import Warm

from misp_playbook_lib.sandbox.misp.answers import InternalError

HOSTILE: Sequence[str] = json.loads((Path(__file__).parent / "hostile.json").read_text())
NAMED_BY = (
    "misp GET /warninglists/index 1",
    "misp-modules POST /query shodan 1",
    "mattermost POST /hooks/* 1",
)
"""Calls that are answered with a refusal that names a secret."""
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f]")
FORMULA = re.compile(r"[\x00-\x20]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet would take for a formula; a text with an apostrophe in front it does not."""
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
ALIVE = re.compile(r"(?<![\\\w])@(all|channel|here)\b|!\[|\]\((?!http://127\.)|<!|<script|<img", re.IGNORECASE)
"""What would be alive in Markdown outside of code."""
SHORTEST = 4
"""Shorter values stand anywhere by chance."""


@dataclass(frozen=True)
class Leak:
    """A service answers one call with a secret in one shape."""

    call: str
    shape: str

    def __str__(self) -> str:
        return f"secret {self.shape}: {self.call}"

    @property
    def group(self) -> str:
        """Where the results count it."""
        return "secrets"

    def wrong(self, folder: Path, warm: Warm) -> list[str]:
        """Run the command with that answer in a new folder, and say where the secret is."""

        def strikes(call: Call) -> bool:
            return str(call) == self.call

        script = Script("secret", strikes)
        with Stage(folder, "create", script, warm) as stage:
            hook = stage.addresses["mattermost_hook"]
            secrets = (KEY, stage.addresses["misp_key"], hook, hook.rpartition("/")[2])
            words = [SHAPES[self.shape](secret) for secret in secrets]
            body = json.dumps({"message": f"mark {' '.join(words)}"}).encode()
            script.answers = {**INSTEAD, "secret": (400, "application/json", body)}
            seen = stage.run(*stage.given)
            places = {**seen.files, "the inbox": json.dumps(seen.inbox, ensure_ascii=False)}
            forms = {form for word in words for form in (word, json.dumps(word)[1:-1])}
            found = [f"{name} holds it" for name, text in places.items() if any(form in text for form in forms)]
            found += [] if seen.struck else ["the call was not made"]
            return [*found, *judging.always_wrong(seen)]


class HostileRun:
    """One run in which everything that comes from outside is hostile; it goes once, for all its cells."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ways: dict[str, str] = {}

    def ways(self, folder: Path, warm: Warm) -> dict[str, str]:
        """Return what went out, by way."""
        with self._lock:
            if not self._ways:
                self._ways = self._run(folder, warm)
        return self._ways

    def _run(self, folder: Path, warm: Warm) -> dict[str, str]:
        with Stage(folder, "create", Script(), warm) as stage:
            misp = stage.sandbox.misp
            host = "evil-host.net"
            for value in HOSTILE:
                attributes = [{"type": "domain", "value": host, "comment": value}]
                name = value if value.strip() else f"x{value}"  # which MISP takes for none
                misp.add_event(name, attributes, tags=[name], org=name)
                with suppress(InternalError):  # characters that MISP's column does not take
                    misp.add_warninglist(f"{value} list", "string", "known", [("x.example", value)], ["ALL"])
            answers = [
                {"type": "text", "object_relation": value, "category": "Other", "value": value} for value in HOSTILE
            ]
            stage.sandbox.modules.answers["virustotal_public", "hostname", host] = {
                "results": {"Object": [{"name": HOSTILE[0], "Attribute": answers}]}
            }
            seen = stage.run(*stage.given, "-p", f"warninglist_values=[{host}]")
            if seen.exit_code not in (0, 4):
                raise LookupError(f"the hostile run ended with {seen.exit_code}: {seen.output}")
            return {
                "terminal": seen.output,
                "report": "".join(text for name, text in seen.files.items() if name.endswith(".html")),
                "CSV": "\n".join(text for name, text in seen.files.items() if name.endswith(".csv")),
                **{name: json.dumps(posts) for name, posts in seen.inbox.items()},
            }


@dataclass(frozen=True)
class Hostile:
    """One hostile value, one way out."""

    number: int
    way: str
    run: HostileRun

    def __str__(self) -> str:
        return f"hostile {HOSTILE[self.number]!a}: {self.way}"

    @property
    def group(self) -> str:
        """Where the results count it."""
        return f"hostile values: {self.way}"

    def wrong(self, folder: Path, warm: Warm) -> list[str]:
        """Say what the value does in this way out."""
        text = self.run.ways(folder, warm)[self.way]
        value = HOSTILE[self.number]
        return [f"it does: {what}" for what in WAYS[self.way](text, value)]


def on_terminal(text: str, value: str) -> list[str]:
    """Look for what moves a terminal or begins a line of its own."""
    found = sorted({repr(one) for one in CONTROLS.findall(value) if one in text and one != "\r"})
    line = value.strip().splitlines()[-1] if "\n" in value or "\r" in value else ""
    return found + [f"a line of its own: {line}" for one in text.splitlines() if line and one.startswith(line)]


def in_report(text: str, value: str) -> list[str]:
    """Look for markup that came from the value."""
    found = ["markup"] if "<" in value and len(value) >= SHORTEST and value in text else []
    return found + sorted({repr(one) for one in CONTROLS.findall(value) if one in text and one not in "\r\x0b\x0c"})


def in_table(text: str, value: str) -> list[str]:
    """Look for cells that a spreadsheet would take for a formula."""
    if not FORMULA.match(value):
        return []
    cells = [cell for row in csv.reader(io.StringIO(text.replace("\0", ""))) for cell in row]
    return sorted({f"a formula: {cell!a}" for cell in cells if cell == value})


def in_chat(text: str, value: str) -> list[str]:
    """Look for what is alive in a message of Markdown, outside of code."""
    texts = list(every_string(json.loads(text)))
    found = {repr(one) for one in CONTROLS.findall(value) for string in texts if one in string and one != "\r"}
    if ALIVE.search(value):
        found |= {f"alive: {match[0]}" for string in texts if (match := ALIVE.search(CODE.sub("", string)))}
    return sorted(found)


def in_slack(text: str, value: str) -> list[str]:
    """Look for what is alive in a message of blocks: its fallback text, mrkdwn, and links to elsewhere."""
    posts = json.loads(text)
    found = [repr(one) for one in CONTROLS.findall(value) if one != "\r" and one in "".join(every_string(posts))]
    found += ["mrkdwn"] if '"mrkdwn"' in text else []
    found += [f"alive: {value}" for post in posts if len(value) >= SHORTEST and "<" in value and value in post["text"]]
    return found + [link for link in re.findall(r'"url": "([^"]*)"', text) if not link.startswith("http://127.")]


def every_string(data: Any) -> Iterator[str]:
    """Yield every text in some JSON."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from every_string(value)
    elif isinstance(data, list):
        for value in data:
            yield from every_string(value)


WAYS: dict[str, Callable[[str, str], list[str]]] = {
    "terminal": on_terminal,
    "report": in_report,
    "CSV": in_table,
    "mattermost": in_chat,
    "slack": in_slack,
    "thehive": in_chat,
}


def leaks() -> Iterator[Leak | Hostile]:
    """Return every secret's shape by whom it is named, and every hostile value in every way out."""
    for call in NAMED_BY:
        for shape in SHAPES:
            yield Leak(call, shape)
    run = HostileRun()
    for number in range(len(HOSTILE)):
        for way in WAYS:
            yield Hostile(number, way, run)
