"""Read the entries a run is given, from the parameter, a file, an event; correct and check them before the plan."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import InvalidEntries
from misp_playbook_lib.given import read_given
from misp_playbook_lib.model.corrections import correct
from misp_playbook_lib.model.findings import Finding, Severity, blocking
from misp_playbook_lib.model.indicators import Indicators
from misp_playbook_lib.model.lint import CHECK_VALUE_LIMIT, lint, lint_listed
from misp_playbook_lib.model.reading import merge_doubles, parse_line, read_entries
from misp_playbook_lib.model.values import Source, ValuesRead, entries_of_event
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistEntry, WarninglistType
from misp_playbook_lib.untrusted import holds_secret

_TOLD = 3
"""How many of the findings that block are told in the error; the table in IN:4 has all."""


def read_values(
    misp: MispClient,
    list_type: WarninglistType,
    matching_attributes: Sequence[str],
    current: Warninglist | None,
    *,
    lines: Iterable[str],
    file: str,
    event: str,
    removing: bool,
) -> ValuesRead:
    """Gather the entries, bring them into the form MISP finds, and check them.

    Args:
        misp: asked for the event, the attribute types it knows, and the other lists that hold an entry.
        list_type: by which the entries are read and checked.
        matching_attributes: the list's, checked against the types that MISP knows.
        current: the list as it is; its entries are not checked again.
        lines: the values given as a parameter.
        file: a path relative to the working directory, empty for none.
        event: an event's ID or UUID, empty for none.
        removing: whether the entries are to leave the list: then they are taken as they stand, and not checked.

    Raises:
        InvalidEntries: the file cannot be read, or an entry holds a secret of the vault, with the place.
        ServiceError: the event or the other lists could not be asked for.

    """
    values = list(lines)
    _refuse_secrets(values, lambda number: f"warninglist_values, value {number + 1},")
    given = [entry for line in values if (entry := parse_line(line, list_type))]
    sources = [Source("warninglist_values", len(given))] if given else []
    if file:
        from_file, source = read_file(Path(file), list_type)
        given += from_file
        sources.append(source)
    if event:
        attributes = misp.event_attributes(event)
        wanted = [one for one in attributes if one.to_ids]
        texts = [f"{one.value} {one.comment}" for one in wanted]
        _refuse_secrets(texts, lambda number: f"event {event}, attribute {wanted[number].uuid},")
        from_event, left_out = entries_of_event(attributes, list_type)
        given += from_event
        sources.append(Source(f"event {event}", len(from_event), left_out=left_out))
    if removing:
        return ValuesRead(merge_doubles(given), tuple(sources), (), (), "")
    indicators = Indicators()
    entries, corrections = correct(given, list_type, indicators)
    findings = lint(entries, list_type, matching_attributes, misp.attribute_types, indicators)
    known = {entry.value for entry in current.entries} if current else set()
    added = [entry for entry in entries if entry.value not in known]
    asked = added[:CHECK_VALUE_LIMIT]
    elsewhere = lint_listed(misp.listed([entry.value for entry in asked]), asked, current.id if current else None)
    words = f"{len(asked):,} of {len(added):,} added entries looked up on the server's other enabled lists"
    return ValuesRead(entries, tuple(sources), corrections, (*findings, *elsewhere), words if asked else "")


def refuse_findings(findings: Sequence[Finding], *, accept_dangerous: bool) -> None:
    """Stop before a write where the check says so.

    Raises:
        InvalidEntries: naming the first entries that block, why, and the way out.

    """
    blocked = blocking(findings, accept_dangerous=accept_dangerous)
    if not blocked:
        return
    told = "; ".join(f"{one.entry or 'empty'}: {one.reason} ({one.remedy})" for one in blocked[:_TOLD])
    more = f"; and {len(blocked) - _TOLD:,} more" if len(blocked) > _TOLD else ""
    dangerous = all(one.severity is Severity.DANGEROUS for one in blocked)
    way_out = " Set accept_dangerous to write them all the same." if dangerous else ""
    raise InvalidEntries(f"{len(blocked):,} findings block the write, nothing was sent: {told}{more}.{way_out}")


def read_file(path: Path, list_type: WarninglistType) -> tuple[tuple[WarninglistEntry, ...], Source]:
    """Read a file of entries; its SHA-256 goes into the archive.

    Raises:
        InvalidEntries: it cannot be read, or something in it, or an entry holds a secret of the vault, with its line.

    """
    try:
        data = read_given(path)
    except OSError as error:
        raise InvalidEntries(
            f"The file {path} cannot be read: {error.strerror}; check warninglist_values_file."
        ) from None
    entries = read_entries(data, path.name, list_type)
    texts = [f"{entry.value} {entry.comment}" for entry in entries]
    _refuse_secrets(texts, lambda number: f"{path.name}, {_line_of_secret(data) or f'entry {number + 1}'},")
    return entries, Source(path.name, len(entries), sha256=hashlib.sha256(data).hexdigest())


def _refuse_secrets(texts: Sequence[str], place: Callable[[int], str]) -> None:
    """Stop before anything is sent where a text holds a secret of the vault.

    Raises:
        InvalidEntries: saying where, by `place` of the text's index, and not what.

    """
    if holds_secret("\n".join(texts)):
        index = next(index for index, text in enumerate(texts) if holds_secret(text))
        raise InvalidEntries(f"{place(index)} holds a secret of the vault: take it out. Nothing was sent to MISP.")


def _line_of_secret(data: bytes) -> str:
    """Name the first line with a secret, empty where it is in none as it stands, as in UTF-16."""
    lines = data.decode("utf-8", "replace").splitlines()
    return next((f"line {number}" for number, line in enumerate(lines, 1) if holds_secret(line)), "")
