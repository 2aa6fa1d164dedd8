"""Events, attributes and tags of the sandbox's MISP: how they are written, and how an event is shown.

Rules from MISP 2.5's EventsController, AttributesController and TagsController, and from what a server answered.
"""

import datetime as dt
import sqlite3
import time
import uuid as uuids
from collections.abc import Iterable
from typing import Any

from misp_playbook_lib.sandbox.misp.answers import Forbidden, InternalError, NotFound, Refused, ok, saved
from misp_playbook_lib.sandbox.misp.filters import conditions_of, text, truthy
from misp_playbook_lib.sandbox.misp.values import defaults, fold, load, stored
from misp_playbook_lib.sandbox.misp.warninglists import Warninglists
from misp_playbook_lib.sandbox.server import Response

INHERIT = 5
"""The distribution of an attribute that follows its event."""
NOT_CORRELATING = ("comment", "http-method", "gender", "counter", "float", "port", "boolean", "anonymised")
FIRST_HALF_ONLY = ("ip-src|port", "ip-dst|port", "hostname|port")


def find_event(db: sqlite3.Connection, given: str | None, words: str) -> sqlite3.Row:
    """Find an event by id or uuid.

    Raises:
        NotFound: there is none.

    """
    row: sqlite3.Row | None = db.execute("SELECT * FROM events WHERE id = ? OR uuid = ?", (given, given)).fetchone()
    if row is None:
        raise NotFound(words)
    return row


def find_attribute(db: sqlite3.Connection, given: str | None, words: str) -> sqlite3.Row:
    """Find an attribute by id or uuid.

    Raises:
        NotFound: there is none.

    """
    row: sqlite3.Row | None = db.execute("SELECT * FROM attributes WHERE id = ? OR uuid = ?", (given, given)).fetchone()
    if row is None:
        raise NotFound(words)
    return row


def insert_event(db: sqlite3.Connection, given: dict[str, Any], *, event_id: int | None = None, org_id: int = 1) -> int:
    """Save an event with its attributes and tags and return its id.

    Raises:
        Refused: an event without info.

    """
    if not text(given.get("info")).strip():
        raise Refused("Could not add Event", "/events/add", {"info": ["Info cannot be empty."]})
    moment = int(given.get("timestamp") or time.time())
    published = truthy(given.get("published"))
    row = {
        "id": event_id,
        "uuid": given.get("uuid") or str(uuids.uuid4()),
        "info": text(given["info"]),
        "org_id": org_id,
        "date": given.get("date") or dt.datetime.now(dt.UTC).date().isoformat(),
        "threat_level_id": int(given.get("threat_level_id") or 4),
        "analysis": int(given.get("analysis") or 0),
        "distribution": int(given.get("distribution") or 0),
        "published": published,
        "timestamp": moment,
        "publish_timestamp": int(given.get("publish_timestamp") or (moment if published else 0)),
    }
    columns = ", ".join(row)
    slots = ", ".join(f":{name}" for name in row)
    statement = f"INSERT INTO events ({columns}, attribute_count) VALUES ({slots}, 0)"
    new_id = int(db.execute(statement, row).lastrowid or 0)
    for tag in given.get("Tag") or ():
        attach(db, "event", new_id, tag["name"])
    attributes = given.get("Attribute") or ()
    for attribute in attributes:
        insert_attribute(db, new_id, attribute)
    db.execute("UPDATE events SET attribute_count = ? WHERE id = ?", (len(attributes), new_id))
    return new_id


