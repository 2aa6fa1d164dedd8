"""Posts to a Mattermost incoming webhook."""

from misp_playbook_lib.clients.http import HttpClient

SERVICE = "Mattermost"
MAX_MESSAGE = 16_383
"""Characters: Mattermost's server splits a longer message wherever it falls (model.PostMessageMaxRunesV2)."""

MAX_PROPS = 760_000
"""Characters of props, the card among them; more is refused with 400."""


class MattermostClient:
    """Speaks to one webhook.

    Args:
        hook: its URL, a secret.
        user: the name to post under.

    """

    def __init__(self, hook: str, user: str) -> None:
        self._hook = hook
        self._user = user
        self._http = HttpClient(SERVICE)

    def post(self, text: str, card: str = "") -> None:
        """Post a message, with a card beside it if there is one.

        Raises:
            ServiceError: it was not accepted.

        """
        message: dict[str, object] = {"username": self._user, "text": text}
        if card:
            message["props"] = {"card": card}
        self._http.request("POST", self._hook, "post a message", json=message)
