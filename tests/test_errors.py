"""The error tree: what every error keeps on its way from one process to another."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from misp_playbook_lib import errors
from misp_playbook_lib.errors import PlaybookError

SERVICE: dict[str, Any] = {"service": "MISP", "operation": "read the list", "status": 502}
MORE: dict[type[PlaybookError], dict[str, Any]] = {
    errors.RateLimited: {"retry_after": 2.5},
    errors.RequestRejected: {"errors": {"name": ["is taken"]}},
    errors.RunError: {"archive": Path("reports")},
}


def tree(root: type[PlaybookError] = PlaybookError) -> Iterator[type[PlaybookError]]:
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


@pytest.mark.parametrize("kind", list(tree()))
def test_every_error_keeps_its_words_and_facts_from_one_process_to_another(kind: type[PlaybookError]) -> None:
    words: Any = ["tlp is wrong", "pap too"] if kind is errors.ParameterError else "it went wrong"
    facts = (SERVICE if issubclass(kind, errors.ServiceError) else {}) | MORE.get(kind, {})
    error = kind(words, **facts)
    error.add_note("asked twice")
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(arrived) is kind
    assert str(arrived) == str(error) != ""
    assert (arrived.args, vars(arrived)) == (error.args, vars(error))
    assert all(hasattr(arrived, name) for name in facts)
