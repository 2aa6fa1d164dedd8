"""A Slack with one incoming webhook, held to the limits of Slack's documentation.

Errors and their statuses: https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks and
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. Blocks:
https://docs.slack.dev/reference/block-kit/blocks. Blocks with something to press, and video and file blocks, are
refused as invalid: a webhook of the playbook has no use for them.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from misp_playbook_lib.sandbox.server import Request, Response, Service

TEAM, SERVICE, TOKEN = "T0SANDBOX", "B0SANDBOX", "sandboxhook0slack0000000"
"""The three parts of the webhook's path."""
MAX_TEXT = 40_000
"""Characters of a message's text (docs.slack.dev/reference/methods/chat.postMessage)."""
MAX_BLOCKS = 50
MAX_BLOCK_CHARACTERS = 13_200
"""Characters over all blocks, beyond which Slack says msg_blocks_too_long (github.com/slackapi/bolt-js/issues/2509)."""
MAX_BLOCK_ID = 255
MAX_SECTION_TEXT = 3_000
MAX_FIELDS = 10
MAX_FIELD_TEXT = 2_000
MAX_HEADER_TEXT = 150
MAX_CONTEXT_ELEMENTS = 10
MAX_MARKDOWN_TEXT = 12_000
MAX_IMAGE_URL = 3_000
MAX_ALT_TEXT = 2_000
MAX_ATTACHMENTS = 100

Block = Mapping[str, Any]


class _RefusedError(Exception):
    """Slack refuses; the arguments are the HTTP status and its one word."""


class Slack(Service):
    """Slack's webhook on loopback; `posts` has the payloads it took, oldest first.

    Args:
        port: the port to take, 0 for a free one.

    Raises:
        OSError: the port is taken.

    """

    name = "slack"

    def __init__(self, port: int = 0) -> None:
        self.posts: list[dict[str, Any]] = []
        super().__init__(port)

    @property
    def hook(self) -> str:
        """The webhook's address."""
        return f"{self.url}/services/{TEAM}/{SERVICE}/{TOKEN}"

    def handle(self, request: Request) -> Response:
        """Take a message at /services/T…/B…/…."""
        try:
            self.posts.append(_accepted(request))
        except _RefusedError as refused:
            status, word = refused.args
            return Response(status, word, content_type="text/html")
        return Response(200, "ok", content_type="text/html")


def _accepted(request: Request) -> dict[str, Any]:
    """Return the payload of a request that Slack would take."""
    hook = re.fullmatch(r"/services/([^/]+)/([^/]+)/([^/]+)", request.route)
    if hook is None:
        raise _RefusedError(404, "no_service")
    if request.method != "POST":
        raise _RefusedError(400, "invalid_payload")
    for part, expected, status, word in (
        (hook[1], TEAM, 404, "no_team"),
        (hook[2], SERVICE, 404, "no_service"),
        (hook[3], TOKEN, 403, "invalid_token"),
    ):
        if part != expected:
            raise _RefusedError(status, word)
    payload = _payload(request)
    text, blocks, attachments = payload.get("text", ""), payload.get("blocks", []), payload.get("attachments", [])
    if not isinstance(text, str) or not isinstance(attachments, list):
        raise _RefusedError(400, "invalid_payload")
    if not (text or blocks or attachments):
        raise _RefusedError(400, "no_text")
    if len(text) > MAX_TEXT:
        raise _RefusedError(400, "msg_too_long")
    if len(attachments) > MAX_ATTACHMENTS:
        raise _RefusedError(400, "too_many_attachments")
    _check_blocks(blocks)
    return payload


def _payload(request: Request) -> dict[str, Any]:
    try:
        text = request.body.decode()
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            text = parse_qs(text).get("payload", [""])[0]
        payload = json.loads(text)
    except ValueError as error:
        raise _RefusedError(400, "invalid_payload") from error
    if not isinstance(payload, dict):
        raise _RefusedError(400, "invalid_payload")
    return payload


