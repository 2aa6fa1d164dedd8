"""How papermill runs a playbook's notebook: as it always does, but saved once for each code cell that ran."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.iorw import write_ipynb

ENGINE = "misp-playbook"
SECONDS = 1.0
"""Between two savings: what a run whose process dies may lose of its notebook; its state is saved after each step."""


class SavingSparingly(NBClientEngine):  # type: ignore[misc]  # papermill ships no types
    """Saves the notebook after a code cell, at most once a second, and at the end, however that comes.

    Papermill saves it before and after every cell, those of text too: a quarter of a short run's time.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> None:
        """Run the notebook; papermill gives the arguments."""
        path, nb_man.output_path = Path(nb_man.output_path), None
        told = options.pop("on_cell_executed")
        saved = time.monotonic()
        write_ipynb(nb_man.nb, str(path))

        def executed(**cell: Any) -> None:
            nonlocal saved
            if time.monotonic() - saved >= SECONDS:
                write_ipynb(nb_man.nb, str(path))
                saved = time.monotonic()
            told(**cell)

        run = super().execute_managed_notebook
        try:
            # nbclient handles SIGINT and SIGTERM by itself where it runs in the main thread: it would drop the kernel.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(run, nb_man, kernel_name, on_cell_executed=executed, **options).result()
        finally:
            write_ipynb(nb_man.nb, str(path))


papermill_engines.register(ENGINE, SavingSparingly)
