"""The parts that indicators are made of: addresses, host names, addresses of bitcoin.

Each function answers with the form that MISP stores (app/Lib/Tools/AttributeValidationTool.php,
`modifyBeforeValidation`), or None where the text is no such thing.
"""

import hashlib
import re
import socket
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
"""A dotted quad without leading zeros, as PHP's FILTER_VALIDATE_IP and MISP's matching take it."""

SPECIAL_USE_TLDS = frozenset(
    {
        *("example", "invalid", "localhost", "test"),  # RFC 2606, RFC 6761
        *("alt", "local", "onion"),  # RFC 9476, RFC 6762, RFC 7686
        *("corp", "home", "internal", "intranet", "lan", "private"),  # RFC 6762 appendix G; ICANN reserved .internal
    },
)
"""Top-level domains that no registry will ever sell: names under them are host names, and never public."""

_MAX_HOST = 253  # RFC 1035, 2.3.4
_MAX_PORT = 65535
_MAX_BITS4 = 32
_MAX_BITS6 = 128

_IPV4 = re.compile(IPV4)
_LABELS = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
_BASE58 = re.compile(r"[13][a-km-zA-HJ-NP-Z1-9]{25,34}")
_BECH32 = re.compile(r"(bc|tb)1([02-9ac-hj-np-z]{11,71})")
_BASE58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@lru_cache(maxsize=1)
def public_suffixes() -> PublicSuffixList:
    """Mozilla's list of the suffixes that registries sell names under (read once, 60 ms)."""
    return PublicSuffixList(accept_unknown=False)


@lru_cache(maxsize=4096)
def is_tld(label: str) -> bool:
    """Whether a lower-case label is a top-level domain, of IANA's or for special use."""
    return label in SPECIAL_USE_TLDS or public_suffixes().publicsuffix(f"x.{label}") is not None


def host(text: str) -> str | None:
    """Give a host name of at least two labels under a known top-level domain, in lower case and punycode.

    MISP converts with PHP's idn_to_ascii; the standard library's codec does the same mapping (IDNA 2003, ß to ss).
    """
    text = text.lower().strip(".")
    if len(text) > _MAX_HOST:
        return None
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    if len(text) > _MAX_HOST or _LABELS.fullmatch(text) is None or not is_tld(text.rpartition(".")[2]):
        return None
    return text


def address(text: str) -> str | None:
    """Give an IPv4 or IPv6 address as MISP stores it: IPv6 compressed, no brackets, no zone."""
    if ":" not in text:
        return text if _IPV4.fullmatch(text) else None
    if text[0] == "[" and text[-1] == "]":
        text = text[1:-1]
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):  # no address; a zero byte, or a character outside ASCII
        return None


def network(text: str) -> str | None:
    """Give a network in CIDR notation; one of a single address is stored as that address, host bits are kept."""
    base, _, bits = text.partition("/")
    if (found := address(base)) is None or not is_number(bits, _MAX_BITS6 if ":" in found else _MAX_BITS4):
        return None
    return found if int(bits) == (_MAX_BITS6 if ":" in found else _MAX_BITS4) else f"{found}/{bits}"


def is_number(text: str, most: int) -> bool:
    """Whether the text is a decimal number without leading zeros, of at most `most`."""
    return (
        text.isascii()
        and text.isdigit()
        and len(text) <= len(str(most))
        and int(text) <= most
        and (text == "0" or text[0] != "0")
    )


def is_port(text: str) -> bool:
    """Whether the text is a port, 1 to 65535."""
    return text != "0" and is_number(text, _MAX_PORT)


def is_bitcoin(text: str) -> bool:
    """Whether the text is a bitcoin address with a right checksum (Base58Check, or Bech32 of BIP 173 and 350)."""
    if _BASE58.fullmatch(text):
        number = 0
        for character in text:
            number = number * 58 + _BASE58_ALPHABET.index(character)
        if number.bit_length() > 25 * 8:
            return False
        raw = number.to_bytes(25, "big")
        return hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]
    if found := _BECH32.fullmatch(text if text.islower() else text.lower() if text.isupper() else ""):
        prefix, data = found.groups()
        check = 1
        for five in (
            *(ord(c) >> 5 for c in prefix),
            0,
            *(ord(c) & 31 for c in prefix),
            *(_BECH32_ALPHABET.index(c) for c in data),
        ):
            top = check >> 25
            check = (check & 0x1FFFFFF) << 5 ^ five
            for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= term if top >> bit & 1 else 0
        return check in (1, 0x2BC830A3)
    return False
