"""JSON made inside SQLite: one expression a shape, so that a page of 10,000 rows costs no Python and holds no lock."""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters


def flag(column: str) -> str:
    """Return JSON's true or false for a column of 0 and 1."""
    return f"(CASE WHEN {column} THEN 'true' ELSE 'false' END)"


VALUE = "(CASE a.value2 WHEN '' THEN a.value1 ELSE a.value1 || '|' || a.value2 END)"

ATTRIBUTE = (
    """'{"id":"' || a.id || '","event_id":"' || a.event_id || '","object_id":"0","object_relation":null,"category":"'"""
    f""" || a.category || '","type":"' || a.type || '","to_ids":' || {flag("a.to_ids")}"""
    """ || ',"uuid":"' || a.uuid || '","timestamp":"' || a.timestamp || '","distribution":"' || a.distribution"""
    f""" || '","sharing_group_id":"0","comment":' || json_quote(a.comment) || ',"deleted":' || {flag("a.deleted")}"""
    f""" || ',"disable_correlation":' || {flag("a.disable_correlation")}"""
    """ || ',"first_seen":' || json_quote(a.first_seen) || ',"last_seen":' || json_quote(a.last_seen)"""
    f""" || ',"value":' || json_quote({VALUE})"""
)
"""An attribute as restSearch shows it, up to its value: event, tags and the closing brace follow."""

EVENT = (
    """'{"org_id":"' || e.org_id || '","distribution":"' || e.distribution || '","publish_timestamp":"'"""
    """ || e.publish_timestamp || '","id":"' || e.id || '","info":' || json_quote(e.info) || ',"orgc_id":"'"""
    """ || e.org_id || '","uuid":"' || e.uuid || '"}'"""
)
"""An event beside its attribute."""

_EVENT_COMMA = "(CASE WHEN own.json IS NULL OR inherited.json IS NULL THEN '' ELSE ',' END)"
_TAGS = f"coalesce(own.json, '') || {_COMMA} || coalesce(inherited.json, '')"


def tail(*, event_uuid: bool) -> str:
    """Return what follows an attribute's value: the event's uuid where it is asked for, event, tags."""
    uuid = """',"event_uuid":"' || e.uuid || '"'""" if event_uuid else "''"
    tags = f"""(CASE WHEN own.json IS NULL AND inherited.json IS NULL THEN '' ELSE ',"Tag":[' || {_TAGS} || ']' END)"""
    return f"""{uuid} || ',"Event":' || e.json || {tags} || '}}'"""


ENTRY = """'{"id":"' || id || '","value":' || json_quote(value) || ',"warninglist_id":"' || warninglist_id
 || '","comment":' || json_quote(comment) || '}'"""
"""An entry of a warninglist."""

TYPE = """'{"id":"' || id || '","type":' || json_quote(type) || ',"warninglist_id":"' || warninglist_id || '"}'"""
"""A type of a warninglist."""
