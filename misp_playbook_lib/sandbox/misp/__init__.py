"""A MISP 2.5.1 as far as the playbook and the calls of PyMISP that it makes can reach."""

from misp_playbook_lib.sandbox.misp.service import Misp

__all__ = ["Misp"]
