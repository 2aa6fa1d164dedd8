"""Fills a MISP with attributes from a seed number: the same number, the same attributes.

Values are of the ranges reserved for documentation, tests and private networks, and of hashes.
"""
# ruff: noqa: S608 - statements are made of this package's own constants, values are parameters

import datetime as dt
import random
import sqlite3
import uuid as uuids
from collections.abc import Callable, Iterator

from misp_playbook_lib.sandbox.misp.events import make_tag
from misp_playbook_lib.sandbox.misp.state import INDEXES, State
from misp_playbook_lib.sandbox.misp.values import defaults

EVENT_SIZE = (20, 180)
"""How many attributes an event has: from, to."""
FIRST_DAY = dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
DAYS = 1000
ORGANISATIONS = ("ORGNAME", "CIRCL.example", "CERT.example", "Bank.example", "University.example")
TAGS = ("tlp:clear", "tlp:green", "tlp:amber", "tlp:red", "type:OSINT", 'osint:certainty="50"', "campaign:ZN03")
PUBLISHED = 0.8
IMPORTED = 0.1
"""The share of events whose attributes all have one timestamp, as an import leaves them."""
TLDS = ("example", "test", "invalid", "example.com", "example.net", "example.org")
WORDS = ("mail", "cdn", "update", "login", "static", "api", "img", "secure", "news", "shop", "files", "vpn")
INDEXED = (
    "attributes_event",
    "attributes_key1",
    "attributes_key2",
    "attributes_timestamp",
    "attributes_uuid",
    "attribute_tags_tag",
    "event_tags_tag",
)
ROW = (
    "INSERT INTO attributes (event_id, deleted, to_ids, timestamp, type, category, uuid, key1, key2, value1, value2,"
    " comment, distribution, disable_correlation) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 5, 0)"
)


def _domain(rng: random.Random) -> str:
    return f"{rng.choice(WORDS)}{rng.getrandbits(24)}.{rng.choice(TLDS)}"


def _ipv4(rng: random.Random) -> str:
    bits = rng.getrandbits(24)
    return f"{rng.choice((10, 10, 10, 198))}.{18 if bits < 0x800000 else 19}.{bits >> 8 & 255}.{bits & 255}"  # noqa: PLR2004


def _hexadecimal(digits: int) -> Callable[[random.Random], str]:
    return lambda rng: f"{rng.getrandbits(4 * digits):0{digits}x}"


KINDS: dict[str, tuple[Callable[[random.Random], str], Callable[[random.Random], str] | None]] = {
    "ip-dst": (_ipv4, None),
    "ip-src": (_ipv4, None),
    "domain": (_domain, None),
    "hostname": (lambda rng: f"www.{_domain(rng)}", None),
    "url": (lambda rng: f"https://{_domain(rng)}/{rng.getrandbits(32):x}", None),
    "md5": (_hexadecimal(32), None),
    "sha1": (_hexadecimal(40), None),
    "sha256": (_hexadecimal(64), None),
    "email-src": (lambda rng: f"{rng.choice(WORDS)}@{_domain(rng)}", None),
    "filename|sha256": (lambda rng: f"{rng.choice(WORDS)}{rng.getrandbits(16)}.exe", _hexadecimal(64)),
    "ip-dst|port": (_ipv4, lambda rng: str(rng.randrange(1, 65536))),
    "domain|ip": (_domain, _ipv4),
    "filename": (lambda rng: f"{rng.choice(WORDS)}{rng.getrandbits(16)}.dll", None),
}


def fill(state: State, count: int, seed: int) -> None:
    """Add `count` attributes in as many events as they need, with organisations and tags.

    Args:
        state: where they are added.
        count: how many attributes.
        seed: the number that decides all of them.

    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, nothing is kept secret with it
    with state.write() as db:
        for name in INDEXED:
            db.execute(f"DROP INDEX {name}")
        for name in ORGANISATIONS:
            row = (name, str(uuids.uuid5(uuids.NAMESPACE_DNS, name)))
            db.execute("INSERT OR IGNORE INTO organisations (name, uuid) VALUES (?, ?)", row)
        for name in TAGS:
            make_tag(db, name)
        tags = [row[0] for row in db.execute("SELECT id FROM tags ORDER BY id")]
        organisations = [row[0] for row in db.execute("SELECT id FROM organisations ORDER BY id")]
        db.executemany(ROW, _attributes(db, rng, count, organisations, tags))
        for statement in INDEXES.split(";"):
            db.execute(statement)


def _attributes(
    db: sqlite3.Connection, rng: random.Random, count: int, organisations: list[int], tags: list[int]
) -> Iterator[tuple[object, ...]]:
    """Yield the attributes' rows, and save each event before its own."""
    flags = {kind: (int(defaults(kind)[1]), defaults(kind)[0]) for kind in KINDS}
    kinds = list(KINDS)
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM attributes").fetchone()
    left = count
    while left:
        size = min(left, rng.randint(*EVENT_SIZE))
        moment = int(FIRST_DAY.timestamp()) + rng.randrange(DAYS * 86400)
        step = 0 if rng.random() < IMPORTED else rng.randrange(1, 90)
        event_id = _event(db, rng, moment, size, organisations)
        for tag in rng.sample(tags, rng.choice((0, 0, 1, 2))):
            db.execute("INSERT INTO event_tags VALUES (?, ?)", (event_id, tag))
        for number in range(size):
            kind = kinds[int(rng.random() * len(kinds))]
            first, second = KINDS[kind]
            value1, value2 = first(rng), second(rng) if second else ""
            to_ids, category = flags[kind]
            last += 1
            if rng.random() < 0.03:  # noqa: PLR2004 - the share of attributes with a tag of their own
                db.execute("INSERT INTO attribute_tags VALUES (?, ?)", (last, rng.choice(tags)))
            time = moment + number * step
            yield event_id, to_ids, time, kind, category, _uuid(rng), value1, value2, value1, value2
        left -= size


def _event(db: sqlite3.Connection, rng: random.Random, moment: int, size: int, organisations: list[int]) -> int:
    published = rng.random() < PUBLISHED
    row = (
        _uuid(rng),
        f"Generated event {rng.getrandbits(32):08x}",
        rng.choice(organisations),
        dt.datetime.fromtimestamp(moment, dt.UTC).date().isoformat(),
        rng.randint(1, 4),
        rng.randint(0, 2),
        1,
        published,
        moment,
        moment if published else 0,
        size,
    )
    columns = "uuid, info, org_id, date, threat_level_id, analysis, distribution, published, timestamp"
    columns += ", publish_timestamp, attribute_count"
    marks = ", ".join("?" * len(row))
    return int(db.execute(f"INSERT INTO events ({columns}) VALUES ({marks})", row).lastrowid or 0)


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
