"""Shows an analyst how far something is and how long it will take still; a run that nobody watches shows nothing."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol

from misp_playbook_lib.untrusted import visible

if TYPE_CHECKING:
    from tqdm.auto import tqdm


SECOND = 1.0
"""How long something may take before it is shown that it takes."""


class Counted(Protocol):
    """Something that says how far it is."""

    total: int
    done: int
    asking: str
    seconds_left: float


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Callable[[str, Counted], None]]:
    """Show a bar for each title while the block runs: how many are done, what is asked, about how long it will take."""
    bars: dict[str, tqdm[NoReturn]] = {}

    def show(title: str, counted: Counted) -> None:
        if quiet or not counted.total:
            return
        bar = bars.get(title)
        if bar is None:
            from tqdm.auto import tqdm  # noqa: PLC0415 - it loads ipywidgets, which only somebody who watches needs

            bar = bars[title] = tqdm(
                total=counted.total, desc=visible(title), bar_format="{desc}: {n}/{total} {bar} {postfix}"
            )
        bar.n = counted.done
        bar.set_postfix_str(f"{visible(counted.asking)}, about {counted.seconds_left / 60:,.0f} min left")

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


@contextmanager
def shown_count(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs; what is yielded is told how many are done, of about how many."""
    if quiet:
        yield lambda _done, _total: None
        return
    from tqdm.auto import tqdm  # noqa: PLC0415 - as above

    with tqdm(desc=title, unit_scale=True, unit="", leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


@contextmanager
def shown_waiting(title: str, *, quiet: bool, after: float = SECOND) -> Iterator[None]:
    """Show how long the block has been running, if it runs for more than `after` seconds; its end takes that away."""
    if quiet:
        yield
        return
    over, begun = threading.Event(), time.time()

    def show() -> None:
        if over.wait(after):
            return
        from tqdm.auto import tqdm  # noqa: PLC0415 - as above

        with tqdm(desc=title, bar_format="{desc}: {elapsed}", leave=False) as bar:
            bar.start_t = begun
            while not over.wait(SECOND):
                bar.refresh()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
