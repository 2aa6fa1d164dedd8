"""Writes to the terminal: an output that cannot be written never ends what writes."""

import os
import sys
from contextlib import suppress

import click

from misp_playbook_lib.untrusted import visible


def say(*lines: str, err: bool = False) -> None:
    """Write lines without secrets; what is from outside sets no title, clears no screen, and makes no line of its own.

    Characters that the terminal's encoding lacks are escaped. Where writing fails (a pipe that was closed, a full
    disk), the output goes nowhere from then on.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = "\n".join(map(visible, lines))
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)
    except OSError:
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
