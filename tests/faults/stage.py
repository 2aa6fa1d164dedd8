"""One run of the command behind proxies, and everything that can be seen of it afterwards."""

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from proxy import Call, Proxy, Script
from warm import Warm

from misp_playbook_lib.sandbox import Sandbox

PLAYBOOK = "create_custom_misp_warninglist"
NAME = "Mine"
NEW = ("028878c4b6ab475ed0be97eca6f92af9", "johnshopkin.net", "158.255.208.168")
KEY = "vt-K3y/with+signs=and&<more>.of@ours!"
"""The key for VirusTotal, which looks otherwise in every shape."""
BEFORE = ("first.example", "second.example")
FULL = {
    "warninglist_name": NAME,
    "warninglist_values": json.dumps(NEW),
    "misp_modules_wait": "0",
    "send_to_mattermost_option": "via a chat message",
    "send_to_slack": "true",
    "send_to_thehive": "true",
}
SCENARIOS: dict[str, dict[str, str]] = {"create": FULL, "append": {**FULL, "enrich_with": "[]"}}
"""What is run, by name: a list is created, with everything on; entries are appended to one that is there."""
ENDED_AT_THE_LATEST = 60
"""Seconds that a run may take in which nothing waits, on a machine that is busy with others."""


@dataclass
class Seen:
    """What became of a run: its exit code (None: it did not end), its files, and what the services hold."""

    scenario: str
    folder: Path
    exit_code: int | None
    seconds: float
    entries: tuple[str, ...] | None
    enabled: bool
    inbox: dict[str, list[Any]]
    calls: list[Call]
    struck: list[Call]
    strangers: int
    secrets: tuple[str, ...]

    @cached_property
    def output(self) -> str:
        paths = sorted([*self.folder.glob("*.out"), *self.folder.glob("*.err")])
        return "".join(path.read_text(errors="replace") for path in paths)

    @cached_property
    def manifests(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("reports/*/*/run.json"))]

    @cached_property
    def files(self) -> dict[str, str]:
        """Everything that the run wrote, as text by path."""
        paths = [path for name in ("reports", "state", "cache") for path in (self.folder / name).rglob("*")]
        texts = {str(path.relative_to(self.folder)): path for path in paths if path.is_file()}
        return {name: path.read_text(errors="replace") for name, path in texts.items()} | {"output": self.output}

    @property
    def said(self) -> str:
        """The run's own words: what it printed, and the manifest's message and problems."""
        told = [line for one in self.manifests for line in (one["message"], *one["problems"])]
        return "\n".join((self.output, *told))


class Stage:
    """A sandbox behind proxies, for one run and what follows it.

    Args:
        folder: where everything goes.
        scenario: what is run.
        script: what happens.
        warm: what starts the command.

    """

    def __init__(self, folder: Path, scenario: str, script: Script, warm: Warm) -> None:
        self.folder, self.scenario, self.script, self.warm = folder, scenario, script, warm
        folder.mkdir(parents=True)
        with ExitStack() as opened:
            self._stranger = opened.enter_context(socket.create_server(("127.0.0.2", 0)))
            script.stranger = "{}:{}".format(*self._stranger.getsockname())
            self.sandbox = opened.enter_context(Sandbox())
            if scenario == "append":
                lines = [(value, "") for value in BEFORE]
                self.sandbox.misp.add_warninglist(NAME, "string", "known", lines, ["ALL"], enabled=False)
            services = (service for service in self.sandbox.services if service.name != "inbox")
            self._proxies = {service.url: Proxy(service.name, service.port, script) for service in services}
            self._modules = self._proxies[self.sandbox.modules.url]
            opened.callback(script.over.set)
            self._opened = opened.pop_all()
        self.vault = self._vault()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MISP_PLAYBOOK_")},
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PYTHONUNBUFFERED": "1",
        }

    def _vault(self) -> Path:
        text = self.sandbox.vault().replace("'sandbox-virustotal-key'", repr(KEY))
        for url, proxy in self._proxies.items():
            text = text.replace(url, f"http://127.0.0.1:{proxy.port}")
        path = self.folder / "keys.py"
        path.touch(0o600)
        path.write_text(text)
        return path

    @property
    def addresses(self) -> dict[str, str]:
        """Addresses and keys of the services, as the run knows them: the proxies' addresses."""
        found = {}
        for name, text in self.sandbox.addresses().items():
            for url, proxy in self._proxies.items():
                text = text.replace(url, f"http://127.0.0.1:{proxy.port}")  # noqa: PLW2901 - it is what is worked on
            found[name] = text
        return found

    @property
    def values(self) -> dict[str, str]:
        """The parameters of a run of the scenario."""
        return {"misp_modules_url": f"http://127.0.0.1:{self._modules.port}", **SCENARIOS[self.scenario]}

    @property
    def given(self) -> list[str]:
        """The command's words for a run of the scenario."""
        words = [word for name, value in self.values.items() for word in ("-p", f"{name}={value}")]
        return ["run", PLAYBOOK, "--vault", str(self.vault), *words]

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start the command with these words, its archive in the stage's folder."""
        return self.warm.start([*words, "--archive", str(self.folder / "reports")], self.environment, self.folder)

    def run(self, *words: str, within: float = ENDED_AT_THE_LATEST) -> Seen:
        """Run the command, and look at everything once it ended, or once its time is over."""
        begun = time.monotonic()
        process = self.start(*words)
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(within)
        seconds = time.monotonic() - begun
        process.kill()
        process.wait()
        return self.seen(code, seconds)

    def seen(self, code: int | None, seconds: float = 0.0) -> Seen:
        """Look at everything as it is now."""
        held = self.sandbox.misp.warninglist(NAME)
        self._stranger.setblocking(False)
        strangers = 0
        with suppress(BlockingIOError):
            while self._stranger.accept():
                strangers += 1
        hooks = [self.addresses[name].rpartition("/")[2] for name in ("mattermost_hook", "slack_hook")]
        keys = [self.addresses["misp_key"], self.addresses["thehive_key"], KEY, "sandbox-shodan-key"]
        return Seen(
            scenario=self.scenario,
            folder=self.folder,
            exit_code=code,
            seconds=seconds,
            entries=tuple(value for value, _ in held["entries"]) if held else None,
            enabled=bool(held and held["enabled"]),
            inbox=self.sandbox.inbox(),
            calls=list(self.script.calls),
            struck=list(self.script.struck),
            strangers=strangers,
            secrets=(*hooks, *keys),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        for proxy in self._proxies.values():
            proxy.close()
        shutil.rmtree(self.folder, ignore_errors=True)
