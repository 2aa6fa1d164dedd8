"""Checks that a file is a notebook that can be run."""

import json
from pathlib import Path

from nbformat.validator import iter_validate

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.given import read_given

FORMAT = 4
LIMIT = 1 << 26
"""The most bytes of a notebook; a playbook has less than a hundred thousand."""


def check_notebook(path: Path) -> None:
    """See that a notebook can be read and has what its format's schema asks for.

    Raises:
        ParameterError: it cannot be read, or is malformed.

    """
    try:
        notebook = json.loads(read_given(path, LIMIT).decode())
        valid = notebook["nbformat"] == FORMAT and not any(iter_validate(notebook))
    except OSError as error:
        raise ParameterError([f"{path} cannot be read: {error.strerror}"]) from None
    except (ValueError, LookupError, TypeError, AssertionError, RecursionError):
        valid = False
    if not valid:
        raise ParameterError([f"{path} is no notebook of format {FORMAT}: save it in Jupyter again"])
