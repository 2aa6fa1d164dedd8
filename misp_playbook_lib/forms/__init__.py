"""Forms over the parameters of a run, each shown beside the step it belongs to; only the notebook imports them.

Where nobody is watching, the same call shows the parameters that were injected.
"""

from misp_playbook_lib.forms.entries import values
from misp_playbook_lib.forms.lists import choose_list, details
from misp_playbook_lib.forms.modules import modules
from misp_playbook_lib.forms.notifiers import notifiers
from misp_playbook_lib.forms.plain import search, writing
from misp_playbook_lib.open_run import STEP_OF_VARIABLE
from misp_playbook_lib.report.display import explain_missing

__all__ = ["choose_list", "details", "modules", "notifiers", "search", "values", "writing"]

explain_missing(STEP_OF_VARIABLE)  # with the first import, so that a cell run before PR:1 is told too
