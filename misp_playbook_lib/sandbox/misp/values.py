"""What MISP makes of an attribute's value: stored form, halves of a composite, and the form in which it is compared."""

import ipaddress
import json
import re
import socket
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

HASHES = re.compile(r"(?:^|\|)(?:md5|sha\d+(?:/\d+)?|sha3-\d+|imphash|telfhash|impfuzzy|pehash|authentihash|cdhash)$")
ADDRESSES = {"ip-src", "ip-dst"}
HOSTS = {"domain", "hostname"}
PORTS = {"ip-src|port", "ip-dst|port", "hostname|port"}
EMAILS = {"email", "email-src", "email-dst", "target-email", "whois-registrant-email", "dns-soa-email"}


@cache
def load(name: str) -> Any:
    """Read one of the package's JSON files."""
    return json.loads((files(__package__) / "data" / f"{name}.json").read_text("utf-8"))


def fold(value: str) -> str:
    """Return the form in which MySQL's utf8mb3_unicode_ci compares: no case, no accents, no trailing spaces."""
    if value.isascii():
        return value.lower().rstrip(" ")
    decomposed = unicodedata.normalize("NFKD", value).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character)).rstrip(" ")


def normal_address(value: str) -> str:
    """Return an IPv6 address or network in its short form, anything else as it is."""
    address, slash, mask = value.partition("/")
    try:
        return socket.inet_ntop(socket.AF_INET6, ipaddress.IPv6Address(address).packed) + slash + mask
    except ValueError:
        return value


def stored(kind: str, value: str) -> tuple[str, str]:
    """Return value1 and value2 as MISP stores them (AttributeValidationTool::modifyBeforeValidation)."""
    value = value.strip(" \t\n\r\0\x0b")
    if kind in PORTS and "|" not in value and value.count(":") == 1:
        value = value.replace(":", "|")
    if "|" not in kind and kind != "malware-sample":
        return _one(kind, value), ""
    left, _, right = value.partition("|")
    left_kind, _, right_kind = ("filename|md5" if kind == "malware-sample" else kind).partition("|")
    return _one(left_kind, left), _one("ip-dst" if right_kind == "ip" else right_kind, right)


def _one(kind: str, value: str) -> str:
    if HASHES.search(kind) or kind in EMAILS:
        return value.lower()
    if kind in HOSTS:
        return value.lower().strip(".")
    if kind in ADDRESSES:
        return normal_address(value)
    return value


def defaults(kind: str) -> tuple[str, bool]:
    """Return a type's default category and to_ids (describeTypes' sane_defaults).

    Raises:
        KeyError: MISP has no such type.

    """
    sane = load("describe_types")["sane_defaults"][kind]
    return sane["default_category"], bool(sane["to_ids"])
