"""What posts have in common: each goes out once, and an incoming webhook's address, a secret, is in no error."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import stamina

from misp_playbook_lib.clients.http import READ_TIMEOUT, HttpClient, never_connected
from misp_playbook_lib.errors import (
    RateLimited,
    RequestRejected,
    ServiceError,
    ServiceUnavailable,
    UnexpectedResponse,
)
from misp_playbook_lib.settings import SHORTEST_SECRET, redact

ATTEMPTS = 3
MAX_WAIT = 30.0
"""Seconds that a Retry-After may ask for; a service that wants more is told of as failed, to be sent later."""

GATEWAY_TIMEOUT = 504
DEFAULT_WAIT = 1.0
"""Seconds to wait where a 429 names none: Slack takes one message a second (docs.slack.dev, rate limits)."""

OPERATION = "post a message"
WORD = "ok"
"""What Mattermost (channels/web/webhook.go) and Slack (docs.slack.dev, incoming webhooks) answer to a message."""

Result = TypeVar("Result")


def once(post: Callable[[], Result]) -> Result:
    """Post, and post again only what certainly was not taken: after a 429, or where no connection came about.

    Raises:
        ServiceError: it was not accepted, or may have arrived.

    """
    try:
        for attempt in stamina.retry_context(on=_wait_before, attempts=ATTEMPTS, timeout=None):
            with attempt:
                return post()
    except ServiceUnavailable as error:
        error.may_have_arrived = _answer_lost(error)
        raise
    raise AssertionError  # stamina returns or raises


class Hook:
    """An incoming webhook.

    Args:
        service: the service's name, as an analyst knows it.
        url: the hook's address, a secret.
        timeout: seconds to wait for an answer.

    """

    def __init__(self, service: str, url: str, timeout: float = READ_TIMEOUT) -> None:
        self._url = url
        self._http = HttpClient(service, timeout=timeout)

    def post(self, message: Mapping[str, Any]) -> None:
        """Post a message as JSON.

        Raises:
            ServiceError: it was not accepted, or may have arrived; the hook's address and token are not in its words.

        """
        try:
            _expect_word(
                once(lambda: self._http.request("POST", self._url, OPERATION, json=message)), self._http.service
            )
        except ServiceError as error:
            token = urlsplit(self._url).path.rpartition("/")[2]
            secrets = (self._url, token) if len(token) >= SHORTEST_SECRET else (self._url,)
            error.args = (redact(str(error), secrets),)
            if isinstance(error, RequestRejected):
                error.errors = {}
            raise error from None  # requests' own error names the address


def _expect_word(response: requests.Response, service: str) -> None:
    """Raise what an answer without the service's word means; of a piece of the word, the rest was lost."""
    word = response.text.strip()
    if word != WORD:
        error = UnexpectedResponse(
            f"the answer is not the service's {WORD!r} ({OPERATION}); is the hook in the vault the right one?",
            service=service,
            operation=OPERATION,
            status=response.status_code,
        )
        error.may_have_arrived = WORD.startswith(word)
        raise error


def _answer_lost(error: ServiceUnavailable) -> bool:
    """Tell whether a post was sent whose answer is not known: a timeout, here or at a proxy, or a broken connection."""
    cause = error.__cause__
    not_sent = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
    if isinstance(cause, requests.RequestException):
        return not isinstance(cause, not_sent) and not never_connected(cause)
    return error.status == GATEWAY_TIMEOUT


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
