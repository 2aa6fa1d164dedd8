"""Replays exchanges recorded with a real MISP against the sandbox's, as they are or permuted by a seed number."""

import gzip
import json
import re
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from misp_comparison import AKAMAI, UNRECORDED, WIKIMEDIA, Comparison, Ids
from misp_permutation import Permutation, expanded

from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.misp.events import insert_attribute

DATA = Path(__file__).parents[1] / "data" / "misp-2.5.1"

LEFT_OUT = {
    "wl_enableWarninglist_get": "a link of the website; PyMISP and the playbook call toggleEnable",
}
"""Exchanges that the sandbox does not answer as recorded, and why."""

SIGHTINGS = "the playbook keeps no sightings"
REPORTS = "the playbook writes no event reports"
OTHERS = "neither the playbook nor its calls of PyMISP ask for it"
MORE_LEFT_OUT = {
    "orgs_index": OTHERS,
    "tags_index": OTHERS,
    "tags_search": OTHERS,
    "feeds_index_empty": OTHERS,
    "feeds_index": OTHERS,
    "feeds_search_query_string": "PyMISP posts",
    "sighting_add_value": SIGHTINGS,
    "sighting_add_uuid": SIGHTINGS,
    "sighting_add_unknown": SIGHTINGS,
    "sightings_list": SIGHTINGS,
    "sighting_restSearch": SIGHTINGS,
    "report_add": REPORTS,
    "report_add_empty_name": REPORTS,
    "report_add_missing_event": REPORTS,
    "report_view": REPORTS,
    "report_edit": REPORTS,
    "report_index": REPORTS,
    "report_delete": REPORTS,
    "rs_include_sightings": SIGHTINGS,
    "rs_include_correlations": OTHERS,
    "rs_first_seen": OTHERS,
    "ev_index": OTHERS,
    "ev_view": "shows the sightings",
}
"""The same for the further recordings."""


def exchanges(name: str = "recordings") -> list[dict[str, Any]]:
    """Return what was recorded, in order."""
    recorded: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text("utf-8"))["exchanges"]
    return recorded


