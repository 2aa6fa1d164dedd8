"""What posts have in common: each goes out once, and an incoming webhook's address, a secret, is in no error."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import requests
import stamina

from misp_playbook_lib.clients.http import READ_TIMEOUT, HttpClient, never_connected
from misp_playbook_lib.errors import RateLimited, ServiceError, ServiceUnavailable
from misp_playbook_lib.untrusted import know_secrets

ATTEMPTS = 3
MAX_WAIT = 30.0
"""Seconds that a Retry-After may ask for; a service that wants more is told of as failed, to be sent later."""

DEFAULT_WAIT = 1.0
"""Seconds to wait where a 429 names none: Slack takes one message a second (docs.slack.dev, rate limits)."""

Result = TypeVar("Result")


def once(post: Callable[[], Result]) -> Result:
    """Post, and post again only what certainly was not taken: after a 429, or where no connection came about.

    Raises:
        ServiceError: it was not accepted.

    """
    for attempt in stamina.retry_context(on=_wait_before, attempts=ATTEMPTS, timeout=None):
        with attempt:
            return post()
    raise AssertionError  # stamina returns or raises


class Hook:
    """An incoming webhook.

    Args:
        service: the service's name, as an analyst knows it.
        url: the hook's address, a secret.
        timeout: seconds to wait for an answer.

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
            once(lambda: self._http.request("POST", self._url, "post a message", json=message))
        except ServiceError as error:
            raise error from None  # requests' own error names the address


def _wait_before(error: Exception) -> bool | float:
    """Say whether a post may be repeated, and after how many seconds."""
    if isinstance(error, RateLimited):
        wait = DEFAULT_WAIT if error.retry_after is None else error.retry_after
        return wait <= MAX_WAIT and float(wait)
    cause = error.__cause__
    return (
        isinstance(error, ServiceUnavailable)
        and isinstance(cause, requests.RequestException)
        and never_connected(cause)
    )
