"""JSON made inside SQLite: one expression a shape, so that a page of 10,000 rows costs no Python and holds no lock."""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters


def flag(column: str) -> str:
    """Return JSON's true or false for a column of 0 and 1."""
    return f"(CASE WHEN {column} THEN 'true' ELSE 'false' END)"


def sharing_group(table: str) -> str:
    """Return the ID of the sharing group that may see a row, as text; the sandbox has one."""
    return f"(CASE {table}.distribution WHEN 4 THEN '1' ELSE '0' END)"


VALUE = "(CASE a.value2 WHEN '' THEN a.value1 ELSE a.value1 || '|' || a.value2 END)"

ATTRIBUTE = (
    """'{"id":"' || a.id || '","event_id":"' || a.event_id || '","object_id":"0","object_relation":null,"category":"'"""
    f""" || a.category || '","type":"' || a.type || '","to_ids":' || {flag("a.to_ids")}"""
    """ || ',"uuid":"' || a.uuid || '","timestamp":"' || a.timestamp || '","distribution":"' || a.distribution"""
    f""" || '","sharing_group_id":"' || {sharing_group("a")} || '","comment":' || json_quote(a.comment)"""
    f""" || ',"deleted":' || {flag("a.deleted")}"""
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

_EVENT_TAGS = """coalesce((SELECT group_concat('{"local":false,"id":"' || g.id || '","name":' || json_quote(g.name)
 || ',"colour":"' || g.colour || '","numerical_value":null}', ',')
 FROM event_tags t JOIN tags g ON g.id = t.tag_id WHERE t.event_id = e.id), '')"""

CONTEXT = (
    """'{"id":"' || e.id || '","orgc_id":"' || e.org_id || '","org_id":"' || e.org_id || '","date":"' || e.date"""
    """ || '","threat_level_id":"' || e.threat_level_id || '","info":' || json_quote(e.info) || ',"published":'"""
    f""" || {flag("e.published")} || ',"uuid":"' || e.uuid || '","analysis":"' || e.analysis || '","timestamp":"'"""
    """ || e.timestamp || '","distribution":"' || e.distribution || '","publish_timestamp":"' || e.publish_timestamp"""
    f""" || '","sharing_group_id":"' || {sharing_group("e")} || '","extends_uuid":"","Tag":['"""
    f""" || {_EVENT_TAGS} || '],"Orgc":{{"id":"' || o.id"""
    """ || '","name":' || json_quote(o.name) || ',"uuid":"' || o.uuid || '","local":true}}'"""
)
"""An event beside its attribute with includeContext."""

_TAG = """'{"id":"' || g.id || '","name":' || json_quote(g.name) || ',"colour":"' || g.colour || '",' """

_OWN = f'group_concat({_TAG} || \'"numerical_value":null,"is_galaxy":false,"local":false}}\', \',\')'
_INHERITED = f"group_concat({_TAG} || '\"numerical_value\":null,\"inherited\":1}}', ',')"


def page(columns: str, where: str, order: str, event: str, inherit: str) -> str:
    """Return the query for a page of a search; its last two parameters are limit and offset.

    Args:
        columns: what is selected of attribute `a`, event `e` and the tags.
        where: conditions on `a`.
        order: the order of the rows.
        event: EVENT or CONTEXT.
        inherit: 1 where the event's tags count among the attribute's, else 0.

    """
    return f"""
WITH page AS MATERIALIZED (SELECT a.id FROM attributes a WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?),
 seen AS MATERIALIZED (
  SELECT e.id, e.uuid, {event} AS json FROM events e JOIN organisations o ON o.id = e.org_id
  WHERE e.id IN (SELECT event_id FROM attributes WHERE id IN page)),
 own AS MATERIALIZED (
  SELECT t.attribute_id AS id, {_OWN} AS json FROM attribute_tags t JOIN tags g ON g.id = t.tag_id
  WHERE t.attribute_id IN page GROUP BY 1),
 inherited AS MATERIALIZED (
  SELECT t.event_id AS id, {_INHERITED} AS json FROM event_tags t JOIN tags g ON g.id = t.tag_id
  WHERE {inherit} AND t.event_id IN (SELECT id FROM seen) GROUP BY 1)
SELECT {columns} FROM page CROSS JOIN attributes a ON a.id = page.id JOIN seen e ON e.id = a.event_id
 LEFT JOIN own ON own.id = a.id LEFT JOIN inherited ON inherited.id = a.event_id
"""


_COMMA = "(CASE WHEN own.json IS NULL OR inherited.json IS NULL THEN '' ELSE ',' END)"
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
