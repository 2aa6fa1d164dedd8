"""The only schema of what the playbook takes: names, types, defaults and help of its parameters."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.given import read_given
from misp_playbook_lib.model.plan import WarninglistAction
from misp_playbook_lib.model.selection import NO_LIST
from misp_playbook_lib.model.since import since
from misp_playbook_lib.model.tlp import TLP_LEVELS
from misp_playbook_lib.model.warninglist import (
    LONGEST_NAME,
    LONGEST_TEXT,
    UNSTORABLE,
    WarninglistCategory,
    WarninglistType,
)
from misp_playbook_lib.settings import Settings, checked_url
from misp_playbook_lib.untrusted import holds_secret

MATTERMOST_MESSAGE = "via a chat message"
MATTERMOST_CARD = "via a chat message with card"
PAP_LEVELS = ("clear", "green", "amber", "red")

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_NEITHER = frozenset({"none", "null", "both", "~", ""})
_LOOKS_LIKE_A_KEY = ("key", "secret", "password", "token", "hook", "apikey")
_CLOSE = 0.8
"""How alike two names are, by difflib's ratio, for one to be taken for a slip of the other."""

NOTIFY_ALWAYS = "always"
NOTIFY_ON_CHANGE = "on_change"
NOTIFY_MOMENTS = (NOTIFY_ALWAYS, NOTIFY_ON_CHANGE)
MATTERMOST_OPTIONS = ("", MATTERMOST_MESSAGE, MATTERMOST_CARD)


def _parameter(default: Any, step: str, help_: str) -> Any:
    return Field(default=default, description=help_, json_schema_extra={"step": step})


