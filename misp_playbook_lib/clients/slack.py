"""Posts to a Slack incoming webhook."""

from collections.abc import Mapping
from typing import Any

from misp_playbook_lib.clients.failures import SLACK
from misp_playbook_lib.clients.hooks import Hook

SERVICE = SLACK
MAX_TEXT = 40_000
"""Characters of a message's text (docs.slack.dev, chat.postMessage)."""

MAX_HEADER = 150
"""Characters in a header (docs.slack.dev, Block Kit, header)."""

MAX_FIELDS = 10
"""Fields in a section (docs.slack.dev, Block Kit, section)."""

MAX_FIELD = 2_000
"""Characters in a field of a section (docs.slack.dev, Block Kit, section)."""

MAX_BLOCKS = 50
"""Blocks in a message (docs.slack.dev, Block Kit)."""

MAX_ALL_BLOCKS = 13_200
"""Characters over all blocks of a message, above which Slack answers msg_blocks_too_long (slackapi/bolt-js 2509)."""


class SlackClient:
    """Speaks to one webhook.

    Args:
        hook: its URL, a secret.

    """

    def __init__(self, hook: str) -> None:
        self._hook = Hook(SERVICE, hook)

    def post(self, message: Mapping[str, Any]) -> None:
        """Post blocks, with a text for where they cannot be shown.

        Raises:
            ServiceError: it was not accepted.

        """
        self._hook.post(message)