def insert_attribute(db: sqlite3.Connection, event_id: int, given: dict[str, Any]) -> int:
    """Save an attribute and return its id.

    Raises:
        Refused: an unknown type, an empty value, or one that the event has already.

    """
    kind, value = text(given.get("type")), text(given.get("value"))
    try:
        category, to_ids = defaults(kind)
    except KeyError as error:
        raise _not_added({"type": ["Options depend on the selected category."]}) from error
    category = given.get("category") or category
    if kind not in load("describe_types")["category_type_mappings"].get(category, ()):
        raise _not_added({"category": ["Options : " + ", ".join(load("describe_types")["categories"])]})
    value1, value2 = stored(kind, value)
    if not value1:
        raise _not_added(
            {"value": ['Value not in the right type/format. Please double check the value or select type "other".']}
        )
    twin = "SELECT 1 FROM attributes WHERE event_id = ? AND value1 = ? AND value2 = ? AND type = ? AND category = ? AND NOT deleted"
    if db.execute(twin, (event_id, value1, value2, kind, category)).fetchone():
        raise _not_added({"value": ["A similar attribute already exists for this event."]})
    row = {
        "event_id": event_id,
        "deleted": False,
        "to_ids": truthy(given["to_ids"]) if given.get("to_ids") is not None else to_ids,
        "timestamp": int(given.get("timestamp") or time.time()),
        "type": kind,
        "category": category,
        "uuid": given.get("uuid") or str(uuids.uuid4()),
        "key1": fold(value1),
        "key2": fold(value2),
        "value1": value1,
        "value2": value2,
        "comment": text(given.get("comment")),
        "distribution": int(given.get("distribution") or INHERIT),
        "disable_correlation": truthy(given.get("disable_correlation")),
        "first_seen": given.get("first_seen"),
        "last_seen": given.get("last_seen"),
    }
    slots = ", ".join(f":{name}" for name in row)
    new_id = int(db.execute(f"INSERT INTO attributes ({', '.join(row)}) VALUES ({slots})", row).lastrowid or 0)
    for tag in given.get("Tag") or ():
        attach(db, "attribute", new_id, tag["name"])
    return new_id


def _not_added(errors: dict[str, list[str]]) -> Refused:
    return Refused("Could not add Attribute", "/attributes/add", errors)


def tag_id(db: sqlite3.Connection, name: str) -> int:
    """Return a tag's id, making the tag where there is none."""
    colour = f"#{uuids.uuid5(uuids.NAMESPACE_OID, name).hex[:6]}"
    db.execute("INSERT OR IGNORE INTO tags (name, colour) VALUES (?, ?)", (name, colour))
    (found,) = db.execute("SELECT id FROM tags WHERE name = ?", [name]).fetchone()
    return int(found)


def attach(db: sqlite3.Connection, what: str, target: int, name: str) -> bool:
    """Attach a tag to an `event` or `attribute`; False where it is attached already."""
    statement = f"INSERT OR IGNORE INTO {what}_tags ({what}_id, tag_id) VALUES (?, ?)"
    return db.execute(statement, (target, tag_id(db, name))).rowcount > 0


def touch(db: sqlite3.Connection, event_id: int, more: int = 0) -> None:
    """Mark an event as changed: it is unpublished until somebody publishes it; `more` attributes are in it."""
    change = "UPDATE events SET published = 0, timestamp = ?, attribute_count = attribute_count + ? WHERE id = ?"
    db.execute(change, (int(time.time()), more, event_id))