class PlaybookParameters(BaseModel):
    """What an analyst or a scheduler asks of *Create a custom MISP warninglist*.

    Empty means: keep what the list has, or take a new list's default. Every notifier is off, and without a name or an
    ID the playbook refuses to start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    misp_modules_url: str = _parameter("", "PR:2", "where misp-modules listens; empty: as the vault says")
    misp_modules_wait: float = _parameter(3.0, "PR:2", "least seconds between two questions to a module")
    enrich_with: list[str] = _parameter(
        ["virustotal_public", "shodan"], "PR:2", "the expansion modules to ask; empty: none"
    )
    enrich_all: bool = _parameter(False, "PR:2", "ask about every entry, not only about those that this run adds")
    warninglist_name: str = _parameter("", "IN:2", "the list's exact name; created if there is none of that name")
    warninglist_id: int = _parameter(0, "IN:2", "the ID of an existing list; wins over the name, never renames")
    warninglist_description: str = _parameter("", "IN:3", "empty: keep it, or the name of a new list")
    warninglist_type: str = _parameter(
        "", "IN:3", "string, substring, hostname, cidr or regex; empty: keep it, or string"
    )
    warninglist_category: str = _parameter("", "IN:3", "false_positive or known; empty: keep it, or known")
    warninglist_matching_attributes: list[str] = _parameter(
        [], "IN:3", "attribute types the list applies to; empty: keep them, or all"
    )
    warninglist_values: list[str] = _parameter([], "IN:4", "the entries, each with an optional ' # comment'")
    warninglist_values_file: str = _parameter(
        "", "IN:4", "a file of entries beside them: text, CSV, JSON or a misp-warninglists list.json"
    )
    warninglist_values_event: str = _parameter(
        "", "IN:4", "the ID or UUID of an event whose attributes with to_ids are entries too"
    )
    warninglist_values_action: str = _parameter(
        "append", "IN:4", "append the values, replace all entries by them, or remove them"
    )
    accept_dangerous: bool = _parameter(False, "IN:5", "write entries that would match nearly everything all the same")
    dry_run: bool = _parameter(False, "IN:5", "write nothing, send nothing, ask no module; say what would be done")
    warninglist_enable: bool = _parameter(True, "IN:6", "enable the list if it is not")
    match_published: bool | None = _parameter(
        True, "ER:1", "search published events (True), unpublished ones (False) or both (None)"
    )
    match_tags: list[str] = _parameter([], "ER:1", "only events or attributes with one of these tags; !tag: without it")
    match_since: str = _parameter(
        "", "ER:1", "only attributes changed since: days (30d), hours (12h) or a date (2024-01-31)"
    )
    scan_max_attributes: int = _parameter(5_000_000, "ER:1", "how many attributes to read where all have to be read")
    tlp: str = _parameter("amber", "EN:1", "TLP of summary and alert: clear, green, amber, amber+strict or red")
    notify_when: str = _parameter(
        NOTIFY_ALWAYS, "EN:2", "always, or on_change: only if the list changed or a match is new since its previous run"
    )
    send_to_mattermost_option: str = _parameter(
        "", "EN:2", "'via a chat message', 'via a chat message with card'; empty: do not send"
    )
    send_to_slack: bool = _parameter(False, "EN:2", "send the summary to Slack")
    send_to_thehive: bool = _parameter(False, "EN:3", "add an alert to TheHive")
    thehive_alert_title: str = _parameter("MISP Playbook Summary", "EN:3", "the alert's title")
    thehive_alert_reference: str = _parameter("", "EN:3", "the alert's sourceRef; empty: derived from list and content")
    thehive_alert_type: str = _parameter("MISP Playbook alert", "EN:3", "the alert's type")
    pap: str = _parameter("green", "EN:3", "PAP of the alert: clear, green, amber or red")

    @field_validator("*")
    @classmethod
    def _no_secret(cls, value: Any) -> Any:
        texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        if holds_secret("\n".join(texts)):
            number = next((number for number, text in enumerate(texts, 1) if holds_secret(text)), 1)
            which = f"value {number} " if isinstance(value, list) else ""
            raise ValueError(f"{which}holds a secret of the vault: take it out, parameters are archived and shown")
        return value

    @field_validator("warninglist_name", "warninglist_description", mode="after")
    @classmethod
    def _trimmed(cls, text: str) -> str:
        if found := UNSTORABLE.search(text):
            raise ValueError(f"has U+{ord(found[0]):04X}, which MISP's tables do not hold: leave the character out")
        return text.strip()

    @field_validator("warninglist_name")
    @classmethod
    def _short_name(cls, text: str) -> str:
        if len(text) > LONGEST_NAME:
            raise ValueError(f"has {len(text):,} characters, MISP holds {LONGEST_NAME}: shorten it")
        return text

    @field_validator("warninglist_description")
    @classmethod
    def _short_description(cls, text: str) -> str:
        if (size := len(text.encode())) > LONGEST_TEXT:
            raise ValueError(f"has {size:,} bytes, MISP holds {LONGEST_TEXT:,}: shorten it")
        return text

    @field_validator("warninglist_type")
    @classmethod
    def _known_type(cls, text: str) -> str:
        return _choice(text.strip().lower(), ("", *WarninglistType))

    @field_validator("warninglist_category")
    @classmethod
    def _known_category(cls, text: str) -> str:
        return _choice(text.strip().lower(), ("", *WarninglistCategory))

    @field_validator("warninglist_values_action")
    @classmethod
    def _known_action(cls, text: str) -> str:
        return _choice(text.strip().lower(), tuple(WarninglistAction))

    @field_validator("send_to_mattermost_option")
    @classmethod
    def _known_option(cls, text: str) -> str:
        return _choice(text.strip(), MATTERMOST_OPTIONS)

    @field_validator("notify_when")
    @classmethod
    def _known_moment(cls, text: str) -> str:
        return _choice(text.strip().lower(), NOTIFY_MOMENTS)

    @field_validator("tlp")
    @classmethod
    def _known_tlp(cls, text: str) -> str:
        return _choice(text.strip().lower().removeprefix("tlp:"), TLP_LEVELS)

    @field_validator("pap")
    @classmethod
    def _known_pap(cls, text: str) -> str:
        return _choice(text.strip().lower().removeprefix("pap:"), PAP_LEVELS)

    @field_validator("warninglist_id")
    @classmethod
    def _not_negative(cls, number: int) -> int:
        if number < 0:
            raise ValueError("is negative")
        return number

    @field_validator("scan_max_attributes")
    @classmethod
    def _positive(cls, number: int) -> int:
        if number < 1:
            raise ValueError("is not at least 1")
        return number

    @field_validator("match_since")
    @classmethod
    def _readable_time(cls, text: str) -> str:
        since(text, datetime.now(UTC))
        return text.strip()

    @property
    def since(self) -> datetime | None:
        """The moment that match_since stands for, None where it is empty."""
        return since(self.match_since, datetime.now(UTC))

    @field_validator("misp_modules_wait")
    @classmethod
    def _seconds(cls, number: float) -> float:
        if not 0 <= number <= 3600:  # noqa: PLR2004 - an hour; NaN fails the comparison too
            raise ValueError("is not between 0 and 3600 seconds")
        return number

    @field_validator("misp_modules_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        return checked_url(url) if url.strip() else ""

    @field_validator("warninglist_matching_attributes", "match_tags", "enrich_with")
    @classmethod
    def _nothing_blank(cls, texts: list[str]) -> list[str]:
        if not all(text.strip() for text in texts):
            raise ValueError("holds an empty text; MISP would read it as no filter at all")
        return list(dict.fromkeys(text.strip() for text in texts))

    @classmethod
    def collect(cls, values: Mapping[str, Any]) -> "PlaybookParameters":
        """Read the parameters out of a notebook's variables; the list may be named later, in the form of IN:2.

        Raises:
            ParameterError: naming every problem at once, slips in a name included.

        """
        given = {name: values[name] for name in cls.model_fields if name in values}
        slips = [_unknown(name, cls.model_fields) for name in Settings.model_fields if name in values.keys() - given]
        slips += [
            f"{name} is no parameter: did you mean {close}?"
            for name, value in values.items()
            if name not in cls.model_fields
            and not name.startswith("_")
            and isinstance(value, str | int | float | list)
            and (close := nearest(name, cls.model_fields))
        ]
        return cls._validated(given, slips)

    @classmethod
    def from_text(cls, texts: Mapping[str, str | Sequence[str]]) -> "PlaybookParameters":
        """Convert texts by the declared types alone: an all-digit hash and `no` stay what they are.

        Raises:
            ParameterError: naming every problem at once; no list is named, and nobody is there to name it later.

        """
        problems, given = [], {}
        for name, text in texts.items():
            field = cls.model_fields.get(name)
            if field is None:
                problems.append(_unknown(name, cls.model_fields))
                continue
            try:
                given[name] = _converted(text, field)
            except ValueError as error:
                problems.append(f"{name} {error}")
        parameters = cls._validated(given, problems)
        if not parameters.warninglist_name and not parameters.warninglist_id:
            raise ParameterError([NO_LIST])
        return parameters

    def edited(self, changes: Mapping[str, Any]) -> "PlaybookParameters":
        """Return a checked copy with some values changed.

        Raises:
            ParameterError: naming every problem at once.

        """
        return self._validated({**self.model_dump(), **changes}, [])

    @classmethod
    def _validated(cls, given: Mapping[str, Any], problems: list[str]) -> "PlaybookParameters":
        try:
            parameters = cls.model_validate(given)
        except ValidationError as error:
            problems = [*problems, *_messages(error)]
        if problems:
            raise ParameterError(problems)
        return parameters


def read_parameter_file(path: Path) -> dict[str, str | list[str]]:
    """Read a YAML file of parameters, every value as text or a list of texts.

    Raises:
        ParameterError: it is not there, is not YAML, is no mapping of names to texts, or holds a name twice.

    """
    try:
        loader = yaml.BaseLoader(read_given(path).decode("utf-8-sig"))
        node = loader.get_single_node()
        loaded = loader.construct_document(node) if node else None
    except OSError as error:
        raise ParameterError([f"{path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ParameterError([f"{path} is not UTF-8 text"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise ParameterError([f"{path} is not YAML{line}: {getattr(error, 'problem', error)}"]) from None
    except RecursionError:
        raise ParameterError([f"{path} is nested too deeply for a file of parameters"]) from None
    if loaded in (None, ""):
        return {}
    if not isinstance(node, yaml.MappingNode) or not isinstance(loaded, dict):
        raise ParameterError([f"{path} must hold one `name: value` a line"])
    wrong = [
        f"{name} is in lines {first} and {second} of {path}: remove one" for name, first, second in repeated_names(node)
    ]
    wrong += [
        f"{name} in {path} is neither a value nor a list of values"
        for name, value in loaded.items()
        if not isinstance(value, str) and not _is_texts(value)
    ]
    if wrong:
        raise ParameterError(wrong)
    return loaded


def repeated_names(mapping: yaml.MappingNode) -> Iterator[tuple[str, int, int]]:
    """Yield each name that is in a YAML mapping twice, and both lines."""
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode):
            if key.value in lines:
                yield key.value, lines[key.value], line
            lines[key.value] = line


def describe() -> tuple[tuple[str, str, str, str, str], ...]:
    """Return every parameter as (step, name, type, default, help), in the notebook's order."""
    return tuple(
        (step_of(field), name, type_name(field.annotation), repr(field.default), field.description or "")
        for name, field in PlaybookParameters.model_fields.items()
    )


