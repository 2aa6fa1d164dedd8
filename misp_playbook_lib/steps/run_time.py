"""How long an unattended run may take: at its deadline lookups and search end, and it goes on to its summary."""

import os
import threading
import time
from pathlib import Path

from misp_playbook_lib.clients.deadline import set_deadline
from misp_playbook_lib.report.archive import RUN_TIMEOUT, write_whole
from misp_playbook_lib.settings import RUN_TIMEOUT_VARIABLE

DEFAULT_SECONDS = 3600.0


class RunTime:
    """The time of the run of this process.

    Args:
        folder: the run's folder, where the runner reads how long the run may take; None: somebody works on it, and it
            has no deadline.

    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._begun = time.monotonic()
        self._lookups = 0.0
        self._lock = threading.Lock()
        said = os.environ.get(RUN_TIMEOUT_VARIABLE, "")
        self._seconds = float(said) if said else DEFAULT_SECONDS
        self._fixed = bool(said) or folder is None
        set_deadline(self._begun + self._seconds if folder and self._seconds else None)

    def add_lookups(self, seconds: float) -> None:
        """Move a deadline that nobody set by what the quota of the slowest module needs.

        Raises:
            SettingsError: the runner cannot be told.

        """
        with self._lock:
            if self._fixed or self._folder is None or seconds <= self._lookups:
                return
            self._lookups = seconds
            set_deadline(self._begun + self._seconds + seconds)
            write_whole(self._folder / RUN_TIMEOUT, f"{self._seconds + seconds:.0f}")
