"""Posts to a Mattermost incoming webhook."""

from misp_playbook_lib.clients.failures import MATTERMOST
from misp_playbook_lib.clients.hooks import Hook

SERVICE = MATTERMOST
MAX_MESSAGE = 16_383
"""Characters: Mattermost's server splits a longer message wherever it falls (model.PostMessageMaxRunesV2)."""

MAX_CARD = 250_000
"""Bytes of a card as JSON: the server refuses a body over 300,000 (ServiceSettings.MaximumPayloadSizeBytes, 9.7.2 and
later), and props over 800,000 characters less some room (model.PostPropsMaxUserRunes)."""


class MattermostClient:
    """Speaks to one webhook.

    Args:
        hook: its URL, a secret.
        user: the name to post under.

    """

    def __init__(self, hook: str, user: str) -> None:
        self._user = user
        self._hook = Hook(SERVICE, hook)

    def post(self, text: str, card: str = "") -> None:
        """Post a message, with a card beside it if there is one.

        Raises:
            ServiceError: it was not accepted.

        """
        props = {"props": {"card": card}} if card else {}
        self._hook.post({"username": self._user, "text": text, **props})
