"""Security playbooks for MISP over a small tested library.

`Playbook` and `PlaybookParameters` are what a notebook needs; they are loaded when they are first used, so that
importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misp_playbook_lib.parameters import PlaybookParameters
    from misp_playbook_lib.playbook import Playbook

__all__ = ["Playbook", "PlaybookParameters"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name == "Playbook":
        from misp_playbook_lib.playbook import Playbook  # noqa: PLC0415 - loads pymisp

        return Playbook
    if name == "PlaybookParameters":
        from misp_playbook_lib.parameters import PlaybookParameters  # noqa: PLC0415 - loads pydantic

        return PlaybookParameters
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
