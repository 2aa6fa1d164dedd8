"""Events, attributes and tags of the sandbox's MISP: how they are written, and how an event is shown.

Rules from MISP 2.5's EventsController, AttributesController and TagsController, and from what a server answered.
"""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters

import datetime as dt
import hashlib
import sqlite3
import time
import uuid as uuids
from typing import Any

from misp_playbook_lib.sandbox.misp.answers import NotAllowedError, NotFoundError, RefusedError, ok, saved
from misp_playbook_lib.sandbox.misp.filters import conditions_of, text, truthy
from misp_playbook_lib.sandbox.misp.shown import attribute_fields, event_shown, tags_shown
from misp_playbook_lib.sandbox.misp.values import defaults, fold, load, stored
from misp_playbook_lib.sandbox.misp.warninglists import Warninglists
from misp_playbook_lib.sandbox.server import Response

INHERIT = 5
FLAGS = ("to_ids", "disable_correlation", "deleted")
EDITED_TAG = (
    "id",
    "name",
    "colour",
    "exportable",
    "user_id",
    "hide_tag",
    "numerical_value",
    "is_galaxy",
    "is_custom_galaxy",
    "local_only",
)
"""What the answer to an edited attribute shows of a tag."""
"""The distribution of an attribute that follows its event."""


def find_event(db: sqlite3.Connection, given: str | None, words: str) -> sqlite3.Row:
    """Find an event by id or uuid.

    Raises:
        NotFoundError: there is none.

    """
    row: sqlite3.Row | None = db.execute("SELECT * FROM events WHERE id = ? OR uuid = ?", (given, given)).fetchone()
    if row is None:
        raise NotFoundError(words)
    return row


def find_attribute(db: sqlite3.Connection, given: str | None, words: str) -> sqlite3.Row:
    """Find an attribute by id or uuid.

    Raises:
        NotFoundError: there is none.

    """
    row: sqlite3.Row | None = db.execute("SELECT * FROM attributes WHERE id = ? OR uuid = ?", (given, given)).fetchone()
    if row is None:
        raise NotFoundError(words)
    return row


def insert_event(
    db: sqlite3.Connection,
    given: dict[str, Any],
    *,
    event_id: int | None = None,
    org_id: int = 1,
    lenient: bool = False,
) -> int:
    """Save an event with its attributes and tags and return its id; `lenient` leaves out attributes that are refused.

    Raises:
        RefusedError: an event without info, or an attribute that is refused.

    """
    if not text(given.get("info")).strip():
        raise RefusedError("Could not add Event", "/events/add", {"info": ["Info cannot be empty."]})
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
    for attribute in given.get("Attribute") or ():
        try:
            insert_attribute(db, new_id, attribute)
        except RefusedError:
            if not lenient:
                raise
    count = "SELECT count(*) FROM attributes WHERE event_id = ?1"
    db.execute(f"UPDATE events SET attribute_count = ({count}) WHERE id = ?1", [new_id])
    return new_id


def insert_attribute(db: sqlite3.Connection, event_id: int, given: dict[str, Any]) -> int:
    """Save an attribute and return its id.

    Raises:
        RefusedError: an unknown type, an empty value, or one that the event has already.

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
    twin = "SELECT 1 FROM attributes WHERE event_id = ? AND value1 = ? AND value2 = ? AND type = ? AND category = ?"
    twin += " AND NOT deleted"
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
        "distribution": INHERIT if given.get("distribution") in {None, ""} else int(given["distribution"]),
        "disable_correlation": truthy(given.get("disable_correlation")),
        "first_seen": given.get("first_seen"),
        "last_seen": given.get("last_seen"),
    }
    slots = ", ".join(f":{name}" for name in row)
    new_id = int(db.execute(f"INSERT INTO attributes ({', '.join(row)}) VALUES ({slots})", row).lastrowid or 0)
    for tag in given.get("Tag") or ():
        attach(db, "attribute", new_id, tag["name"])
    return new_id


def _not_added(errors: dict[str, list[str]]) -> RefusedError:
    return RefusedError("Could not add Attribute", "/attributes/add", errors)


def known_tag(db: sqlite3.Connection, name: str) -> int | None:
    """Return a tag's id, None where there is no such tag."""
    row = db.execute("SELECT id FROM tags WHERE name = ?", [name]).fetchone()
    return None if row is None else int(row["id"])


def make_tag(db: sqlite3.Connection, name: str) -> None:
    """Make a tag where there is none, in the colour that MISP makes of its name (Tag::tagColor)."""
    colour = f"#{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:6]}"
    db.execute("INSERT OR IGNORE INTO tags (name, colour) VALUES (?, ?)", (name, colour))