class Events:
    """The endpoints of one MISP's events, attributes and tags."""

    def __init__(self, lists: Warninglists) -> None:
        self.state = lists.state
        self.lists = lists

    def add(self, body: Any) -> Response:
        """Save an event and show it.

        Raises:
            Refused: an event or attribute that MISP does not save.

        """
        given = body.get("Event", body) if isinstance(body, dict) else {}
        with self.state.write() as db:
            event_id = insert_event(db, given)
            return ok({"Event": self.shown(db, find_event(db, str(event_id), "Invalid event"))})

    def view(self, given: str | None) -> Response:
        """Show an event with everything in it.

        Raises:
            NotFound: no such event.

        """
        with self.state.read() as db:
            return ok({"Event": self.shown(db, find_event(db, given, "Invalid event"))})

    def search(self, filters: dict[str, Any]) -> Response:
        """Show the events that hold what was searched for."""
        conditions = conditions_of(filters)
        where = " AND ".join(conditions.sql) or "1"
        wanted = f"SELECT * FROM events WHERE id IN (SELECT a.event_id FROM attributes a WHERE {where}) ORDER BY id"
        with self.state.read() as db:
            found = db.execute(wanted, conditions.parameters).fetchall()
            shown = [{"Event": self.shown(db, row, metadata=truthy(filters.get("metadata")))} for row in found]
        counts = {"X_Result_Count": str(len(shown)), "X_Export_Module_Used": "json", "X_Response_Format": "json"}
        return ok({"response": shown}, X_Skipped_Elements_Count="0", **counts)

    def publish(self, given: str | None) -> Response:
        """Publish an event.

        Raises:
            NotFound: no such event.

        """
        with self.state.write() as db:
            event_id = find_event(db, given, "Invalid event.")["id"]
            change = "UPDATE events SET published = 1, publish_timestamp = ? WHERE id = ?"
            db.execute(change, (int(time.time()), event_id))
        return saved("Event published without alerts", f"/events/publish/{event_id}", id=str(event_id))

    def delete(self, given: str | None) -> Response:
        """Delete an event and its attributes.

        Raises:
            NotFound: no such event.

        """
        with self.state.write() as db:
            event_id = find_event(db, given, "Invalid event")["id"]
            remove_event(db, event_id)
        return saved("Event deleted.", f"/events/delete/{event_id}", id=str(event_id))

    def add_attribute(self, given: str | None, body: Any) -> Response:
        """Save an attribute in an event, which is unpublished by that.

        Raises:
            NotFound: no such event.
            Refused: an attribute that MISP does not save.

        """
        with self.state.write() as db:
            event = find_event(db, given, "Invalid event")
            attribute_id = insert_attribute(
                db, event["id"], body.get("Attribute", body) if isinstance(body, dict) else {}
            )
            touch(db, event["id"], more=1)
            row = find_attribute(db, str(attribute_id), "Invalid attribute")
            shown = attribute_fields(row)
            value = shown.pop("value")
            shown |= {"value1": row["value1"], "value2": row["value2"], "value": value}
            return ok({"Attribute": shown, "AttributeTag": []})

    def delete_attribute(self, given: str | None, body: Any) -> Response:
        """Delete an attribute softly, or for good with `hard`.

        Raises:
            NotFound: no such attribute.

        """
        with self.state.write() as db:
            row = find_attribute(db, given, "Invalid attribute")
            if isinstance(body, dict) and truthy(body.get("hard")):
                db.execute("DELETE FROM attributes WHERE id = ?", [row["id"]])
                db.execute("DELETE FROM attribute_tags WHERE attribute_id = ?", [row["id"]])
            else:
                now = (int(time.time()), row["id"])
                db.execute("UPDATE attributes SET deleted = 1, timestamp = ? WHERE id = ?", now)
            touch(db, row["event_id"], more=0 if row["deleted"] else -1)
        return ok({"message": "Attribute deleted."})

    def tag(self, body: Any, *, remove: bool, may_make: bool) -> Response:
        """Attach a tag to an event or attribute, or remove it.

        Raises:
            NotFound: no such target, or a tag that is not attached.
            Refused: a local tag, a tag that is attached already.
            Forbidden: a tag that would have to be made.

        """
        given = body if isinstance(body, dict) else {}
        name = text(given.get("tag"))
        with self.state.write() as db:
            what, target, event_id = self._target(db, text(given.get("uuid")))
            known = db.execute("SELECT id FROM tags WHERE name = ?", [name]).fetchone()
            if not name or (known is None and (remove or not may_make)):
                raise NotFound("Invalid Tag.") if remove else Forbidden("Invalid Tag.")
            if truthy(given.get("local")):
                raise _not_attached("Local tags can only be added by users of the host organisation.")
            title = what.capitalize()
            if remove:
                gone = db.execute(f"DELETE FROM {what}_tags WHERE {what}_id = ? AND tag_id = ?", (target, known[0]))
                if not gone.rowcount:
                    raise NotFound(f"Could not remove tag as it is not attached to the target {title}")
                words = f"Global tag {name} ({known[0]}) successfully removed from {title}({target})."
            else:
                if not attach(db, what, target, name):
                    raise _not_attached(f"{title} already has the requested tag attached.")
                words = f"Global tag {name}({tag_id(db, name)}) successfully attached to {title}({target})."
            touch(db, event_id)
        return saved(words, f"/tags/{'removeTagFromObject' if remove else 'attachTagToObject'}")

    @staticmethod
    def _target(db: sqlite3.Connection, uuid: str) -> tuple[str, int, int]:
        event = db.execute("SELECT id FROM events WHERE uuid = ?", [uuid]).fetchone()
        if event is not None:
            return "event", event["id"], event["id"]
        row = db.execute("SELECT id, event_id FROM attributes WHERE uuid = ?", [uuid]).fetchone()
        if row is None:
            raise NotFound("Invalid Target.")
        return "attribute", row["id"], row["event_id"]

    def shown(self, db: sqlite3.Connection, row: sqlite3.Row, *, metadata: bool = False) -> dict[str, Any]:
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
            "sharing_group_id": "0",
            "disable_correlation": False,
            "extends_uuid": "",
            "protected": None,
            "event_creator_email": "admin@admin.test",
            "Org": organisation,
            "Orgc": organisation,
        }
        if not metadata:
            shown |= {"Attribute": self._attributes(db, row["id"]), "ShadowAttribute": []}
            related = [one | {"RelationshipInbound": []} for one in related]
        shown |= {"RelatedEvent": related, "Galaxy": []}
        if not metadata:
            shown |= {"Object": [], "EventReport": []}
        shown["CryptographicKey"] = []
        tags = _tags(db, "event", row["id"])
        return shown | ({"Tag": tags} if tags else {})

    def _attributes(self, db: sqlite3.Connection, event_id: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for row in db.execute("SELECT * FROM attributes WHERE event_id = ? AND NOT deleted ORDER BY id", [event_id]):
            shown = attribute_fields(row)
            warnings = self._warnings(shown)
            if warnings:
                shown["warnings"] = warnings
            shown |= {"Galaxy": [], "ShadowAttribute": []}
            tags = _tags(db, "attribute", row["id"])
            found.append(shown | ({"Tag": tags} if tags else {}))
        return found

    def _warnings(self, shown: dict[str, Any]) -> list[dict[str, Any]]:
        """Return an attribute's warnings; a list's id is a text when first told, a number from MISP's cache after."""
        found: list[dict[str, Any]] = list(
            self.lists.warnings().of(shown["type"], shown["value"], to_ids=shown["to_ids"])
        )
        key = (shown["type"], shown["value"])
        if found and key in self.lists.told:
            found = [warning | {"warninglist_id": int(warning["warninglist_id"])} for warning in found]
        self.lists.told.add(key)
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
        "sharing_group_id": "0",
        "comment": row["comment"],
        "deleted": bool(row["deleted"]),
        "disable_correlation": bool(row["disable_correlation"]),
        "first_seen": row["first_seen"],
        "last_seen": row["last_seen"],
        "value": f"{row['value1']}|{row['value2']}" if row["value2"] else row["value1"],
    }


