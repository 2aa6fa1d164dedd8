"""The forms that hold nothing but their parameters: how to write, what to search for."""

from misp_playbook_lib.forms.form import Form, control, names_of, show
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.report.display import View


def writing(run: Playbook) -> Form | View:
    """IN:5, IN:6. Whether to write, dangerous entries too, and whether to enable the list."""
    return _form(run, "IN:5", names_of("IN:5", "IN:6"))


def search(run: Playbook) -> Form | View:
    """ER:1 to ER:3. Which attributes to search, and the TLP, by which modules are asked or not."""
    return _form(run, "ER:1", (*names_of("ER:1"), "tlp"))


def _form(run: Playbook, step: str, names: tuple[str, ...]) -> Form | View:
    return show(run, names, lambda: Form(run, step, [control(run, name) for name in names]))
