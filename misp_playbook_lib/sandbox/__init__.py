"""An embedded MISP and its neighbours on loopback, for the demo and the tests.

    with Sandbox() as sandbox:
        sandbox.misp.add_event("TinyTurla", [{"type": "md5", "value": "028878c4b6ab475ed0be97eca6f92af9"}])
        … sandbox.addresses() …

Each service has a socket of its own, so that one can be stopped alone.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Self

from misp_playbook_lib.sandbox import thehive
from misp_playbook_lib.sandbox.mattermost import Mattermost
from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.modules import Modules
from misp_playbook_lib.sandbox.real_modules import RealModules
from misp_playbook_lib.sandbox.server import Request, Response, Service
from misp_playbook_lib.sandbox.slack import Slack
from misp_playbook_lib.sandbox.thehive import TheHive

__all__ = ["Sandbox"]

ALL_COMMUNITIES = 3
"""The distribution of an event that gives none: what it tells may be passed on."""
VAULT_MODE = 0o600


class Sandbox:
    """The services of one sandbox, serving from construction until `stop`.

    Args:
        port: MISP's port, its neighbours on the ports above; 0 for free ones.
        data: the SQLite file that keeps MISP's state, None for memory.
        attributes: how many attributes are generated in an empty MISP.
        seed: the number from which they are generated.
        real_modules: whether the real misp-modules runs too, on a free port, and is the one to ask.

    Raises:
        OSError: a port is taken.
        PlaybookError: the real misp-modules is not installed or does not start.
        sqlite3.Error: `data` is no database of the sandbox.

    """

    misp: Misp

    def __init__(
        self,
        port: int = 0,
        data: Path | str | None = None,
        attributes: int = 0,
        seed: int = 1,
        *,
        real_modules: bool = False,
    ) -> None:
        ports = iter(range(port, port + 6) if port else [0] * 6)
        with contextlib.ExitStack() as started:
            self.misp = started.enter_context(
                Misp(next(ports), data, attributes=attributes, seed=seed, default_event_distribution=ALL_COMMUNITIES)
            )
            self.modules = started.enter_context(Modules(next(ports)))
            self.mattermost = started.enter_context(Mattermost(next(ports)))
            self.slack = started.enter_context(Slack(next(ports)))
            self.thehive = started.enter_context(TheHive(next(ports)))
            self.real_modules = started.enter_context(RealModules()) if real_modules else None
            self.receiver = started.enter_context(_Inbox(self, next(ports)))
            started.pop_all()

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service of the sandbox, MISP first."""
        return (self.misp, self.modules, self.mattermost, self.slack, self.thehive, self.receiver)

    @property
    def misp_url(self) -> str:
        """The address of the MISP."""
        return self.misp.url

    @property
    def misp_key(self) -> str:
        """The key of the MISP's site admin."""
        return self.misp.key

    @property
    def misp_modules_url(self) -> str:
        """The address of the misp-modules: the real one where it runs, else the light one."""
        return (self.real_modules or self.modules).url

    @property
    def inbox_url(self) -> str:
        """Where what the receivers got can be read as JSON."""
        return self.receiver.url

    def inbox(self) -> dict[str, list[Any]]:
        """Return what each receiver got."""
        alerts = [alert | {"observables": self.thehive.observables[alert["_id"]]} for alert in self.thehive.alerts]
        return {"mattermost": list(self.mattermost.posts), "slack": list(self.slack.posts), "thehive": alerts}

    def addresses(self) -> dict[str, str]:
        """Return the addresses and keys that a playbook needs, and where what it delivered can be read."""
        return {
            "misp_url": self.misp_url,
            "misp_key": self.misp_key,
            "misp_modules_url": self.misp_modules_url,
            "mattermost_hook": self.mattermost.hook,
            "slack_hook": self.slack.hook,
            "thehive_url": self.thehive.url,
            "thehive_key": thehive.KEY,
            "inbox_url": self.inbox_url,
        }

    def vault(self) -> str:
        """Return the text of a vault file that points to this sandbox."""
        entries: dict[str, Any] = {
            "misp_url": self.misp_url,
            "misp_key": self.misp_key,
            "misp_verifycert": True,
            "misp_modules_url": self.misp_modules_url,
            "mattermost_playbook_user": "MISP Playbook",
            "mattermost_hook": self.mattermost.hook,
            "slack_hook": self.slack.hook,
            "thehive_url": self.thehive.url,
            "thehive_key": thehive.KEY,
            "virustotal_apikey": "sandbox-virustotal-key",
            "shodan_apikey": "sandbox-shodan-key",
            "virustotal_calls_per_minute": 0,
            "virustotal_calls_per_day": 0,
            "shodan_calls_per_minute": 0,
            "sandbox": True,
            "sandbox_addresses": [
                self.misp_url,
                self.misp_modules_url,
                *(service.url for service in (self.mattermost, self.slack, self.thehive)),
            ],
        }
        return "".join(f"{name} = {value!r}\n" for name, value in entries.items())

    def write_vault(self, path: Path | str) -> None:
        """Write the vault file, readable by its owner alone.

        Raises:
            OSError: it cannot be written.

        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, VAULT_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, VAULT_MODE)
            file.write(self.vault())

    def stop(self) -> None:
        """Stop every service; what MISP kept in memory is gone."""
        for service in self.services:
            service.stop()
        if self.real_modules:
            self.real_modules.stop()
        self.misp.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Inbox(Service):
    """Shows what the receivers got."""

    name = "inbox"

    def __init__(self, sandbox: Sandbox, port: int = 0) -> None:
        self._sandbox = sandbox
        super().__init__(port)

    def handle(self, request: Request) -> Response:  # noqa: ARG002 - whatever is asked
        """Answer with everything."""
        text = json.dumps(self._sandbox.inbox(), ensure_ascii=False)
        return Response(200, text, content_type="application/json")
