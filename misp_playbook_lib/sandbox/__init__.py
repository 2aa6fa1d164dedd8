"""An embedded MISP and its neighbours on loopback, for the demo and the tests.

    with Sandbox() as sandbox:
        sandbox.misp.add_event("TinyTurla", [{"type": "md5", "value": "028878c4b6ab475ed0be97eca6f92af9"}])
        … sandbox.addresses() …

Each service has a socket of its own, so that one can be stopped alone.
"""

from pathlib import Path
from typing import Self

from misp_playbook_lib.sandbox.server import Service

__all__ = ["Sandbox"]


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
        raise NotImplementedError(port, data, attributes, seed)

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service of the sandbox, MISP first."""
        return ()

    def stop(self) -> None:
        """Stop every service."""
        for service in self.services:
            service.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
