"""Tell people: the summary as chat messages and as an alert, each within its service's limits."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from misp_playbook_lib.clients import slack as slack_limits
from misp_playbook_lib.clients import thehive as thehive_limits
from misp_playbook_lib.clients.mattermost import MAX_MESSAGE, MAX_PROPS, MattermostClient
from misp_playbook_lib.clients.slack import SlackClient
from misp_playbook_lib.clients.thehive import TheHiveClient
from misp_playbook_lib.model.indicators import classify
from misp_playbook_lib.model.results import Applied, Delivery, DeliveryStatus
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.report.tables import Table, as_text, visible

SOURCE = "misp-playbook"
TLP_NUMBERS = {"clear": 0, "green": 1, "amber": 2, "amber+strict": 3, "red": 4}
PAP_NUMBERS = {"clear": 0, "green": 1, "amber": 2, "red": 3}
DATA_TYPES = {
    "ip-src": "ip",
    "ip-dst": "ip",
    "domain": "domain",
    "hostname": "fqdn",
    "url": "url",
    "link": "url",
    "md5": "hash",
    "sha1": "hash",
    "sha224": "hash",
    "sha256": "hash",
    "sha384": "hash",
    "sha512": "hash",
    "email": "mail",
    "email-src": "mail",
    "filename": "filename",
    "AS": "autonomous-system",
    "regkey": "registry",
}
"""TheHive's default observable types by MISP's attribute types; anything else is `other`."""


def send_to_mattermost(client: MattermostClient, summary: Summary, *, card: bool) -> Delivery:
    """Post the summary in the chat, or a short text with the summary in a card.

    Raises:
        ServiceError: a part was not accepted.

    """
    if card:
        text = f"## {summary.title}\n\n**TLP:{summary.tlp.upper()}**\n\n{summary.intro}"
        client.post(text[:MAX_MESSAGE], card=summary.markdown[:MAX_PROPS])
        return Delivery("Mattermost", DeliveryStatus.SENT, "A message with a card.", parts=1)
    parts = split_lines(summary.markdown, MAX_MESSAGE)
    for part in parts:
        client.post(part)
    return Delivery("Mattermost", DeliveryStatus.SENT, f"{len(parts)} message(s).", parts=len(parts))


def send_to_slack(client: SlackClient, summary: Summary) -> Delivery:
    """Post the summary as blocks.

    Raises:
        ServiceError: it was not accepted.

    """
    messages = slack_messages(summary)
    for blocks in messages:
        client.post(f"{summary.title}: {_slack_text(summary.intro)}"[: slack_limits.MAX_SECTION], blocks)
    return Delivery("Slack", DeliveryStatus.SENT, f"{len(messages)} message(s).", parts=len(messages))


def slack_messages(summary: Summary) -> list[list[dict[str, Any]]]:
    """Render the summary as messages of blocks: tables as preformatted text, split at lines."""
    head = f"TLP:{summary.tlp.upper()} {summary.title}"[: slack_limits.MAX_HEADER]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": head}}]
    blocks += [_section(_slack_text(summary.intro)[: slack_limits.MAX_SECTION])]
    for section in summary.sections:
        blocks.append(_section(f"*{_slack_text(section.title)}*"))
        for block in section.blocks:
            if isinstance(block, Table):
                lines = split_lines(_slack_text(as_text(block)), slack_limits.MAX_SECTION - 8)
                blocks += [_section(f"```\n{part}\n```") for part in lines]
            else:
                blocks.append(_section(_slack_text(visible(block))[: slack_limits.MAX_SECTION]))
    return _packed(blocks)


def send_to_thehive(
    client: TheHiveClient,
    summary: Summary,
    applied: Applied,
    *,
    title: str,
    reference: str,
    alert_type: str,
    tlp: str,
    pap: str,
) -> Delivery:
    """Add an alert with every entry as an observable; the same result again finds the alert that is there.

    Raises:
        ServiceError: it was not accepted.

    """
    levels = {"tlp": TLP_NUMBERS[tlp], "pap": PAP_NUMBERS[pap]}
    alert = {
        "type": alert_type[: thehive_limits.MAX_TYPE],
        "source": SOURCE,
        "sourceRef": (reference or source_ref(applied))[: thehive_limits.MAX_SOURCE_REF],
        "title": title[: thehive_limits.MAX_TITLE],
        "description": summary.intro,
        "summary": summary.markdown[: thehive_limits.MAX_SUMMARY],
        **levels,
        "observables": [observable(entry, applied.plan.type) | levels for entry in applied.plan.entries],
    }
    added = client.add_alert(alert)
    words = "The same result was reported before as alert" if added.existed else "Added alert"
    return Delivery("TheHive", DeliveryStatus.SENT, f"{words} {added.id}.", parts=1, reference=added.id)


def observable(entry: WarninglistEntry, list_type: WarninglistType) -> dict[str, Any]:
    """Return an entry as TheHive's observable."""
    if list_type is WarninglistType.REGEX:
        data_type = "regexp"
    else:
        indicator = classify(entry.value)
        data_type = DATA_TYPES.get(indicator.type, "other") if indicator else "other"
        if data_type == "ip" and "/" in entry.value:
            data_type = "other"
    return {"dataType": data_type, "data": entry.value, "message": entry.comment}


def source_ref(applied: Applied) -> str:
    """Return a reference that is the same for the same list with the same content."""
    plan, current = applied.plan, applied.warninglist
    content = "\n".join(f"{entry.value}\t{entry.comment}" for entry in plan.entries)
    digest = hashlib.sha256(f"{plan.name}\n{plan.type}\n{content}".encode()).hexdigest()[:32]
    return f"misp-warninglist-{current.id if current else 0}-{digest}"


def split_lines(text: str, limit: int) -> list[str]:
    """Split a text at line breaks into parts of at most `limit` characters; a longer line is split within."""
    parts: list[str] = []
    part = ""
    for line in _bounded(text.split("\n"), limit):
        if part and len(part) + 1 + len(line) > limit:
            parts.append(part)
            part = line
        else:
            part = f"{part}\n{line}" if part else line
    return [*parts, part] if part else parts


def _bounded(lines: Iterable[str], limit: int) -> Iterable[str]:
    for line in lines:
        yield from (line[start : start + limit] for start in range(0, max(len(line), 1), limit))


def _packed(blocks: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    messages: list[list[dict[str, Any]]] = [[]]
    size = 0
    for block in blocks:
        length = len(block["text"]["text"])
        if len(messages[-1]) == slack_limits.MAX_BLOCKS or size + length > slack_limits.MAX_ALL_BLOCKS:
            messages.append([])
            size = 0
        messages[-1].append(block)
        size += length
    return messages


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _slack_text(text: str) -> str:
    """Escape Slack's three control characters (api.slack.com, formatting text) and drop Markdown's backslashes."""
    plain = re.sub(r"\\([\\`*_{}\[\]<>()#|~!@:])", r"\1", text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
