"""An embedded MISP and its neighbours on loopback, for the demo and the tests.

    with Sandbox() as sandbox:
        sandbox.misp.add_event("TinyTurla", [{"type": "md5", "value": "028878c4b6ab475ed0be97eca6f92af9"}])
        … sandbox.addresses() …

Each service has a socket of its own, so that one can be stopped alone.
"""

import json
import os
from pathlib import Path
from typing import Any, Self

from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.server import Request, Response, Service

__all__ = ["Sandbox"]

VAULT_MODE = 0o600


class Sandbox:
    """The services of one sandbox, serving from construction until `stop`.

    Args:
        port: MISP's port, its neighbours on the ports above; 0 for free ones.
        data: the SQLite file that keeps MISP's state, None for memory.
        attributes: how many attributes to generate.
        seed: the number from which they are generated.

    Raises:
        OSError: a port is taken.

    """

    def __init__(self, port: int = 0, data: Path | str | None = None, attributes: int = 0, seed: int = 1) -> None:
        self.misp = Misp(port, data)
        self.receiver = _Inbox(self)

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service of the sandbox, MISP first."""
        return (self.misp, self.receiver)

    @property
    def misp_url(self) -> str:
        """The address of the MISP."""
        return self.misp.url

    @property
    def misp_key(self) -> str:
        """The key of the MISP's site admin."""
        return self.misp.key

    @property
    def inbox_url(self) -> str:
        """Where what the receivers got can be read as JSON."""
        return self.receiver.url

    def inbox(self) -> dict[str, list[Any]]:
        """Return what each receiver got."""
        return {}

    def addresses(self) -> dict[str, str]:
        """Return the addresses and keys that a playbook needs, and where what it delivered can be read."""
        return {"misp_url": self.misp_url, "misp_key": self.misp_key, "inbox_url": self.inbox_url}

    def vault(self) -> str:
        """Return the text of a vault file that points to this sandbox."""
        entries: dict[str, Any] = {
            "misp_url": self.misp_url,
            "misp_key": self.misp_key,
            "misp_verifycert": True,
            "sandbox": True,
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
        """Stop every service."""
        for service in self.services:
            service.stop()

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
