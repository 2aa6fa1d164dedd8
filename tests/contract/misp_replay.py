"""Replays exchanges recorded with a real MISP against the sandbox's, as they are or permuted by a seed number."""

import gzip
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from misp_playbook_lib.sandbox.misp import Misp
from misp_playbook_lib.sandbox.misp.events import insert_attribute

DATA = Path(__file__).parents[1] / "data" / "misp-2.5.1"
WIKIMEDIA = "List of known Wikimedia address ranges"
AKAMAI = "List of known Akamai IP ranges"
CUT = re.compile(r"^(.*)\.\.\. truncated, (\d+) (?:chars|items) in all$", re.DOTALL)
UNRECORDED = re.compile(r"^<\d+ (?:bytes|entries)>$")

LEFT_OUT = {
    "wl_enableWarninglist_get": "a link of the website; PyMISP and the playbook call toggleEnable",
}
"""Exchanges that the sandbox does not answer as recorded, and why."""

UUIDS = {"uuid", "event_uuid"}
TIMES = {"timestamp", "publish_timestamp", "date_modified", "date_created", "last_api_access", "last_pw_change", "date"}
INSTALLATION = {"created", "modified", "nids_sid", "colour"}
"""What differs from one installation to the next."""


def exchanges(name: str = "recordings") -> list[dict[str, Any]]:
    """Return what was recorded, in order."""
    recorded: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text("utf-8"))["exchanges"]
    return recorded