def _check_blocks(blocks: Any) -> None:
    if not isinstance(blocks, list):
        raise _RefusedError(400, "invalid_blocks_format")
    _must(len(blocks) <= MAX_BLOCKS)
    for block in blocks:
        _must(isinstance(block, dict) and block.get("type") in _CHECKS)
        check, fields = _CHECKS[block["type"]]
        _must(block.keys() <= {"type", "block_id", *fields})
        check(block)
    named = [block["block_id"] for block in blocks if "block_id" in block]
    _must(all(isinstance(name, str) and 0 < len(name) <= MAX_BLOCK_ID for name in named))
    _must(len(set(named)) == len(named))
    if _characters(blocks) > MAX_BLOCK_CHARACTERS:
        raise _RefusedError(400, "msg_blocks_too_long")


def _must(condition: bool) -> None:
    if not condition:
        raise _RefusedError(400, "invalid_blocks")


def _characters(node: Any) -> int:
    """Count the characters that a reader sees: whatever stands under `text`."""
    if isinstance(node, list):
        return sum(map(_characters, node))
    if isinstance(node, dict):
        return sum(
            len(each) if key == "text" and isinstance(each, str) else _characters(each) for key, each in node.items()
        )
    return 0


def _check_text(text: Any, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> None:
    """Hold a text object to its type and length; `emoji` is plain_text's, `verbatim` is mrkdwn's."""
    _must(isinstance(text, dict) and text.get("type") in kinds)
    own = {"plain_text": "emoji", "mrkdwn": "verbatim"}[text["type"]]
    _must(text.keys() <= {"type", "text", own} and isinstance(text.get(own, True), bool))
    _must(isinstance(text.get("text"), str) and 0 < len(text["text"]) <= limit)


def _check_section(block: Block) -> None:
    _must("text" in block or "fields" in block)
    if "text" in block:
        _check_text(block["text"], MAX_SECTION_TEXT)
    if "fields" in block:
        _must(isinstance(block["fields"], list) and 0 < len(block["fields"]) <= MAX_FIELDS)
        for field in block["fields"]:
            _check_text(field, MAX_FIELD_TEXT)
    _must(isinstance(block.get("expand", True), bool))


def _check_header(block: Block) -> None:
    _check_text(block.get("text"), MAX_HEADER_TEXT, ("plain_text",))


def _check_context(block: Block) -> None:
    elements = block.get("elements")
    _must(isinstance(elements, list) and 0 < len(elements) <= MAX_CONTEXT_ELEMENTS)
    for element in elements or ():
        if isinstance(element, dict) and element.get("type") == "image":
            _check_image(element)
        else:
            _check_text(element, MAX_SECTION_TEXT)


def _check_image(block: Block) -> None:
    for field, limit in (("image_url", MAX_IMAGE_URL), ("alt_text", MAX_ALT_TEXT)):
        _must(isinstance(block.get(field), str) and 0 < len(block[field]) <= limit)


def _check_markdown(block: Block) -> None:
    _must(isinstance(block.get("text"), str) and 0 < len(block["text"]) <= MAX_MARKDOWN_TEXT)


def _check_rich_text(block: Block) -> None:
    elements = block.get("elements")
    kinds = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
    _must(isinstance(elements, list))
    for element in elements or ():
        _must(isinstance(element, dict) and element.get("type") in kinds and isinstance(element.get("elements"), list))


_CHECKS: dict[str, tuple[Callable[[Block], None], tuple[str, ...]]] = {
    "context": (_check_context, ("elements",)),
    "divider": (lambda _: None, ()),
    "header": (_check_header, ("text",)),
    "image": (_check_image, ("image_url", "alt_text", "title")),
    "markdown": (_check_markdown, ("text",)),
    "rich_text": (_check_rich_text, ("elements",)),
    "section": (_check_section, ("text", "fields", "expand")),
}
"""How each type of block is checked, and what it may have besides type and block_id."""