class Replay:
    """One pass over the recordings against a sandbox of its own."""

    def __init__(self, misp: Misp, seed: int | None = None) -> None:
        self.misp = misp
        self.permutation = Permutation(seed)
        self.ids = Ids()
        self.comparison = Comparison(self.ids, self.permutation, self.path, misp.url)
        self.equal: list[str] = []
        self.left_out: list[str] = []
        self.differing: dict[str, list[str]] = {}
        self.default_key: str | None = None
        self.connection = HTTPConnection("127.0.0.1", misp.port, timeout=60)

    # the state of the recorded MISP

    def set_up(self, recorded: list[dict[str, Any]]) -> None:
        """Make what the recorded MISP held at the beginning."""
        by_name = {exchange["name"]: exchange for exchange in recorded}
        akamai = by_name["wl_view_default"]["response"]["body"]["Warninglist"]
        entries = [entry["value"] for entry in akamai["WarninglistEntry"] if isinstance(entry, dict)]
        entries += [f"198.18.{number}.0/24" for number in range(268 - len(entries))]
        types = ["ip-src", "ip-dst", "domain|ip", "ip-src|port", "ip-dst|port"]
        pairs = [(value, None) for value in entries]
        fields = {"description": akamai["description"], "version": int(akamai["version"]), "default": True}
        self.misp.add_warninglist(AKAMAI, "cidr", "false_positive", pairs, types, enabled=False, **fields)
        for name, recorded_id in ((AKAMAI, "1"), (WIKIMEDIA, "135")):
            found = self.misp.warninglist(name)
            assert found is not None
            self.ids.agree("Warninglist", recorded_id, str(found["id"]))
        if self.permutation.seed is not None:
            self.misp.remove_event(self.misp.add_event("moves the ids", [{"type": "text", "value": "x"}] * 1))
            self.misp.add_warninglist("moves the ids too", enabled=False, entries=[("y", None)])
        attributes = by_name["rs_empty_filters"]["response"]["body"]["response"]["Attribute"]
        for event, published, tags, fields in (
            ("1", True, ["tlp:amber"], {"threat_level_id": 2, "analysis": 1}),
            ("2", False, [], {"threat_level_id": 4, "analysis": 0}),
        ):
            rows = self.permutation.body([one for one in attributes if one["event_id"] == event])
            for row in rows:
                row["tags"] = [tag["name"] for tag in row.get("Tag", ())]
            given = [{key: row[key] for key in ("type", "category", "value", "to_ids", "tags")} for row in rows]
            names = [self.permutation.text(tag) for tag in tags]
            info = rows[0]["Event"]["info"]
            self.ids.agree("Event", event, str(self.misp.add_event(info, given, names, published=published, **fields)))

    def set_up_more(self) -> None:
        """Make what the MISP of the further recordings held at their beginning."""
        self.default_key = "API_KEY"
        tags = ["tlp:amber", "tlp:green", "tlp:red", "type:OSINT"]
        self.misp.remove_event(self.misp.add_event("makes the tags", tags=tags))

    def unrecorded(self, name: str) -> None:
        """Do what happened to the recorded MISP between two exchanges without being recorded."""
        rename = self.permutation.text
        if name == "attr_add_ipv6":  # lists were disabled; the adds that follow had been tried and deleted in SQL
            with self.misp.state.write() as db:
                db.execute("UPDATE warninglists SET enabled = 0")
                event = int(self.ids.map("Event", "1"))
                for number in range(13):
                    insert_attribute(db, event, {"type": "text", "value": f"tried {number}"})
                db.execute("DELETE FROM attributes WHERE value1 LIKE 'tried%'")
                db.execute("UPDATE events SET attribute_count = attribute_count + 12 WHERE id = ?", [event])
            self.misp.lists.regenerate()
        elif name == "events_view_published":
            entries = [(rename("johnshopkin.net"), None), (rename("158.255.208.168"), None)]
            self.misp.add_warninglist(rename("rec cache"), "string", "known", entries, ["domain", "ip-dst"])
            headers = {"Accept": "application/json", "Authorization": "API_KEY"}
            self.ask({"method": "GET", "path": "/events/view/1", "headers": headers}, "")
        elif name == "rs_value_ipv6_long":
            with self.misp.state.write() as db:
                db.execute("DELETE FROM warninglists WHERE name = ?", [rename("rec cache")])
            self.misp.lists.regenerate()
        elif name == "wl_add_name_255_unicode":
            with self.misp.state.write() as db:
                db.execute("UPDATE warninglists SET enabled = 0")
            self.misp.lists.regenerate()
        elif name == "feeds_search_hits":
            held = ["158.255.208.168", "johnshopkin.net", "028878c4b6ab475ed0be97eca6f92af9"]
            for feed, values in (("CIRCL OSINT Feed", []), ("The Botvrij.eu Data", []), ("Local test feed", held)):
                self.misp.add_feed(feed, values)
        elif name.startswith("maintenance"):
            self.misp.live = False

    # asking

    def key(self, name: str, recorded: str | None) -> str | None:
        """Return the key to send where the recorded exchange sent API_KEY."""
        plain = name.startswith(("plain_user", "rs_plain_user", "maintenance_plain")) or name.endswith("plain_user")
        own = self.misp.plain_key if plain else self.misp.key
        if name.startswith("readonly_key"):
            own = self.misp.readonly_key
        elif name.startswith("ip_restricted_key"):
            own = self.misp.restricted_key
        elif name.startswith("deleted_key"):
            own = "d" * 40
        elif name == "key_lowercased":
            return self.misp.key.lower()
        return None if recorded is None else recorded.replace("API_KEY", own)

    def path(self, recorded: str) -> str:
        """Return a recorded path with the ids and values of this replay."""
        kinds = {"warninglists": "Warninglist", "events": "Event"}
        kinds["attributes"] = "Event" if "/add/" in recorded else "Attribute"
        by_uuid = re.match(r"^(/attributes/edit/)([0-9a-f-]{36})$", recorded)
        if by_uuid:
            return by_uuid[1] + self.ids.map("uuid", by_uuid[2])
        numbered = re.match(r"^(/(\w+)/\w+/)(\d+)(.*)$", recorded)
        if numbered and numbered[2] in kinds:
            return numbered[1] + self.ids.map(kinds[numbered[2]], numbered[3]) + numbered[4]
        head, value, rest = recorded.partition("/value:")
        return head + value + self.permutation.text(rest)

    def sent(self, request: dict[str, Any], name: str) -> bytes:
        """Return the bytes to send."""
        body = expanded(request.get("body"))
        if body is None:
            return b""
        if isinstance(body, str) and UNRECORDED.match(body):
            body = self.invented(name)
        elif isinstance(body, dict) and UNRECORDED.match(str(body.get("entries"))):
            body = body | {"description": "d", "entries": [f"{number}.example" for number in range(20_000)]}
        if isinstance(body, str) and name != "wl_checkValue_string":
            return self._raw(body, request["headers"].get("Content-Type", ""))
        body = self.permutation.body(body, values="checkValue" in name or "cache_check" in name or "check_" in name)
        if isinstance(body, dict) and ("toggle" in name or "able" in name) and "id" in body:
            ids = body["id"] if isinstance(body["id"], list) else [body["id"]]
            mapped = [type(one)(self.ids.map("Warninglist", str(one))) for one in ids]
            body |= {"id": mapped if isinstance(body["id"], list) else mapped[0]}
        if isinstance(body, dict):
            body = body | self._found_again(body)
        return json.dumps(body).encode()

    def _found_again(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a body that name what has another id, uuid or time here."""
        found: dict[str, Any] = {}
        if isinstance(body.get("eventid"), list):
            found["eventid"] = [int(self.ids.map("Event", str(one))) for one in body["eventid"]]
        elif "eventid" in body:
            found["eventid"] = self.ids.map("Event", body["eventid"])
        if "uuid" in body:
            found["uuid"] = self.ids.map("uuid", body["uuid"])
        if str(body.get("attribute_timestamp")).isdigit():
            found["attribute_timestamp"] = str(int(time.time()) - 600)
        return found

    def _raw(self, body: str, content_type: str) -> bytes:
        if "urlencoded" in content_type:
            return urlencode({key: self.permutation.body({key: value})[key] for key, value in parse_qsl(body)}).encode()
        try:
            return json.dumps(self.permutation.body(json.loads(body))).encode()
        except ValueError:
            return body.encode()

    def invented(self, name: str) -> Any:
        """Return a body of the kind that was too long to be recorded: as large, of fewer and longer values."""
        if name == "rs_value_5000":
            values = [f"v{number}.example.test" for number in range(4999)]
            return {"returnFormat": "json", "value": [*values, "johnshopkin.net"]}
        if name == "rs_value_300k_over_max_allowed_packet":
            return {"returnFormat": "json", "value": [f"{number:01000}" for number in range(9_000)]}
        entries = [f"{number:01000}" for number in range(17_000)]
        return {"name": "rec toobig", "description": "d", "entries": entries}

    def ask(self, request: dict[str, Any], name: str) -> tuple[int, dict[str, str], Any]:
        """Send one recorded request and return status, headers and body."""
        headers = dict(request["headers"])
        key = self.key(name, headers.pop("Authorization", self.default_key))
        if key is not None:
            headers["Authorization"] = key
        body = self.sent(request, name)
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.compress(body)
        self.connection.request(request["method"], self.path(request["path"]), body or None, headers)
        response = self.connection.getresponse()
        data = response.read()
        answered = {header.lower(): value for header, value in response.getheaders()}
        is_json = "json" in answered.get("content-type", "") and data
        return response.status, answered, json.loads(data) if is_json else data.decode()

    def run(self, recorded: list[dict[str, Any]]) -> None:
        """Replay every exchange and sort it into equal, differing and left out."""
        for exchange in self.ordered(recorded):
            name, request = exchange["name"], exchange["request"]
            self.unrecorded(name)
            if name in LEFT_OUT or name in MORE_LEFT_OUT:
                self.left_out.append(name)
                continue
            if name == "wl_add_parallel_deadlock":
                status, headers, body = self.deadlock(exchange)
            else:
                status, headers, body = self.ask(request, name)
            if name == "wl_delete_follow" and status == 302:
                follow = request | {"method": "GET", "path": "/warninglists", "body": None}
                status, headers, body = self.ask(follow, name)
            differences = list(self.comparison.compare(exchange, status, headers, body))
            if differences:
                self.differing[name] = differences
            else:
                self.equal.append(name)

    def deadlock(self, exchange: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """Ask beside another write, with the fault set that makes MISP give one of them up."""
        self.misp.faults.add(path="warninglists/add", kind="deadlock", times=1)
        answers: list[tuple[int, dict[str, str], Any]] = []
        with self.misp.state.write():
            thread = threading.Thread(target=lambda: answers.append(self.ask(exchange["request"], exchange["name"])))
            thread.start()
            while not self.misp.state.waiting:
                thread.join(0.001)
        thread.join()
        self.misp.faults.clear()
        return answers[0]

    def ordered(self, recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the exchanges in order; permuted, what does not depend on order is shuffled."""
        groups: list[list[dict[str, Any]]] = []
        for exchange in recorded:
            if exchange["name"].startswith("wl_view_added") and groups:
                groups[-1].append(exchange)
            else:
                groups.append([exchange])
        ordered: list[list[dict[str, Any]]] = []
        run: list[list[dict[str, Any]]] = []
        kind = ""
        for group in groups:
            its = _order_of(group[0])
            if its != kind or not its:
                self.permutation.shuffle(run)
                ordered += run
                run, kind = [], its
            run.append(group)
        self.permutation.shuffle(run)
        return [exchange for group in ordered + run for exchange in group]


def _order_of(exchange: dict[str, Any]) -> str:
    """Say with which of its neighbours an exchange may change places, "" where with none."""
    name, request, status = exchange["name"], exchange["request"], exchange["response"]["status"]
    if name.startswith("wl_add") and "duplicate" not in name and "trailing" not in name and "cache" not in name:
        return "add"
    reads = ("restSearch", "checkValue", "/index", "/view", "/export", "getVersion", "users/view")
    reading = request["method"] == "GET" or any(part in request["path"] for part in reads)
    if reading and status == 200 and name.startswith(("rs_", "wl_index", "wl_checkValue", "readonly_key", "auth_")):
        return "read"
    return ""
