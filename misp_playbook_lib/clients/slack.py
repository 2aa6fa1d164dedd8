"""Posts to a Slack incoming webhook."""

from collections.abc import Sequence
from typing import Any

from misp_playbook_lib.clients.http import HttpClient

SERVICE = "Slack"
MAX_SECTION = 3_000
"""Characters in a section's text (api.slack.com, reference, blocks, section)."""

MAX_HEADER = 150
"""Characters in a header (api.slack.com, reference, blocks, header)."""

MAX_BLOCKS = 50
"""Blocks in a message (api.slack.com, reference, blocks)."""

MAX_ALL_BLOCKS = 13_200
"""Characters over all blocks of a message, above which Slack answers msg_blocks_too_long."""


class SlackClient:
    """Speaks to one webhook.

    Args:
        hook: its URL, a secret.

    """

    def __init__(self, hook: str) -> None:
        self._hook = hook
        self._http = HttpClient(SERVICE)

    def post(self, text: str, blocks: Sequence[dict[str, Any]]) -> None:
        """Post blocks, with a text for where they cannot be shown.

        Raises:
            ServiceError: it was not accepted.

        """
        self._http.request("POST", self._hook, "post a message", json={"text": text, "blocks": list(blocks)})
