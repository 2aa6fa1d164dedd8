"""The summary as Mattermost messages, or as a short message with the summary in a card beside it.

What comes from outside stands in code spans: Mattermost looks for neither markup, mention, link nor emoji in them
(its fork of marked, and `getExplicitMentions` of the server). Angle brackets are replaced, for the server itself makes
`<!channel>` a mention and `<address|words>` a link before it looks for code spans (channels/app/webhook.go).
"""

import json

from misp_playbook_lib.clients.mattermost import MAX_CARD, MAX_MESSAGE, SERVICE, MattermostClient
from misp_playbook_lib.parameters import MATTERMOST_CARD, PlaybookParameters
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.report.tables import markdown_code, markdown_line, one_line
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.steps.notify import Message, Receipt
from misp_playbook_lib.steps.notify_parts import MAX_PARTS, Chunk, Part, left_out, markdown_chunks, pack

RESERVE = 4_000
"""Characters kept free for the head and the foot of a message."""

_BRACKETS = str.maketrans("<>", "\u2039\u203a")


class MattermostNotifier:
    """Posts to one channel, as the option says.

    Args:
        parameters: what the run takes.
        settings: the hook and the name to post under.

    """

    service = SERVICE
    chat = True
    idempotent = False

    def __init__(self, parameters: PlaybookParameters, settings: Settings) -> None:
        hook = settings.secret("mattermost_hook")
        self.wanted = bool(parameters.send_to_mattermost_option)
        self.missing = "" if hook else "mattermost_hook"
        self._card = parameters.send_to_mattermost_option == MATTERMOST_CARD
        self.max_tlp = settings.chat_max_tlp
        self._client = MattermostClient(hook, settings.mattermost_playbook_user)

    def render(self, summary: Summary) -> tuple[Message, ...]:
        """Write the summary as messages, or as one with a card."""
        if self._card:
            text = "\n\n".join([*_head(summary, ""), "The details are in the card: the (i) beside this message."])
            return (Message("mattermost-1.md", _inert(text), _inert(_card(summary))),)
        chunks = markdown_chunks(summary, brief=True)
        parts, left = pack(chunks, room=MAX_MESSAGE - RESERVE, most=MAX_PARTS, each=4)
        texts = []
        for number, part in enumerate(parts, 1):
            which = f"part {number} of {len(parts)}" if len(parts) > 1 else ""
            head = _head(summary, which) if number == 1 else [f"{_mark(summary, which)} · {summary.title}"]
            foot = _foot(summary, left_out(left)) if number == len(parts) else []
            texts.append("\n\n".join([*head, *_body(part), *foot]))
        return tuple(Message(f"mattermost-{number}.md", _inert(text)) for number, text in enumerate(texts, 1))

    def send(self, message: Message) -> Receipt:
        """Post one message.

        Raises:
            ServiceError: it was not accepted.

        """
        self._client.post(message.text, message.card)
        return Receipt("A message with a card." if message.card else "")


def _card(summary: Summary) -> str:
    [part], left = pack(
        [Chunk("", "", (summary.intro,)), *markdown_chunks(summary, brief=False)],
        room=MAX_CARD - 6 * RESERVE,
        most=1,
        each=8,
        weigh=json_weight,
    )
    return "\n\n".join([_mark(summary, ""), *_body(part), *_foot(summary, left_out(left))])


def json_weight(text: str) -> int:
    """Return the bytes that a text takes as it is sent: in JSON that escapes everything beyond ASCII."""
    return len(json.dumps(_inert(text))) - 2


def _mark(summary: Summary, which: str) -> str:
    return f"**{summary.mark}**{f' · {which}' if which else ''}"


def _head(summary: Summary, which: str) -> list[str]:
    link = [f"[The list in MISP]({summary.url})"] if summary.url else []
    return [_mark(summary, which), f"## {summary.title}", _short_intro(summary), *link]


def _short_intro(summary: Summary) -> str:
    """Return the sentences that there is room for: each is bounded, their number is not."""
    return summary.intro if len(summary.intro) < RESERVE // 4 else " ".join(map(markdown_line, summary.lines[:2]))


def _body(part: Part) -> list[str]:
    lines = []
    for title, chunks in part.sections():
        lines += [f"### {title}"] if title else []
        lines += ["\n".join([*([chunk.head] if chunk.head else []), *chunk.rows]) for chunk in chunks]
    return lines


def _foot(summary: Summary, left: str) -> list[str]:
    return [*([left] if left else []), f"{markdown_code(one_line(summary.where))} {summary.pointer}"]


def _inert(text: str) -> str:
    return text.translate(_BRACKETS)
