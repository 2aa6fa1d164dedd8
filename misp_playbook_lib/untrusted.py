"""What every text from outside goes through before it is shown, sent or kept: no secret in it, nothing invisible.

The secrets are those of the vault and the environment; what reads them makes them known here, for the whole process.
"""

import base64
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from html.entities import html5
from urllib.parse import parse_qsl, urlsplit

REDACTED = "[redacted]"
SHORTEST_SECRET = 8
"""Characters; a shorter text would be found in words that have nothing to do with it."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_WRITTEN_AS = {".": r"[\[({]dot[\])}]", "@": r"[\[({]at[\])}]", " ": r"\+", "<": "\u2039", ">": "\u203a"}
"""How defanging, a form's data and our messages to Mattermost write a character."""
_URL_SAFE = {"+": "-", "/": "_"}
"""The other alphabet of base64 (RFC 4648, section 5)."""
# No repetition is unbounded: a hostile text of backslashes must not take quadratic time.
_AMPERSAND = r"(?:&|\\{1,8}u0026)(?:amp;){0,3}"


@dataclass(slots=True)
class Known:
    """Secrets, the pattern that finds every shape of each, and words of which every text with a secret holds one."""

    secrets: frozenset[str] = frozenset()
    pattern: re.Pattern[str] = re.compile("(?!)")
    words: frozenset[str] = frozenset()


KNOWN = Known()
"""The secrets of this process."""


def know_secrets(secrets: Iterable[str]) -> None:
    """Take these texts, and the tokens of those that are webhooks, out of every text from here on."""
    texts = {part for secret in secrets for part in (secret, *_tokens(secret)) if len(part) >= SHORTEST_SECRET}
    if not texts <= KNOWN.secrets:
        KNOWN.secrets |= texts
        # The longest first: a webhook's address is taken out whole, not only its token.
        shapes = [shape for text in sorted(KNOWN.secrets, key=len, reverse=True) for shape in _shapes(text)]
        KNOWN.pattern = re.compile("|".join(pattern for _, pattern in shapes))
        KNOWN.words = frozenset(word for word, _ in shapes)


def redact(text: str) -> str:
    """Take every secret out of a text, in whatever shape it stands there."""
    return redact_counted(text)[0]


def redact_counted(text: str) -> tuple[str, int]:
    """Take every secret out of a text, and say how many there were."""
    return KNOWN.pattern.subn(REDACTED, text) if _may_hold(text) else (text, 0)


def holds_secret(text: str) -> bool:
    """Tell whether a secret stands in a text, in whatever shape."""
    return _may_hold(text) and KNOWN.pattern.search(text) is not None


def visible(text: str) -> str:
    """Take secrets out, show control, direction and other invisible characters as code points, and make it one line."""
    text = redact(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return f"<U+{ord(character):04X}>" if unicodedata.category(character) in _INVISIBLE else character


def _may_hold(text: str) -> bool:
    """Look for words alone, which takes a tenth of the time that the pattern takes."""
    return any(map(text.__contains__, KNOWN.words))


def _tokens(secret: str) -> tuple[str, ...]:
    """Return what of a webhook's address is the secret itself: the last part of its path, and its query's values."""
    if not secret.startswith(("http://", "https://")):
        return ()
    try:
        parts = urlsplit(secret)
    except ValueError:  # it is no address, which reading the vault refuses
        return ()
    return (parts.path.rstrip("/").rpartition("/")[2], *(value for _, value in parse_qsl(parts.query)))


def _shapes(secret: str) -> Iterable[tuple[str, str]]:
    """Yield a pattern of a secret as it stands, escaped and defanged, and of its base64, each with its longest word.

    Base64 (RFC 4648) writes a text in three ways, by where in the encoded text it begins; of each, what does not depend
    on the neighbours is looked for.
    """
    scheme = "http" if secret.startswith("http") else ""
    rest = secret.removeprefix(scheme)
    yield _longest_word(rest), ("h(?:tt|xx)p" if scheme else "") + "".join(map(_character, rest))
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data).decode()
        core = whole[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        pattern = "".join(f"(?:{_character(one)}|{_URL_SAFE[one]})" if one in _URL_SAFE else one for one in core)
        yield _longest_word(core), pattern


def _longest_word(text: str) -> str:
    return max(re.findall("[0-9A-Za-z]+", text), key=len, default="")


@cache
def _character(character: str) -> str:
    """Return a pattern of a character and its escapes in JSON, Markdown, URLs and HTML; a letter or digit has none."""
    if character.isascii() and character.isalnum():
        return character
    brackets = (r"[\[({]?", r"[\])}]?") if character in ".:/@" else ("", "")
    itself = re.escape(character).join(brackets)
    units = character.encode("utf-16-be", "surrogatepass").hex()
    names = [name.rstrip(";") for name, meaning in html5.items() if meaning == character]
    entity = "|".join(
        [f"#0{{0,6}}{ord(character)}", f"#[xX]0{{0,6}}{_digits(f'{ord(character):x}')}", *sorted(set(names))]
    )
    ways = [
        r"(?:\\\\){1,8}|\\" if character == "\\" else rf"\\{{0,8}}{itself}",
        "".join(f"%(?:25){{0,3}}{_digits(f'{byte:02x}')}" for byte in character.encode("utf-8", "surrogatepass")),
        "".join(rf"\\{{1,8}}u{_digits(units[at : at + 4])}" for at in range(0, len(units), 4)),
        f"{_AMPERSAND}(?:{entity});",
    ]
    if character in _WRITTEN_AS:
        ways.append(_WRITTEN_AS[character])
    return f"(?:{'|'.join(ways)})"


def _digits(digits: str) -> str:
    """Return a pattern of hexadecimal digits in either case."""
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)