def expanded(value: Any) -> Any:
    """Return a recorded value with its cut texts at their full length."""
    if isinstance(value, dict):
        return {key: expanded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [expanded(part) for part in value]
    cut = CUT.match(value) if isinstance(value, str) else None
    return cut[1].ljust(int(cut[2]), cut[1][0]) if cut and cut[1] else value


@dataclass
class Ids:
    """Which recorded id is which here, by kind; both ways, so that two never fall together."""

    here: dict[tuple[str, str], str] = field(default_factory=dict)
    there: dict[tuple[str, str], str] = field(default_factory=dict)

    def agree(self, kind: str, recorded: str, actual: str) -> bool:
        """Note that `recorded` is `actual`; False where either is another already."""
        known = self.here.setdefault((kind, recorded), actual)
        back = self.there.setdefault((kind, actual), recorded)
        return (known, back) == (actual, recorded)

    def map(self, kind: str, recorded: str) -> str:
        """Return the id here, or the recorded one where nothing had it."""
        return self.here.get((kind, recorded), recorded)


@dataclass
class Permutation:
    """Renames letters, addresses and orders by a seed number; without one everything stays."""

    seed: int | None = None

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.shuffle: Callable[[list[Any]], None] = rng.shuffle if self.seed is not None else lambda _: None
        self.letters: dict[int, str] = {}
        self.addresses: dict[str, str] = {}
        if self.seed is None:
            return
        for group in ("abcdef", "ghijklmnopqrstuvwxyz"):  # hexadecimal stays hexadecimal
            mixed = rng.sample(group, len(group))
            for old, new in zip(group, mixed, strict=True):
                self.letters |= {ord(old): new, ord(old.upper()): new.upper()}
        octet = rng.randrange(20, 90)
        self.addresses = {"10.1.": f"10.{octet}.", r"10\.1\.": rf"10\.{octet}\."}
        self.addresses["158.255.208.168"] = f"198.51.100.{rng.randrange(20, 250)}"
        self.addresses["203.0.113."] = f"192.0.{rng.randrange(3, 250)}."

    def text(self, text: str) -> str:
        """Rename what is in a text; what names a built-in list or turns on accents stays."""
        if text in {"akamai", "wikimedia", "ip", "cidr"} or "List of known" in text or "strasse" in text or "ß" in text:
            return text
        if CUT.match(text):
            return text
        return "\n".join(self._line(line) for line in text.split("\n"))

    def _line(self, line: str) -> str:
        regex = re.match(r"^([/{#])(.*)([/}#])([a-z]*)$", line)
        if regex:  # the modifiers stay
            return regex[1] + self._line(regex[2]) + regex[3] + regex[4]
        for old, new in self.addresses.items():
            line = line.replace(old, new)
        return line.translate(self.letters)

    def any(self, value: Any) -> Any:
        """Rename every text in a value, keys too."""
        if isinstance(value, dict):
            return {self.text(key): self.any(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self.any(part) for part in value]
        return self.text(value) if isinstance(value, str) else value

    NAMED = (
        "name",
        "description",
        "entries",
        "value",
        "value1",
        "value2",
        "list",
        "tags",
        "comment",
        "info",
        "matched",
    )
    NAMED += ("match", "warninglist_name", "WarninglistEntry")

    def body(self, body: Any, *, values: bool = False) -> Any:
        """Rename what a body says about lists, values and tags; with `values` it is nothing else."""
        if values:
            return {key: self.any(part) for key, part in body.items()} if isinstance(body, dict) else self.any(body)
        if isinstance(body, list):
            return [self.body(part) for part in body]
        if not isinstance(body, dict):
            return body
        builtin = body.get("default") is True and "version" in body or "List of known" in str(body.get("name"))
        if builtin or "mandatory_fields" in body or "result" in body or ("message" in body and "errors" not in body):
            return body
        if "errors" in body and "message" in body:
            return body | {"errors": self._errors(body["errors"])}
        renamed: dict[str, Any] = {}
        for key, part in body.items():
            if key in {"Org", "Orgc", "Organisation", "Role", "User"}:
                renamed[key] = part
            elif key == "list":
                renamed[key] = self.any(part)
            elif key == "WarninglistEntry" or (key in self.NAMED and not isinstance(part, dict)):
                renamed[key] = self._named(part)
            elif key in self.NAMED:  # OR, AND, NOT
                renamed[key] = {operator: self.any(inside) for operator, inside in part.items()}
            else:
                renamed[key] = self.body(part)
        return renamed

    def _named(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._named(one) for one in part]
        if isinstance(part, dict):
            return {key: self.any(one) if key in self.NAMED else one for key, one in part.items()}
        return self.any(part)

    def _errors(self, errors: Any) -> Any:
        if isinstance(errors, dict):
            return {name: [self._quoted(words) for words in all_words] for name, all_words in errors.items()}
        return errors

    def _quoted(self, words: str) -> str:
        quoted = re.match(r"^`(.*)`( is not valid .*)$", words, re.DOTALL)
        return f"`{self.text(quoted[1])}`{quoted[2]}" if quoted else words


class Replay:
    """One pass over the recordings against a sandbox of its own."""

    def __init__(self, misp: Misp, seed: int | None = None) -> None:
        self.misp = misp
        self.permutation = Permutation(seed)
        self.ids = Ids()
        self.seen: dict[tuple[str, str, str], str] = {}
        self.equal: list[str] = []
        self.left_out: list[str] = []
        self.differing: dict[str, list[str]] = {}
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
            self.ask({"method": "GET", "path": "/events/view/1", "headers": {"Accept": "application/json"}}, "")
        elif name == "rs_value_ipv6_long":
            with self.misp.state.write() as db:
                db.execute("DELETE FROM warninglists WHERE name = ?", [rename("rec cache")])
            self.misp.lists.regenerate()
        elif name == "wl_add_name_255_unicode":
            with self.misp.state.write() as db:
                db.execute("UPDATE warninglists SET enabled = 0")
            self.misp.lists.regenerate()
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
        kinds["attributes"] = "Attribute" if "/delete/" in recorded else "Event"
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
        if isinstance(body, dict) and "eventid" in body:
            body |= {"eventid": [int(self.ids.map("Event", str(one))) for one in body["eventid"]]}
        return json.dumps(body).encode()

    def _raw(self, body: str, content_type: str) -> bytes:
        if "urlencoded" in content_type:
            return urlencode({key: self.permutation.body({key: value})[key] for key, value in parse_qsl(body)}).encode()
        try:
            return json.dumps(self.permutation.body(json.loads(body))).encode()
        except ValueError:
            return body.encode()

    def invented(self, name: str) -> Any:
        """Return a body of the kind that was too long to be recorded."""
        if name == "rs_value_5000":
            values = [f"v{number}.example.test" for number in range(4999)]
            return {"returnFormat": "json", "value": [*values, "johnshopkin.net"]}
        if name == "rs_value_300k_over_max_allowed_packet":
            return {"returnFormat": "json", "value": [f"value-{number:07}.example.test" for number in range(300_000)]}
        entries = [f"entry-{number:07}.example.test" for number in range(500_000)]
        return {"name": "rec toobig", "description": "d", "entries": entries}

    def ask(self, request: dict[str, Any], name: str) -> tuple[int, dict[str, str], Any]:
        """Send one recorded request and return status, headers and body."""
        headers = dict(request["headers"])
        key = self.key(name, headers.pop("Authorization", None) if name else "API_KEY")
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
            if name in LEFT_OUT:
                self.left_out.append(name)
                continue
            if name == "wl_add_parallel_deadlock":
                status, headers, body = self.deadlock(exchange)
            else:
                status, headers, body = self.ask(request, name)
            if name == "wl_delete_follow" and status == 302:
                follow = request | {"method": "GET", "path": "/warninglists", "body": None}
                status, headers, body = self.ask(follow, name)
            differences = list(self.compare(exchange, status, headers, body))
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
                self.shuffle(run)
                ordered += run
                run, kind = [], its
            run.append(group)
        self.shuffle(run)
        return [exchange for group in ordered + run for exchange in group]

    def shuffle(self, groups: list[list[dict[str, Any]]]) -> None:
        """Shuffle in place, where there is a seed."""
        self.permutation.shuffle(groups)

    # comparing

    def compare(self, exchange: dict[str, Any], status: int, headers: dict[str, str], body: Any) -> Iterable[str]:
        """Yield what differs from the recorded answer."""
        name, recorded = exchange["name"], exchange["response"]
        if status != recorded["status"]:
            yield f"status {status}, recorded {recorded['status']}: {str(body)[:300]}"
            return
        for header in ("content-type", "location", "x-export-module-used", "x-response-format"):
            wanted = recorded["headers"].get(header)
            if wanted is not None:
                wanted = self.path(wanted.replace("http://127.0.0.1:8080", "")) if header == "location" else wanted
                actual = (headers.get(header) or "").replace(self.misp.url, "")
                if wanted != actual:
                    yield f"{header} {actual!r}, recorded {wanted!r}"
        wanted = expanded(recorded.get("body"))
        if isinstance(wanted, str) and (UNRECORDED.match(wanted) or wanted.startswith("<!DOCTYPE")):
            return
        if not isinstance(wanted, dict | list):
            renamed = "" if wanted is None else str(wanted)
            for value in ("johnshopkin.net",):
                renamed = renamed.replace(value, self.permutation.text(value))
            renamed = re.sub(r",(\d+)$", lambda m: "," + self.ids.map("Event", m[1]), renamed, flags=re.MULTILINE)
            if renamed != ("" if body is None else str(body)):
                yield f"body {body!r}, recorded {wanted!r}"
            return
        values = name.startswith(("wl_checkValue", "wl_check_", "wl_cache_check")) or name.endswith("checkValue")
        if values and isinstance(wanted, dict) and "message" not in wanted and "mandatory_fields" not in wanted:
            wanted = {
                self.permutation.text(key): [self.permutation.body(hit) for hit in hits] for key, hits in wanted.items()
            }
        else:
            wanted = self.permutation.body(wanted)
        yield from self.differences("", "Event" if "events_" in name else "Warninglist", wanted, body)

    def differences(self, where: str, kind: str, wanted: Any, actual: Any) -> Iterable[str]:
        """Yield where two bodies differ but for ids, uuids, times and what differs between installations."""
        if isinstance(wanted, dict) and isinstance(actual, dict):
            if set(wanted) != set(actual):
                yield f"{where}: keys {sorted(set(actual) ^ set(wanted))} on one side"
                return
            for key, value in sorted(wanted.items(), key=lambda item: item[0] == "url"):  # its id is known by then
                yield from self._value(f"{where}.{key}", key, _kind(kind, where, key), value, actual[key], wanted)
        elif isinstance(wanted, list) and isinstance(actual, list):
            yield from self._lists(where, kind, wanted, actual)
        elif type(wanted) is not type(actual) or wanted != actual:
            yield f"{where}: {str(actual)[:200]!r}, recorded {str(wanted)[:200]!r}"

    def _value(self, where: str, key: str, kind: str, wanted: Any, actual: Any, around: Any) -> Iterable[str]:
        if isinstance(wanted, dict | list) or wanted is None or isinstance(wanted, bool):
            yield from self.differences(where, kind, wanted, actual)
        elif key == "id" or key.endswith("_id"):
            if type(wanted) is not type(actual) or not self.ids.agree(kind, str(wanted), str(actual)):
                yield f"{where}: id {actual!r}, recorded {wanted!r}, known {self.ids.map(kind, str(wanted))!r}"
        elif key in UUIDS:
            if wanted and not self.ids.agree("uuid", wanted, actual):
                yield f"{where}: uuid {actual!r} is another one's"
        elif key in TIMES:
            if (wanted == "0") != (actual == "0") or type(wanted) is not type(actual):
                yield f"{where}: time {actual!r}, recorded {wanted!r}"
        elif key == "url":
            if self.path(wanted) != actual:
                yield f"{where}: {actual!r}, recorded {wanted!r}"
        elif key not in INSTALLATION and (type(wanted) is not type(actual) or wanted != actual):
            yield f"{where}: {str(actual)[:200]!r}, recorded {str(wanted)[:200]!r}"

    def _lists(self, where: str, kind: str, wanted: list[Any], actual: list[Any]) -> Iterable[str]:
        cut = bool(wanted) and isinstance(wanted[-1], str) and CUT.match(wanted[-1]) is not None
        total = int(CUT.match(wanted[-1])[2]) if cut else len(wanted)  # type: ignore[index]  # cut says that it matches
        wanted = wanted[:-1] if cut else wanted
        if where.endswith("Warninglists"):
            yield from self._in_id_order(where, actual)
            shared = {one["Warninglist"]["name"] for one in wanted if one["Warninglist"]["default"]} & {
                AKAMAI,
                WIKIMEDIA,
            }
            wanted, actual = [self._known(one, shared) for one in (wanted, actual)]
        elif total != len(actual):
            yield f"{where}: {len(actual)} of them, recorded {total}"
        if self.permutation.seed is not None and wanted and isinstance(wanted[0], dict):
            wanted, actual = self._aligned(wanted, actual, cut=cut)
        if len(actual) < len(wanted) or (not cut and len(actual) != len(wanted)):
            yield f"{where}: {len(actual)} of them, recorded {len(wanted)}"
        for number, (one, other) in enumerate(zip(wanted, actual, strict=False)):
            yield from self.differences(f"{where}[{number}]", kind, one, other)

    @staticmethod
    def _in_id_order(where: str, lists: list[Any]) -> Iterable[str]:
        ids = [int(one["Warninglist"]["id"]) for one in lists]
        if ids != sorted(ids, reverse=True):
            yield f"{where}: not the newest first"

    @staticmethod
    def _known(lists: list[Any], shared: set[str]) -> list[Any]:
        """Leave out the built-in lists that only one of the two has, or shows before the recording is cut."""
        return [one for one in lists if not one["Warninglist"]["default"] or one["Warninglist"]["name"] in shared]

    def _aligned(self, wanted: list[Any], actual: list[Any], *, cut: bool) -> tuple[list[Any], list[Any]]:
        """Sort rows whose order follows ids that were given in another order here."""

        def key(row: Any) -> str:
            named = row.get("Warninglist", row) if isinstance(row, dict) else row
            fields = ("name", "warninglist_name", "value", "type", "info")
            return json.dumps([named.get(name) for name in fields if name in named], sort_keys=True)

        names = Counter(key(row) for row in wanted)
        present = [row for row in actual if not cut or key(row) in names]
        return sorted(wanted, key=key), sorted(present, key=key)


def _kind(kind: str, where: str, key: str) -> str:
    """Say what kind of thing an id under `key` belongs to."""
    if key.endswith("_id"):
        return {"org_id": "Org", "orgc_id": "Org"}.get(key, key.removesuffix("_id").capitalize())
    if key == "id":
        parent = re.sub(r"\[\d+\]$", "", where).rsplit(".", 1)[-1]
        known = {
            "Warninglist",
            "WarninglistEntry",
            "WarninglistType",
            "Attribute",
            "Event",
            "Tag",
            "Org",
            "Orgc",
            "User",
        }
        known |= {"Role", "Organisation"}
        parent = {"Orgc": "Org", "Organisation": "Org"}.get(parent, parent)
        return parent if parent in known | {"Org"} else kind
    return kind


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
