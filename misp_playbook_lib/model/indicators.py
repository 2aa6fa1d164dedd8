"""One value: what MISP calls it and how MISP stores it, how it is written safely, and whether it is public.

The order of the rules is that of MISP's freetext import (app/Lib/Tools/ComplexTypeTool.php); where an input comes out
otherwise, a test says why. The form of a value is that of MISP's AttributeValidationTool. PyMISP ships that tool, but
importing it takes 0.3 s and brings requests along, which the model must not; a test holds the two equal.
"""

import ipaddress
import re
from dataclasses import dataclass

from misp_playbook_lib.model.recognise import (
    IPV4,
    SPECIAL_USE_TLDS,
    address,
    host,
    is_bitcoin,
    is_number,
    is_port,
    is_tld,
    network,
)

RECOGNITION_RULES = (
    ("md5", "32 hexadecimal digits", "d41d8cd98f00b204e9800998ecf8427e"),
    ("sha1", "40 hexadecimal digits", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ("sha224", "56 hexadecimal digits", "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"),
    ("sha256", "64 hexadecimal digits", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("sha384", "96 hexadecimal digits", "38b060a751ac9638" * 6),
    ("sha512", "128 hexadecimal digits", "cf83e1357eefb8bd" * 8),
    ("ssdeep", "block size (3 times a power of two) and two hashes", "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C"),
    ("tlsh", "T1 and 70 hexadecimal digits, or these alone", "T1" + "0a1b2c3d4e" * 7),
    ("filename|md5", "any of these hashes after a file name and |", "invoice.exe|d41d8cd98f00b204e9800998ecf8427e"),
    ("ip-dst", "IPv4 or IPv6 address, or a network in CIDR notation", "198.51.100.0/24"),
    ("ip-dst|port", "address and port, joined by : or |", "[2001:db8::1]:443"),
    ("domain|ip", "host name and address, joined by |", "evil.example|198.51.100.7"),
    ("hostname|port", "host name and port, joined by |", "www.evil.example|8080"),
    ("domain", "two labels under a top-level domain (IANA's or special use); a :port is left out", "evil.example"),
    ("hostname", "three labels or more under a top-level domain; a :port is left out", "www.evil.example"),
    ("onion-address", "16 or 56 letters and digits under .onion", "expyuzz4wqqyqhjn.onion"),
    ("url", "scheme://host, or a host name or address with a path", "https://evil.example/gate.php"),
    ("link", "https:// address at VirusTotal or Hybrid Analysis", "https://www.virustotal.com/gui/home"),
    ("email-src", "local part, @, host name", "user@evil.example"),
    ("regkey", "key below a hive of the Windows registry", r"HKLM\Software\Evil\Run"),
    ("regkey|value", "such a key and its value, joined by |", r"HKLM\Software\Evil\Run|evil"),
    ("filename", "name with an extension that is no top-level domain, or a Windows path to one", "invoice.exe"),
    ("mac-address", "six pairs of hexadecimal digits", "00-53-00-AB-CD-EF"),
    ("vulnerability", "CVE, GCVE or GHSA number", "CVE-2021-44228"),
    ("AS", "AS and a 32-bit number", "AS64496"),
    ("phone-number", "digits with a leading + or with dashes", "+1-202-555-0170"),
    ("btc", "bitcoin address with a right checksum", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
)
"""By what each type is recognised: type, rule, example."""

NETWORK_TYPES = frozenset(
    {"ip-dst", "ip-dst|port", "domain|ip", "hostname|port", "domain", "hostname", "onion-address", "url", "link"}
    | {"email-src"},
)
"""The types that name a place on a network, and are defanged."""

_HASHES = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_MAX_AS = 0xFFFFFFFF
_IS_HEX = re.compile(r"[0-9a-fA-F]+").fullmatch
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"))
_WRAPPERS = " \t\r\n\v\f\0\u00a0\"'<>,;"

# What most values are, in one pass: an address (network, port), a host name, a URL without port or defanging.
_PLAIN = re.compile(
    rf"({IPV4})(?:/(3[0-2]|[12]?[0-9])|[:|]([1-9][0-9]{{0,4}}))?"
    r"|(?:[a-z0-9_-]{1,63}\.)++([a-z][a-z0-9-]+)"
    r"|[hH][tT]{2}[pP][sS]?://[A-Za-z0-9_-][A-Za-z0-9._-]*+(?:[/?#][!#$%&*+./0-9:=?@A-Z_a-z|~-]*+)?",
).fullmatch

_HTTP = re.compile(r"^(?:hxxp|hxtp|htxp|meow|h\[tt\]p|h\*\*p)(?=s?\[?:)", re.IGNORECASE)
_FTP = re.compile(r"^fxp(?=s?\[?:)", re.IGNORECASE)
_BRACKETED = re.compile(r"\[(?:://|:|/|\.)\]|\(\.\)|\{\.\}")
_DOT = re.compile(r"\[dot\]|\(dot\)|\{dot\}", re.IGNORECASE)
_AT = re.compile(r"\[(?:@|at)\]|\((?:@|at)\)|\{(?:@|at)\}", re.IGNORECASE)
_DEFANGED = re.compile("|".join(one.pattern for one in (_HTTP, _FTP, _BRACKETED, _DOT, _AT)), re.IGNORECASE)

_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^\s/?#@]*@)?(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\"<>\\|]+)(?::(?P<port>[0-9]*))?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_BARE_URL = re.compile(r"(?P<host>[\w-]+(?:\.[\w-]+)+)(?::(?P<port>[0-9]+))?/(?P<path>\S*)")
_LINK = re.compile(r"https://(?:[^/]*\.)?(?:virustotal|hybrid-analysis)\.com(?:/|$)", re.IGNORECASE)
_EMAIL = re.compile(r"([^\s@\"(),:;<>\[\]\\|/]{1,64})@([^\s@\"(),:;<>\[\]\\|/_]+\.[^\s@\"(),:;<>\[\]\\|/_.]+)")
_SSDEEP = re.compile(r"(?![0-9]{1,2}(?::[0-9]{1,2}){2}$)([0-9]{1,10}):[0-9a-zA-Z/+]+:[0-9a-zA-Z/+]+")
_TLSH = re.compile(r"(?:T1)?[0-9a-f]{70}", re.IGNORECASE)
_TLSH_LENGTHS = (70, 72)
_MAC_LENGTHS = (14, 17)
_MAC = re.compile(r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}", re.IGNORECASE)
_REGKEY = re.compile(
    r"(?:\\?(?:HKEY_[A-Z_]+|HKLM|HKCU|HKCR|HKU|HKCC)|\\REGISTRY|Software|System)\\[^|]+",
    re.IGNORECASE,
)
_VULNERABILITY = re.compile(r"(?:CVE|GCVE-[0-9]+)-[0-9]{4}-[0-9]{4,9}|GHSA(?:-[0-9a-z]{4}){3}", re.IGNORECASE)
_PHONE = re.compile(r"\+?(?:[0-9]{1,3}(?:\(0\))?)?[0-9/-]{5,}[0-9]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AS = re.compile(r"AS([0-9]{1,10})", re.IGNORECASE)
_ONION = re.compile(r"(?:[a-z2-7]{16}|[a-z2-7]{56})\.onion")
_FILENAME = re.compile(r"\.?[^/\\:*?\"<>|.][^/\\:*?\"<>|]*\.(?![0-9]+(?:[eE][0-9]+)?$)[0-9A-Za-z]+")
_TOKEN = re.compile(r"[^\s<>\"'(),;|`]+")


@dataclass(frozen=True, slots=True)
class Indicator:
    """A value with MISP's attribute type, in the form in which MISP stores it."""

    type: str
    value: str


class Indicators(dict[str, Indicator | None]):
    """What values are, each classified when it is first looked up: for steps that go over the same entries."""

    def __missing__(self, value: str) -> Indicator | None:
        found = self[value] = classify(value)
        return found


def refang(value: str) -> str:
    """Undo what makes a value unclickable: `hxxp`, `[.]`, `(dot)`, `[at]`, `[:]` and their kin."""
    before = None if _DEFANGED.search(value) else value
    while before != value:  # `[[.]]` needs two turns
        before = value
        value = _FTP.sub("ftp", _HTTP.sub("http", value))
        value = _BRACKETED.sub(lambda found: found[0][1:-1], value)
        value = _DOT.sub(".", value)
        if "://" not in value:  # in a URL, (at) may be part of the path
            value = _AT.sub("@", value)
    return value


def classify(value: str) -> Indicator | None:  # noqa: C901, PLR0911  the common pass has no calls that it can avoid
    """Tell what a value is, after trimming and refanging; None is no failure: not every entry is an indicator.

    Addresses and networks are `ip-dst`, mail addresses `email-src`: the freetext import's defaults.
    """
    if (kind := _HASHES.get(len(value))) is not None and _IS_HEX(value):
        return Indicator(kind, value.lower())
    if (found := _PLAIN(value)) is not None:
        group = found.lastindex
        if group is None:
            return Indicator("link" if _LINK.match(value) else "url", value)
        if group == 4:  # noqa: PLR2004  the groups of _PLAIN: address, bits, port, last label
            last = found[4]
            if is_tld(last):
                if last != "onion":
                    return Indicator("hostname" if value.count(".") > 1 else "domain", value)
            elif last.isalnum() and _MAC.fullmatch(value) is None:
                return Indicator("filename", value)
        elif group == 1:
            return Indicator("ip-dst", value)
        elif group == 2:  # noqa: PLR2004  as above
            return Indicator("ip-dst", found[1] if found[2] == "32" else value)
        elif is_port(found[3]):
            return Indicator("ip-dst|port", f"{found[1]}|{found[3]}")
    if (trimmed := trim(value)) != value:
        return classify(trimmed)
    return _classify(value, refang(value)) if value else None


def trim(value: str) -> str:
    """Take off what stands around a value in prose, as MISP does, and characters that cannot be seen."""
    if not value.isascii():
        value = value.translate(_INVISIBLE).strip()
    value = value.strip(_WRAPPERS)
    if value[:1] == "(" and value[-1:] == ")":
        value = value[1:-1].strip(_WRAPPERS)
    return value if "://" in value else value.rstrip(".")


def _classify(value: str, text: str) -> Indicator | None:  # noqa: PLR0911  one return for each rule
    """Go through MISP's rules in their order; `text` is the refanged value."""
    if "|" in text and (found := _composite(*text.split("|", 1))) is not None:
        return found
    if (kind := _fuzzy_hash(text)) is not None:
        return Indicator(kind, text.lower() if kind == "tlsh" else text)
    if "://" in text:
        return _url(text)
    if "\\" in text:
        return _windows_name(text)
    if len(text.split()) != 1:
        return None
    if len(text) in _MAC_LENGTHS and _MAC.fullmatch(text):
        digits = re.sub(r"[^0-9a-f]", "", text.lower())
        return Indicator("mac-address", ":".join(digits[i : i + 2] for i in range(0, 12, 2)))
    if "@" in text:
        return _email(text)
    if (found := _place(text)) is not None:
        return found
    if text == value and _FILENAME.fullmatch(text):
        return Indicator("filename", text)
    return _number(text)


def _composite(head: str, tail: str) -> Indicator | None:  # noqa: PLR0911  one return for each composite
    if not head or not tail:
        return None
    if (kind := _HASHES.get(len(tail))) is not None and _IS_HEX(tail):
        return Indicator(f"filename|{kind}", f"{head}|{tail.lower()}")
    if (kind := _fuzzy_hash(tail)) is not None:
        return Indicator(f"filename|{kind}", f"{head}|{tail.lower() if kind == 'tlsh' else tail}")
    if _REGKEY.fullmatch(head):
        return Indicator("regkey|value", f"{head}|{tail}")
    if (name := host(head)) is not None:
        if (ip := address(tail)) is not None:
            return Indicator("domain|ip", f"{name}|{ip}")
        return Indicator("hostname|port", f"{name}|{tail}") if is_port(tail) else None
    if (ip := address(head)) is not None and is_port(tail):
        return Indicator("ip-dst|port", f"{ip}|{tail}")
    return None


def _fuzzy_hash(text: str) -> str | None:
    if text.count(":") == 2 and (found := _SSDEEP.fullmatch(text)) is not None:  # noqa: PLR2004  between its three parts
        blocks, rest = divmod(int(found[1]), 3)
        return "ssdeep" if blocks and not rest and blocks & (blocks - 1) == 0 else None
    return "tlsh" if len(text) in _TLSH_LENGTHS and _TLSH.fullmatch(text) else None


def _url(text: str) -> Indicator | None:
    found = _URL.fullmatch(text)
    if found is None or (found["port"] and not is_port(found["port"])):
        return None
    return Indicator("link" if _LINK.match(text) else "url", text)


def _windows_name(text: str) -> Indicator | None:
    if _REGKEY.fullmatch(text):
        return Indicator("regkey", text)
    return Indicator("filename", text) if _FILENAME.fullmatch(text.rpartition("\\")[2]) else None


def _email(text: str) -> Indicator | None:
    found = _EMAIL.fullmatch(text)
    if found is None or ".." in text or found[1][0] == "." or found[1][-1] == "." or found[2][0] == ".":
        return None
    return Indicator("email-src", text.lower())


def _place(text: str) -> Indicator | None:  # noqa: PLR0911  one return for each kind of place
    """Find an address, a network, a host name, each with or without a port, or a URL without its scheme."""
    if (ip := address(text)) is not None:
        return Indicator("ip-dst", ip)
    head, _, tail = text.rpartition(":")
    port = tail if head and is_port(tail) else ""
    if port and (head[-1] == "]" or head.count(":") in {0, 7}) and (ip := address(head)) is not None:
        return Indicator("ip-dst|port", f"{ip}|{port}")
    if "/" in text:
        if (net := network(text)) is not None:
            return Indicator("ip-dst", net)
        found = _BARE_URL.fullmatch(text)
        if found is None or (found["port"] and not is_port(found["port"])):
            return None
        if address(found["host"]) is None:
            top = found["host"].rpartition(".")[2]
            return Indicator("url", text) if top.isalpha() or is_tld(top.lower()) else None
        return None if found["path"].isdigit() else Indicator("url", text)  # 198.51.100.0/33 is a mistaken network
    if (name := host(head if port else text)) is None:
        return None
    if _ONION.fullmatch(name):
        return Indicator("onion-address", name)
    return Indicator("hostname" if name.count(".") > 1 else "domain", name)


def _number(text: str) -> Indicator | None:
    if _VULNERABILITY.fullmatch(text):
        return Indicator("vulnerability", text if text[:4].upper() == "GHSA" else text.upper())
    if (text[0] == "+" or "-" in text[1:]) and _PHONE.fullmatch(text) and not _DATE.fullmatch(text):
        plus = f"+{text[2:]}" if text.startswith("00") else text
        return Indicator("phone-number", re.sub(r"\(0\)|[^+0-9]", "", plus))
    if (found := _AS.fullmatch(text)) is not None and is_number(found[1], _MAX_AS):
        return Indicator("AS", found[1])
    return Indicator("btc", text) if is_bitcoin(text) else None


def defang(shown: Indicator | str) -> str:
    """Write an indicator, or every indicator in a text, so that nobody can follow it by accident.

    `refang` undoes it; what is no address, host name, URL or mail address stays as it is.
    """
    if isinstance(shown, Indicator):
        return _defang(shown.type, shown.value)
    return _TOKEN.sub(_defang_token, shown)


def _defang_token(token: re.Match[str]) -> str:
    plain = refang(token[0])
    found = classify(plain)
    return token[0] if found is None else _defang(found.type, plain)


def _defang(kind: str, value: str) -> str:
    if kind not in NETWORK_TYPES:
        return value
    if kind == "email-src":
        local, _, domain = value.rpartition("@")
        return f"{local}[@]{domain.replace('.', '[.]')}"
    if kind not in {"url", "link"}:
        return value.replace(":", "[:]").replace(".", "[.]")
    found = _URL.fullmatch(value) or _BARE_URL.fullmatch(value)
    if found is None:  # a URL in a text, with a mark of punctuation behind
        return value.replace("://", "[://]").replace(".", "[.]")
    start, end = found.span("host")
    name = value[start:end].replace(":", "[:]").replace(".", "[.]")
    scheme = (
        f"hxxp{value[4:start]}" if value.startswith(("http://", "https://")) else value[:start].replace("://", "[://]")
    )
    return f"{scheme}{name}{value[end:].replace('://', '[://]')}"


def is_public(indicator: Indicator) -> bool:
    """Whether what an indicator names may exist on the public internet.

    False for addresses and networks that are not global (private, reserved, documentation, multicast) and for host
    names under special-use domains, also inside URLs and mail addresses. A hash or a file name names no place: True.
    """
    if indicator.type not in NETWORK_TYPES:
        return True
    return all(_is_public_place(place) for place in _places(indicator))


def _places(indicator: Indicator) -> list[str]:
    if indicator.type in {"url", "link"}:
        found = _URL.fullmatch(indicator.value) or _BARE_URL.fullmatch(indicator.value)
        return [found["host"].strip("[]")] if found is not None else []
    if indicator.type == "email-src":
        return [indicator.value.rpartition("@")[2]]
    head, _, tail = indicator.value.partition("|")
    return [head, tail] if indicator.type == "domain|ip" else [head]


def _is_public_place(place: str) -> bool:
    try:
        found = ipaddress.ip_network(place, strict=False)
    except ValueError:
        labels = place.lower().rstrip(".").split(".")
        return len(labels) > 1 and labels[-1] not in SPECIAL_USE_TLDS and labels[-2:] != ["home", "arpa"]
    if isinstance(found, ipaddress.IPv6Network) and (mapped := found.network_address.ipv4_mapped) is not None:
        return mapped.is_global and not mapped.is_multicast
    return found.is_global and not found.is_multicast