def attach(db: sqlite3.Connection, what: str, target: int, name: str) -> bool:
    """Attach a tag to an `event` or `attribute`, making it where there is none; False where it is attached already."""
    make_tag(db, name)
    statement = f"INSERT OR IGNORE INTO {what}_tags ({what}_id, tag_id) VALUES (?, ?)"
    return db.execute(statement, (target, known_tag(db, name))).rowcount > 0


def touch(db: sqlite3.Connection, event_id: int, more: int = 0) -> None:
    """Mark an event as changed: it is unpublished until somebody publishes it; `more` attributes are in it."""
    change = "UPDATE events SET published = 0, timestamp = ?, attribute_count = attribute_count + ? WHERE id = ?"
    db.execute(change, (int(time.time()), more, event_id))


class Events:
    """The endpoints of one MISP's events, attributes and tags."""

    def __init__(self, lists: Warninglists, default_distribution: int) -> None:
        self.default_distribution = default_distribution
        self.state = lists.state
        self.lists = lists

    def add(self, body: dict[str, Any]) -> Response:
        """Save an event and show it.

        Raises:
            RefusedError: an event or attribute that MISP does not save.

        """
        with self.state.write() as db:
            event_id = insert_event(
                db, {"distribution": self.default_distribution} | body.get("Event", body), lenient=True
            )
            return ok({"Event": event_shown(db, find_event(db, str(event_id), "Invalid event"), self.lists)})

    def view(self, given: str | None) -> Response:
        """Show an event with everything in it.

        Raises:
            NotFoundError: no such event.

        """
        with self.state.read() as db:
            return ok({"Event": event_shown(db, find_event(db, given, "Invalid event"), self.lists)})

    def search(self, filters: dict[str, Any]) -> Response:
        """Show the events that hold what was searched for."""
        conditions = conditions_of(filters)
        where = " AND ".join(conditions.sql) or "1"
        wanted = f"SELECT * FROM events WHERE id IN (SELECT a.event_id FROM attributes a WHERE {where}) ORDER BY id"
        with self.state.read() as db:
            found = db.execute(wanted, conditions.parameters).fetchall()
            shown = [
                {"Event": event_shown(db, row, self.lists, metadata=truthy(filters.get("metadata")))} for row in found
            ]
        counts = {"X_Result_Count": str(len(shown)), "X_Export_Module_Used": "json", "X_Response_Format": "json"}
        return ok({"response": shown}, X_Skipped_Elements_Count="0", **counts)

    def publish(self, given: str | None) -> Response:
        """Publish an event.

        Raises:
            NotFoundError: no such event.

        """
        with self.state.write() as db:
            event_id = find_event(db, given, "Invalid event.")["id"]
            change = "UPDATE events SET published = 1, publish_timestamp = ? WHERE id = ?"
            db.execute(change, (int(time.time()), event_id))
        return saved("Event published without alerts", f"/events/publish/{event_id}", id=str(event_id))

    def delete(self, given: str | None) -> Response:
        """Delete an event and its attributes.

        Raises:
            NotFoundError: no such event.

        """
        with self.state.write() as db:
            event_id = find_event(db, given, "Invalid event")["id"]
            remove_event(db, event_id)
        return saved("Event deleted.", f"/events/delete/{event_id}", id=str(event_id))

    def add_attribute(self, given: str | None, body: dict[str, Any]) -> Response:
        """Save an attribute in an event, which is unpublished by that.

        Raises:
            NotFoundError: no such event.
            RefusedError: an attribute that MISP does not save.

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

    def view_attribute(self, given: str | None) -> Response:
        """Show an attribute.

        Raises:
            NotAllowedError: no such attribute.

        """
        with self.state.read() as db:
            try:
                row = find_attribute(db, given, "Invalid attribute")
            except NotFoundError as problem:
                raise NotAllowedError(problem.words) from problem  # what MISP makes of it
            event = find_event(db, str(row["event_id"]), "Invalid event")
            shown = attribute_fields(row) | {"event_uuid": event["uuid"]}
            tags = tags_shown(
                db, "attribute", row["id"], ("id", "name", "colour", "numerical_value", "is_galaxy", "local")
            )
        return ok({"Attribute": shown | ({"Tag": tags} if tags else {})})

    def edit_attribute(self, given: str | None, body: dict[str, Any]) -> Response:
        """Change what is given of an attribute, keep the rest, and unpublish its event.

        Raises:
            NotFoundError: no such attribute.

        """
        offered = body.get("Attribute", body)
        with self.state.write() as db:
            row = find_attribute(db, given, "Invalid attribute")
            changes: dict[str, Any] = {"timestamp": int(time.time())}
            changes |= {name: truthy(offered[name]) for name in FLAGS if offered.get(name) is not None}
            changes |= {name: text(offered[name]) for name in ("comment", "category") if offered.get(name) is not None}
            if offered.get("value") is not None:
                value1, value2 = stored(row["type"], text(offered["value"]))
                changes |= {"value1": value1, "value2": value2, "key1": fold(value1), "key2": fold(value2)}
            settings = ", ".join(f"{name} = :{name}" for name in changes)
            db.execute(f"UPDATE attributes SET {settings} WHERE id = :id", changes | {"id": row["id"]})
            touch(db, row["event_id"])
            shown = attribute_fields(find_attribute(db, str(row["id"]), "Invalid attribute"))
            tags = tags_shown(db, "attribute", row["id"], EDITED_TAG)
        return ok({"Attribute": shown | ({"Tag": tags} if tags else {})})

    def delete_attribute(self, given: str | None, *, hard: bool) -> Response:
        """Delete an attribute softly, or for good with `hard`.

        Raises:
            NotFoundError: no such attribute.

        """
        with self.state.write() as db:
            row = find_attribute(db, given, "Invalid attribute")
            if hard:
                db.execute("DELETE FROM attributes WHERE id = ?", [row["id"]])
                db.execute("DELETE FROM attribute_tags WHERE attribute_id = ?", [row["id"]])
            else:
                now = (int(time.time()), row["id"])
                db.execute("UPDATE attributes SET deleted = 1, timestamp = ? WHERE id = ?", now)
            touch(db, row["event_id"], more=0 if row["deleted"] else -1)
        return ok({"message": "Attribute deleted."})

    def attach_tag(self, given: dict[str, Any], *, may_make: bool) -> Response:
        """Attach a global tag to an event or attribute, which unpublishes the event.

        Raises:
            NotFoundError: no such target, or a tag that would have to be made by somebody who may not.
            RefusedError: a local tag.

        """
        name = text(given.get("tag"))
        with self.state.write() as db:
            what, target, event_id = self._target(db, text(given.get("uuid")))
            if not name or not (may_make or known_tag(db, name)):
                raise NotFoundError("Invalid Tag.")
            if truthy(given.get("local")):
                raise _not_attached("Local tags can only be added by users of the host organisation.")
            title = what.capitalize()
            if attach(db, what, target, name):
                touch(db, event_id)
                words = f"Global tag {name}({known_tag(db, name)}) successfully attached to {title}({target})."
            else:
                words = f"{title} already has the requested tag attached, no changes had to be made for tag {name}."
        return saved(words, "/tags/attachTagToObject")

    def remove_tag(self, given: dict[str, Any]) -> Response:
        """Remove a tag from an event or attribute, which unpublishes the event.

        Raises:
            NotFoundError: no such target or tag, or one that is not attached.

        """
        name = text(given.get("tag"))
        with self.state.write() as db:
            what, target, event_id = self._target(db, text(given.get("uuid")))
            known = known_tag(db, name)
            if known is None:
                raise NotFoundError("Invalid Tag.")
            title = what.capitalize()
            gone = db.execute(f"DELETE FROM {what}_tags WHERE {what}_id = ? AND tag_id = ?", (target, known))
            if not gone.rowcount:
                raise NotFoundError(f"Could not remove tag as it is not attached to the target {title}")
            touch(db, event_id)
        return saved(
            f"Global tag {name} ({known}) successfully removed from {title}({target}).", "/tags/removeTagFromObject"
        )

    @staticmethod
    def _target(db: sqlite3.Connection, uuid: str) -> tuple[str, int, int]:
        event = db.execute("SELECT id FROM events WHERE uuid = ?", [uuid]).fetchone()
        if event is not None:
            return "event", event["id"], event["id"]
        row = db.execute("SELECT id, event_id FROM attributes WHERE uuid = ?", [uuid]).fetchone()
        if row is None:
            raise NotFoundError("Invalid Target.")
        return "attribute", row["id"], row["event_id"]


def remove_event(db: sqlite3.Connection, event_id: int) -> None:
    """Delete an event, its attributes and what is attached to them."""
    its = "SELECT id FROM attributes WHERE event_id = ?"
    db.execute(f"DELETE FROM attribute_tags WHERE attribute_id IN ({its})", [event_id])
    for table, column in (("attributes", "event_id"), ("event_tags", "event_id"), ("events", "id")):
        db.execute(f"DELETE FROM {table} WHERE {column} = ?", [event_id])


def _not_attached(reason: str) -> RefusedError:
    words = f'Failed to attach 1 tags. Reasons: {{"0":"{reason}"}}'
    return RefusedError("Could not attachTagToObject Tag", "/tags/attachTagToObject", words)