def step_of(field: FieldInfo) -> str:
    """Return the code of the step a parameter belongs to."""
    extra = field.json_schema_extra
    return str(extra["step"]) if isinstance(extra, dict) else ""


def type_name(annotation: Any) -> str:
    """Return a type as the notebook's parameters cell writes it."""
    return annotation.__name__ if isinstance(annotation, type) and get_origin(annotation) is None else str(annotation)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that `name` is most likely a slip of, if any is close."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=_CLOSE)
    return close[0] if close else None


def _unknown(name: str, names: Iterable[str]) -> str:
    if name in Settings.model_fields or any(word in name.lower() for word in _LOOKS_LIKE_A_KEY):
        return f"{name} is no parameter: keys belong in the vault, parameters are archived"
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"{name} is no parameter" + (f": did you mean {close[0]}?" if close else "")


def _choice(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        words = ", ".join(choice for choice in choices if choice)
        close = nearest(text, choices)
        hint = f" (did you mean {close}?)" if close else ""
        raise ValueError(f"is none of {words}{' or empty' if '' in choices else ''}{hint}")
    return text


def _converted(text: str | Sequence[str], field: FieldInfo) -> Any:
    annotation = field.annotation
    text = _characters(text) if isinstance(text, str) else [_characters(one) for one in text]
    if annotation == list[str]:
        return _texts(text)
    if not isinstance(text, str):
        raise ValueError(f"takes one value, not a list ({type_name(annotation)})")  # noqa: TRY004 - told with the rest
    if annotation is str:
        return text
    word = text.strip().lower()
    if bool in (annotation, *get_args(annotation)):
        return _truth(word, optional=isinstance(annotation, UnionType))
    try:
        return int(word) if annotation is int else float(word)
    except ValueError:
        raise ValueError("is not a whole number" if annotation is int else "is not a number") from None


def _characters(text: str) -> str:
    r"""Put together what JSON writes as two escapes (`\ud83d\ude00`) and YAML reads as two halves of a character."""
    try:
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None


def _truth(word: str, *, optional: bool) -> bool | None:
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    if optional and word in _NEITHER:
        return None
    raise ValueError("is not true, false or none" if optional else "is not true or false")


def _texts(text: str | Sequence[str]) -> list[str]:
    """Read a list: as YAML's `[a, "b # c"]`, or one text a line."""
    if not isinstance(text, str):
        return list(text)
    if not text.lstrip().startswith("["):
        return text.splitlines()
    try:
        loaded = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    except (yaml.YAMLError, RecursionError):
        loaded = None
    if not _is_texts(loaded):
        raise ValueError("""is not a list: write '["a", "b # comment"]'""")
    return list(loaded)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _messages(error: ValidationError) -> list[str]:
    messages = []
    for problem in error.errors(include_url=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        words = problem["msg"].removeprefix("Value error, ")
        if name and problem["type"] != "value_error":
            words = f"is of the wrong type: {words[:1].lower()}{words[1:]}"
        messages.append(f"{name} {words}".strip())
    return messages
