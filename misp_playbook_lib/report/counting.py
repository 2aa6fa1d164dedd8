"""Shows an analyst how far a search is, at what rate and for how long still; unwatched runs show nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm  # type: ignore[import-untyped]


@contextmanager
def shown_count(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs; what is yielded is told how many are done, of about how many."""
    with tqdm(desc=title, disable=quiet, unit_scale=True, unit="", leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
