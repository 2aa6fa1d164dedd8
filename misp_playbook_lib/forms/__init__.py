"""Forms over the parameters of a run, each shown beside the step it belongs to; only the notebook imports them.

Where nobody is watching, the same call shows the parameters that were injected.
"""

from misp_playbook_lib.forms.entries import values
from misp_playbook_lib.forms.lists import choose_list, details
from misp_playbook_lib.forms.modules import modules
from misp_playbook_lib.forms.notifiers import notifiers
from misp_playbook_lib.forms.plain import search, writing

__all__ = ["choose_list", "details", "modules", "notifiers", "search", "values", "writing"]
