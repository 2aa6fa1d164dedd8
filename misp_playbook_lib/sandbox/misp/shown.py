"""How MISP shows an event: with its attributes and their warnings, its tags and the events that share a value."""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters

import sqlite3
from collections.abc import Iterable
from typing import Any

from misp_playbook_lib.sandbox.misp.warninglists import Warninglists

NOT_CORRELATING = ("comment", "http-method", "gender", "counter", "float", "port", "boolean", "anonymised")
TAG: dict[str, Any] = {
    "exportable": True,
    "user_id": "0",
    "hide_tag": False,
    "numerical_value": None,
    "is_galaxy": False,
    "is_custom_galaxy": False,
    "local_only": False,
    "local": False,
    "relationship_type": None,
}
SHARING_GROUP = 4
"""The distribution that names a sharing group."""
FIRST_HALF_ONLY = ("ip-src|port", "ip-dst|port", "hostname|port")


def event_shown(
    db: sqlite3.Connection, row: sqlite3.Row, lists: Warninglists, *, metadata: bool = False
) -> dict[str, Any]:
    """Return an event as events/view shows it, or without its contents as a search for metadata does."""
    organisation = _organisation(db, row["org_id"])
    organisation["local"] = True
    related: list[dict[str, Any]] = [{"Event": _related(db, other)} for other in _correlated(db, row["id"])]
    shown: dict[str, Any] = {
        "id": str(row["id"]),
        "orgc_id": str(row["org_id"]),
        "org_id": str(row["org_id"]),
        "date": row["date"],
        "threat_level_id": str(row["threat_level_id"]),
        "info": row["info"],
        "published": bool(row["published"]),
        "uuid": row["uuid"],
        "attribute_count": str(row["attribute_count"]),
        "analysis": str(row["analysis"]),
        "timestamp": str(row["timestamp"]),
        "distribution": str(row["distribution"]),
        "proposal_email_lock": False,
        "locked": False,
        "publish_timestamp": str(row["publish_timestamp"]),
        "sharing_group_id": sharing_group(row),
        "disable_correlation": False,
        "extends_uuid": "",
        "protected": None,
        "event_creator_email": "admin@admin.test",
        "Org": organisation,
        "Orgc": organisation,
    }
    if not metadata:
        shown |= {"Attribute": _attributes(db, row["id"], lists), "ShadowAttribute": []}
        related = [one | {"RelationshipInbound": []} for one in related]
    shown |= {"RelatedEvent": related, "Galaxy": []}
    if not metadata:
        shown |= {"Object": [], "EventReport": []}
    shown["CryptographicKey"] = []
    tags = tags_shown(db, "event", row["id"])
    return shown | ({"Tag": tags} if tags else {})


def _attributes(db: sqlite3.Connection, event_id: int, lists: Warninglists) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row in db.execute("SELECT * FROM attributes WHERE event_id = ? AND NOT deleted ORDER BY id", [event_id]):
        shown = attribute_fields(row)
        warnings = _warnings(shown, lists)
        if warnings:
            shown["warnings"] = warnings
        shown |= {"Galaxy": [], "ShadowAttribute": []}
        tags = tags_shown(db, "attribute", row["id"])
        found.append(shown | ({"Tag": tags} if tags else {}))
    return found


def _warnings(shown: dict[str, Any], lists: Warninglists) -> list[dict[str, Any]]:
    """Return an attribute's warnings; a list's id is a text when first told, a number from MISP's cache after."""
    found: list[dict[str, Any]] = list(lists.warnings().of(shown["type"], shown["value"], to_ids=shown["to_ids"]))
    key = (shown["type"], shown["value"])
    if found and key in lists.told:
        found = [warning | {"warninglist_id": int(warning["warninglist_id"])} for warning in found]
    lists.told.add(key)
    return found


def attribute_fields(row: sqlite3.Row) -> dict[str, Any]:
    """Return an attribute's own fields as the API shows them."""
    return {
        "id": str(row["id"]),
        "event_id": str(row["event_id"]),
        "object_id": "0",
        "object_relation": None,
        "category": row["category"],
        "type": row["type"],
        "to_ids": bool(row["to_ids"]),
        "uuid": row["uuid"],
        "timestamp": str(row["timestamp"]),
        "distribution": str(row["distribution"]),
        "sharing_group_id": sharing_group(row),
        "comment": row["comment"],
        "deleted": bool(row["deleted"]),
        "disable_correlation": bool(row["disable_correlation"]),
        "first_seen": row["first_seen"],
        "last_seen": row["last_seen"],
        "value": f"{row['value1']}|{row['value2']}" if row["value2"] else row["value1"],
    }


def sharing_group(row: sqlite3.Row) -> str:
    """Return the ID of the sharing group that may see an event or attribute; the sandbox has one."""
    return "1" if row["distribution"] == SHARING_GROUP else "0"


def _organisation(db: sqlite3.Connection, org_id: int) -> dict[str, Any]:
    row = db.execute("SELECT * FROM organisations WHERE id = ?", [org_id]).fetchone()
    return {"id": str(row["id"]), "name": row["name"], "uuid": row["uuid"]}


def _correlated(db: sqlite3.Connection, event_id: int) -> Iterable[sqlite3.Row]:
    """Return the other events that share a value with this one (MISP's correlation)."""
    marks = ", ".join("?" * len(NOT_CORRELATING))
    halves = ", ".join("?" * len(FIRST_HALF_ONLY))
    own = (
        f"SELECT key1 AS k FROM attributes WHERE event_id = ? AND NOT deleted AND type NOT IN ({marks})"
        f" UNION SELECT key2 FROM attributes WHERE event_id = ? AND NOT deleted AND key2 != ''"
        f" AND type NOT IN ({halves})"
    )
    sharing = (
        f"SELECT event_id FROM attributes WHERE key1 IN ({own}) AND NOT deleted AND type NOT IN ({marks})"
        f" UNION SELECT event_id FROM attributes WHERE key2 != '' AND key2 IN ({own}) AND NOT deleted"
        f" AND type NOT IN ({halves})"
    )
    mine = (event_id, *NOT_CORRELATING, event_id, *FIRST_HALF_ONLY)
    parameters = (*mine, *NOT_CORRELATING, *mine, *FIRST_HALF_ONLY, event_id)
    return db.execute(f"SELECT * FROM events WHERE id IN ({sharing}) AND id != ? ORDER BY id", parameters).fetchall()


def _related(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    organisation = _organisation(db, row["org_id"])
    shown = {
        name: str(row[name]) for name in ("id", "date", "threat_level_id", "info", "uuid", "analysis", "timestamp")
    }
    shown |= {"distribution": str(row["distribution"]), "org_id": str(row["org_id"]), "orgc_id": str(row["org_id"])}
    return shown | {"published": bool(row["published"]), "Org": organisation, "Orgc": organisation}


def tags_shown(
    db: sqlite3.Connection, what: str, target: int, fields: tuple[str, ...] | None = None
) -> list[dict[str, Any]]:
    """Return the tags of an `event` or `attribute`, with the `fields` that an answer shows or all."""
    attached = f"SELECT g.* FROM {what}_tags t JOIN tags g ON g.id = t.tag_id WHERE t.{what}_id = ? ORDER BY g.id"
    found: list[dict[str, Any]] = []
    for row in db.execute(attached, [target]):
        whole = {"id": str(row["id"]), "name": row["name"], "colour": row["colour"], **TAG}
        found.append({name: whole[name] for name in fields or whole})
    return found
