"""A MISP 2.5.1 as far as the playbook and the calls of PyMISP that it makes can reach.

What answers: warninglists (index, view, add, edit, toggleEnable, checkValue, delete, export, import, update),
attributes (restSearch, add, edit, view, delete, describeTypes), events (restSearch, add, view, publish, delete),
tags (attach, remove), feeds (searchCaches), users/view/me, roles, servers (getVersion, getPyMISPVersion, getSetting).
Held to exchanges recorded with a real one, as recorded and renamed: tests/contract/test_misp_recordings.py.

What is left out, and why:

| left out | reason |
| --- | --- |
| pages of the website, enableWarninglist, XML | neither the playbook nor PyMISP asks for them |
| the markup of HTML errors | only status, content type and the words are read |
| X-Result-Count of an enforced page | counts one row less than elsewhere now and then; nobody reads it |
| users, organisations, sharing groups, distribution: who sees what | every user of the sandbox is of one organisation |
| sightings, event reports, proposals, objects, galaxies, correlations on demand | the playbook asks for none |
| indices of events, tags, organisations, feeds | the playbook asks for none |
| restSearch's formats but json, text, csv, count; CSV's default columns and `headerless` | the playbook asks for JSON |
| restSearch by first_seen, sharing group, object, decay, galaxy, threat level | the playbook does not filter by them |
| an attribute's value checked against its type | what tests add is valid; MISP's freetext checks are the library's |
| local tags | refused, as on a fresh install |
| a warninglist's comment in an event's warnings | not in the recordings |
| settings but MISP.warning_for_all | the playbook asks for no other |
| rate limits, e-mail, workflows, audit log | not reachable through the API calls above |
"""

from misp_playbook_lib.sandbox.misp.service import Misp

__all__ = ["Misp"]
