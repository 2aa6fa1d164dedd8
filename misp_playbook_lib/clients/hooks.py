"""Post to an incoming webhook. Its address is a secret and appears in no error."""

from collections.abc import Mapping
from typing import Any

from misp_playbook_lib.clients.failures import Failure, failed
from misp_playbook_lib.clients.http import READ_TIMEOUT, HttpClient, writing
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.untrusted import know_secrets

OPERATION = "post a message"
WORD = "ok"
"""What Mattermost (channels/web/webhook.go) and Slack (docs.slack.dev, incoming webhooks) answer to a message."""


class Hook:
    """An incoming webhook.

    Args:
        service: the service's name, as an analyst knows it.
        url: the hook's address, a secret.
        timeout: seconds from the post to the end of its answer.

    """

    def __init__(self, service: str, url: str, timeout: float = READ_TIMEOUT) -> None:
        know_secrets([url])
        self._url = url
        self._http = HttpClient(service, timeout=timeout)

    def post(self, message: Mapping[str, Any]) -> None:
        """Post a message as JSON.

        Raises:
            ServiceError: it was not accepted, or may have arrived; the hook's address and token are not in its words.

        """
        try:
            response = writing(lambda: self._http.request("POST", self._url, OPERATION, json=message))
            _expect_word(response.content.strip(), self._http.service, response.status_code)
        except ServiceError as error:
            raise error from None  # requests' own error names the address


def _expect_word(answer: bytes, service: str, status: int) -> None:
    """Raise what an answer without the service's word means; of a piece of the word, the rest was lost."""
    if answer != WORD.encode():
        if WORD.encode().startswith(answer):
            raise failed(Failure.BROKEN_OFF, service, OPERATION)
        raise failed(Failure.OTHER_SHAPE, service, OPERATION, status=status)
