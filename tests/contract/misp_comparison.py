"""Compares a MISP's answer with the recorded one: status, content type and body, but for ids, uuids and times."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from misp_permutation import CUT, Permutation, expanded

WIKIMEDIA = "List of known Wikimedia address ranges"
AKAMAI = "List of known Akamai IP ranges"
"""The built-in lists that both servers have."""
UNRECORDED = re.compile(r"^<\d+ (?:bytes|entries)>$")
UUIDS = {"uuid", "event_uuid"}
TIMES = {"timestamp", "publish_timestamp", "date_modified", "date_created", "last_api_access", "last_pw_change", "date"}
INSTALLATION = {"created", "modified", "nids_sid"}
"""What differs from one installation to the next."""


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
class Comparison:
    """Finds what differs between recorded answers and those of the server at `url`.

    Args:
        ids: which recorded id is which there; grows with every answer.
        permutation: what was renamed.
        path: returns a recorded path as it is there.
        url: the server's address.

    """

    ids: Ids
    permutation: Permutation
    path: Callable[[str], str]
    url: str

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
                actual = (headers.get(header) or "").replace(self.url, "")
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
                yield from self._value(f"{where}.{key}", key, _kind(kind, where, key), value, actual[key])
        elif isinstance(wanted, list) and isinstance(actual, list):
            yield from self._lists(where, kind, wanted, actual)
        elif type(wanted) is not type(actual) or wanted != actual:
            yield f"{where}: {str(actual)[:200]!r}, recorded {str(wanted)[:200]!r}"

    def _value(self, where: str, key: str, kind: str, wanted: Any, actual: Any) -> Iterable[str]:
        if key in {"name", "message"} and isinstance(wanted, str):
            wanted = re.sub(r"(Attribute|Event)\((\d+)\)", lambda m: f"{m[1]}({self.ids.map(m[1], m[2])})", wanted)
        if isinstance(wanted, dict | list) or wanted is None or isinstance(wanted, bool):
            yield from self.differences(where, kind, wanted, actual)
        elif type(wanted) is not type(actual) or not self._same(key, kind, wanted, actual):
            yield f"{where}: {str(actual)[:200]!r}, recorded {str(wanted)[:200]!r}"

    def _same(self, key: str, kind: str, wanted: Any, actual: Any) -> bool:
        """Say whether two values of one field are the same but for what may differ."""
        if key == "id" or key.endswith("_id"):
            return self.ids.agree(kind, str(wanted), str(actual))
        if key in UUIDS:
            return not wanted or self.ids.agree("uuid", wanted, actual)
        if key in TIMES:
            return (wanted == "0") == (actual == "0")
        if key == "url":
            return "feeds/" in wanted or self.path(wanted) == actual
        return key in INSTALLATION or bool(wanted == actual)

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