def remove_event(db: sqlite3.Connection, event_id: int) -> None:
    """Delete an event, its attributes and what is attached to them."""
    its = "SELECT id FROM attributes WHERE event_id = ?"
    db.execute(f"DELETE FROM attribute_tags WHERE attribute_id IN ({its})", [event_id])
    for table, column in (("attributes", "event_id"), ("event_tags", "event_id"), ("events", "id")):
        db.execute(f"DELETE FROM {table} WHERE {column} = ?", [event_id])


def _not_attached(reason: str) -> Refused:
    words = f'Failed to attach 1 tags. Reasons: {{"0":"{reason}"}}'
    return Refused("Could not attachTagToObject Tag", "/tags/attachTagToObject", words)


def _organisation(db: sqlite3.Connection, org_id: int) -> dict[str, Any]:
    row = db.execute("SELECT * FROM organisations WHERE id = ?", [org_id]).fetchone()
    return {"id": str(row["id"]), "name": row["name"], "uuid": row["uuid"]}


def _correlated(db: sqlite3.Connection, event_id: int) -> Iterable[sqlite3.Row]:
    """Return the other events that share a value with this one (MISP's correlation)."""
    marks = ", ".join("?" * len(NOT_CORRELATING))
    halves = ", ".join("?" * len(FIRST_HALF_ONLY))
    own = (
        f"SELECT key1 AS k FROM attributes WHERE event_id = ? AND NOT deleted AND type NOT IN ({marks})"
        f" UNION SELECT key2 FROM attributes WHERE event_id = ? AND NOT deleted AND key2 != '' AND type NOT IN ({halves})"
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


def _tags(db: sqlite3.Connection, what: str, target: int) -> list[dict[str, Any]]:
    attached = f"SELECT g.* FROM {what}_tags t JOIN tags g ON g.id = t.tag_id WHERE t.{what}_id = ? ORDER BY g.id"
    return [
        {
            "id": str(row["id"]),
            "name": row["name"],
            "colour": row["colour"],
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
        for row in db.execute(attached, [target])
    ]
