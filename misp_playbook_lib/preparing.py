"""What the commands do before they start runs: read parameters, start a sandbox, archive what was left behind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.terminal import say


@contextmanager
def sandbox_vault(wanted: bool) -> Iterator[Path | None]:
    """Start the sandbox if it is wanted, and yield its vault."""
    if not wanted:
        yield None
        return
    from misp_playbook_lib.report.owned import temporary_folder  # noqa: PLC0415
    from misp_playbook_lib.sandbox import Sandbox  # noqa: PLC0415 - only a sandbox run needs it

    with temporary_folder() as folder, Sandbox() as sandbox:
        vault = folder / "keys.py"
        sandbox.write_vault(vault)
        yield vault


def archive_left_behind(archive: Path) -> None:
    """Archive the runs that ended without being archived, and say which."""
    from misp_playbook_lib import archiving  # noqa: PLC0415 - as below

    for line in archiving.archive_left_behind(archive):
        say(f"! {line}", err=True)


def read_texts(assignments: Sequence[str], files: Sequence[Path]) -> dict[str, str | list[str]]:
    """Read parameters as texts from files and from `name=value`, which wins.

    Raises:
        ParameterError: one of them cannot be read.

    """
    from misp_playbook_lib.parameters import read_parameter_file  # noqa: PLC0415 - --help need not load it

    texts: dict[str, str | list[str]] = {}
    for path in files:
        texts |= read_parameter_file(path)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ParameterError([f"-p {assignment} is not of the form name=value"])
        texts[name.strip()] = value
    return texts
