"""The summary as Slack messages of blocks.

Texts are `plain_text` and rich text elements, which Slack shows as they are: it looks for mentions, links and mrkdwn
in neither (docs.slack.dev, Block Kit, rich text). Only the text for notifications is mrkdwn, and escaped.
"""

import json
from typing import Any

from misp_playbook_lib.clients.slack import (
    MAX_ALL_BLOCKS,
    MAX_BLOCKS,
    MAX_FIELD,
    MAX_FIELDS,
    MAX_HEADER,
    SERVICE,
    SlackClient,
)
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.report.tables import Table, cut, one_line, shareable, text_lines
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps.notify import Message, Receipt
from misp_playbook_lib.steps.notify_parts import MAX_PARTS, Chunk, blocks_of, left_out, pack

CELL = 72
"""Characters of a cell in a table of fixed width: a SHA-256 fits."""

LINE = 1_000
"""Characters of a sentence."""

FIGURE = 200
"""Characters of a key figure."""

RESERVE = 3_600
"""Characters of a message kept free for header, key figures and context."""

ROOM = MAX_ALL_BLOCKS - RESERVE
EACH = ROOM // (MAX_BLOCKS - 6)
"""What a piece is taken to weigh beside its text, so that with header, figures and context there are not too many."""

Block = dict[str, Any]


class SlackNotifier:
    """Posts to one channel.

    Args:
        parameters: what the run takes.
        settings: the hook.

    """

    service = SERVICE
    chat = True
    idempotent = False

    def __init__(self, parameters: PlaybookParameters, settings: Settings) -> None:
        hook = settings.secret("slack_hook")
        self.wanted = parameters.send_to_slack
        self.missing = "" if hook else "slack_hook"
        self.max_tlp = settings.chat_max_tlp
        self._client = SlackClient(hook)

    def render(self, summary: Summary) -> tuple[Message, ...]:
        """Write the summary as messages."""
        parts, left = pack(_chunks(summary), room=ROOM, most=MAX_PARTS, each=EACH, weigh=utf16_weight)
        messages = []
        for number, part in enumerate(parts, 1):
            which = f" (part {number} of {len(parts)})" if len(parts) > 1 else ""
            title = cut(f"{summary.mark} {summary.title}", MAX_HEADER - len(which)) + which
            blocks: list[Block] = [{"type": "header", "text": _plain(title)}]
            if number == 1:
                blocks += _figures(summary)
            for section, chunks in part.sections():
                blocks += [_rich(section if not index else "", chunk) for index, chunk in enumerate(chunks)]
            foot = [summary.run_id, one_line(summary.where), summary.pointer]
            if number == len(parts):
                foot.append(left_out(left))
            elements = [_plain(text) for text in foot if text]
            blocks.append({"type": "context", "elements": elements})
            messages.append({"text": _fallback(summary, title), "blocks": blocks})
        return tuple(
            Message(f"slack-{number}.json", json.dumps(message, ensure_ascii=False, indent=1))
            for number, message in enumerate(messages, 1)
        )

    def send(self, message: Message) -> Receipt:
        """Post one message.

        Raises:
            ServiceError: it was not accepted.

        """
        self._client.post(json.loads(message.text))
        return Receipt()


def utf16_weight(text: str) -> int:
    """Count a text in UTF-16 units: as Slack's clients do, and never fewer than its characters."""
    return len(text.encode("utf-16-le")) // 2


def _chunks(summary: Summary) -> list[Chunk]:
    chunks = []
    for section in summary.sections:
        for block in blocks_of(section, brief=True):
            if not isinstance(block, Table):
                chunks.append(Chunk(section.title, "", (shareable(block, LINE),)))
            elif len(block.columns) == 1:
                rows = tuple(f"• {shareable(row[0], LINE)}" for row in block.rows)
                chunks.append(Chunk(section.title, "", rows, block.left_out))
            else:
                head, rows = text_lines(block, CELL)
                head = f"{block.caption}\n{head}" if section.captioned else head
                chunks.append(Chunk(section.title, head, rows, block.left_out, section.name_of(block)))
    return chunks


def _figures(summary: Summary) -> list[Block]:
    """Return the key figures as fields, and the link to the list."""
    fields = [_plain(f"{name}\n{shareable(value, FIGURE)}"[:MAX_FIELD]) for name, value in summary.figures[:MAX_FIELDS]]
    blocks: list[Block] = [{"type": "section", "fields": fields}]
    if summary.url:
        link = {"type": "link", "url": summary.url, "text": "The list in MISP"}
        blocks.append({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [link]}]})
    return blocks


def _rich(title: str, chunk: Chunk) -> Block:
    """Return a piece under its title: a table preformatted, sentences as text."""
    elements: list[Block] = []
    if title:
        heading = {"type": "text", "text": title, "style": {"bold": True}}
        elements.append({"type": "rich_text_section", "elements": [heading]})
    text = {"type": "text", "text": "\n".join([*([chunk.head] if chunk.head else []), *chunk.rows])}
    kind = "rich_text_preformatted" if chunk.head else "rich_text_section"
    elements.append({"type": kind, "elements": [text]})
    return {"type": "rich_text", "elements": elements}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _fallback(summary: Summary, title: str) -> str:
    """Return the text for notifications, Slack's three control characters escaped (docs.slack.dev, formatting)."""
    figures = "; ".join(f"{name}: {shareable(value, FIGURE)}" for name, value in summary.figures[:MAX_FIELDS])
    return f"{title}. {figures}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
