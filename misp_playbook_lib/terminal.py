"""Writes to the terminal: an output that cannot be written never ends what writes."""

import os
import sys
from contextlib import suppress

import click


def say(text: str, *, err: bool = False) -> None:
    """Write a line; characters that the terminal's encoding lacks are escaped.

    Where that fails (a pipe that was closed, a full disk), the output goes nowhere from then on.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)
    except OSError:
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
