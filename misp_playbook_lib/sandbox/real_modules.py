"""The real misp-modules 3.1.0 as a process of its own, with VirusTotal and Shodan on loopback behind it."""

import contextlib
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import requests

from misp_playbook_lib.errors import ServiceUnavailable, SettingsError
from misp_playbook_lib.sandbox.vendors import Vendors

PYTHON = Path(__file__).parents[2] / ".misp-modules" / "bin" / "python"
"""The interpreter of the environment that `make misp-modules` makes in a checkout."""
LAUNCHER = """
import os, sys, vt.client
from misp_modules.__main__ import main
vt.client._API_HOST = os.environ["VIRUSTOTAL_API_URL"]
sys.exit(main())
"""
"""Runs in that environment: vt-py has no setting for another address, Shodan's client reads SHODAN_API_URL."""
ATTEMPTS, BETWEEN = 300, 0.2
"""How often it is asked whether it is there, and the seconds between; it takes about 2 s."""


class RealModules:
    """Starts misp-modules on a free port; `url` is its address, `vendors` what stands behind it.

    Raises:
        SettingsError: its environment is not there.
        ServiceUnavailable: it ended, or did not answer in time; the end of its log is in the message.

    """

    def __init__(self) -> None:
        if not PYTHON.exists():
            raise SettingsError("There is no real misp-modules here: make misp-modules, in a checkout, installs it.")
        self.vendors = Vendors()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - __exit__ closes it
        vendors = dict.fromkeys(("VIRUSTOTAL_API_URL", "SHODAN_API_URL"), self.vendors.url)
        self._process = subprocess.Popen(  # noqa: S603 - our own launcher
            [PYTHON, "-c", LAUNCHER, "-l", "127.0.0.1", "-p", str(port)],
            env=os.environ | vendors | {"NO_PROXY": "127.0.0.1"},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        if not self._starts():
            self.stop()
            raise ServiceUnavailable(f"it did not start: {self.log[-500:]}", service="misp-modules", operation="start")

    @property
    def log(self) -> str:
        """What misp-modules wrote."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _starts(self) -> bool:
        """Wait until it answers; False where it ended instead, or does not answer."""
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(ATTEMPTS):
                with contextlib.suppress(requests.ConnectionError):
                    return session.get(f"{self.url}/healthcheck", timeout=10).ok
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(BETWEEN)
                    return False
        return False

    def stop(self) -> None:
        """End the process and what stands behind it."""
        self._process.terminate()
        self._process.wait(10)
        self.vendors.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()
