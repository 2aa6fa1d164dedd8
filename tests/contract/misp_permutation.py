"""Renames what recorded exchanges with a MISP hold, by a seed number, so that rules and not recordings are replayed."""

import hashlib
import random
import re
from dataclasses import dataclass
from typing import Any

CUT = re.compile(r"^(.*)\.\.\. truncated, (\d+) (?:chars|items) in all$", re.DOTALL)


def expanded(value: Any) -> Any:
    """Return a recorded value with its cut texts at their full length."""
    if isinstance(value, dict):
        return {key: expanded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [expanded(part) for part in value]
    cut = CUT.match(value) if isinstance(value, str) else None
    return cut[1].ljust(int(cut[2]), cut[1][0]) if cut and cut[1] else value


@dataclass
class Permutation:
    """Renames letters, addresses and orders by a seed number; without one everything stays."""

    seed: int | None = None

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)  # noqa: S311 - reproducible, nothing secret
        self._rng = rng
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

    def shuffle(self, rows: list[Any]) -> None:
        """Change the order of `rows`, where there is a seed."""
        if self.seed is not None:
            self._rng.shuffle(rows)

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
        if _fixed(body):
            return body
        if "errors" in body and "message" in body:
            return body | {"errors": self._errors(body["errors"])}
        renamed = {key: self._field(key, part) for key, part in body.items()}
        if "colour" in body:  # MISP makes it of the tag's name
            renamed["colour"] = f"#{hashlib.md5(renamed['name'].encode(), usedforsecurity=False).hexdigest()[:6]}"
        return renamed

    def _field(self, key: str, part: Any) -> Any:
        if key in {"Org", "Orgc", "Organisation", "Role", "User"}:
            return part
        if key == "list":
            return self.any(part)
        if key in self.NAMED and isinstance(part, dict):  # OR, AND, NOT
            return {operator: self.any(one) for operator, one in part.items()}
        if key in self.NAMED:
            return self._named(part)
        return self.body(part)

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


def _fixed(body: dict[str, Any]) -> bool:
    """Say whether a body is MISP's own words or a built-in list."""
    builtin = (body.get("default") is True and "version" in body) or "List of known" in str(body.get("name"))
    own_words = "mandatory_fields" in body or "result" in body or ("message" in body and "errors" not in body)
    return builtin or own_words
