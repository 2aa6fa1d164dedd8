"""Posts to an incoming webhook, whose address, a secret, is in no error."""

from collections.abc import Mapping
from typing import Any

from misp_playbook_lib.clients.http import READ_TIMEOUT, HttpClient, writing
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.untrusted import know_secrets


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
            ServiceError: it was not accepted; the hook's address and token are not in its words.

        """
        try:
            writing(lambda: self._http.request("POST", self._url, "post a message", json=message))
        except ServiceError as error:
            raise error from None  # requests' own error names the address
