"""Every service is asked by one client: time and size of an answer are bounded, no redirect is followed, errors mapped.

A request that was received is never repeated here; the callers that may repeat one say so with `reading`.
"""

import email.utils
import json as jsonlib
import os
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import requests
import stamina
from urllib3.exceptions import InsecureRequestWarning, NewConnectionError, ReadTimeoutError

from misp_playbook_lib.clients import deadline
from misp_playbook_lib.clients.failures import MISP, NOT_SENT, Failure, failed
from misp_playbook_lib.clients.transport import Session, read_body
from misp_playbook_lib.errors import DeadlineReached, RateLimited, ServiceError, ServiceUnavailable
from misp_playbook_lib.settings import is_loopback
from misp_playbook_lib.untrusted import redact

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
"""Seconds from the request to the end of the answer."""
ATTEMPTS = 3
REPETITIONS = 180.0
"""Seconds that all attempts of a call take together."""
LONGEST_PAUSE = 2.0
MAX_WAIT = 30.0
"""Seconds that a Retry-After may ask for; a service that wants more is told of as failed."""
DEFAULT_WAIT = 1.0
"""Seconds to wait where a 429 names none: Slack takes one message a second (docs.slack.dev, rate limits)."""
MAX_ANSWER = 65_536
"""Bytes of an answer, unpacked, beyond those that were sent and that it may repeat."""
Result = TypeVar("Result")
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class HttpClient:
    """Speaks to one service.

    Args:
        service: its name, one of `failures.SERVICES`.
        verify: True, False, or the path of a CA bundle.
        headers: sent with every request.
        timeout: seconds from a request to the end of its answer.

    """

    def __init__(
        self,
        service: str,
        *,
        verify: bool | Path = True,
        headers: dict[str, str] | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> None:
        self.service = service
        self.timeout = timeout
        self._verify = verify
        self._session = Session()
        self._session.headers.update(headers or {})

    def request(
        self,
        method: str,
        url: str,
        operation: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = MAX_ANSWER,
    ) -> requests.Response:
        """Send one request and return the answer if its status is below 300.

        Args:
            method: GET or POST.
            url: the whole address.
            operation: what the service is asked to do, in words.
            json: the body, to be written as JSON.
            data: the body as it is.
            params: the query.
            headers: sent beside the client's.
            limit: the bytes that the answer may have, unpacked, beyond as many as were sent.

        Raises:
            ServiceError: one of its kinds, by what went wrong.

        """
        if deadline.reached():
            raise failed(Failure.DEADLINE, self.service, operation, not_taken=True)
        with deadline.within(self.timeout):
            seconds = deadline.call_seconds_left()
            try:
                response = self._session.request(
                    method,
                    url,
                    json=json,
                    data=data,
                    params=params,
                    headers=headers,
                    timeout=(min(CONNECT_TIMEOUT, seconds), seconds),
                    verify=verification(self._verify),
                    proxies=proxies(url),
                    stream=True,
                )
                limit += len(response.request.body or b"")
                whole = read_body(response, limit)
            except requests.RequestException as error:
                raise _no_answer(error, self.service, operation) from error
        _check_status(response, self.service, operation)
        if not whole:
            size = f"{limit / 1e6:,.1f} MB"
            raise failed(Failure.TOO_LARGE, self.service, operation, size, status=response.status_code)
        return response

    def json(self, method: str, url: str, operation: str, *, json: Any = None, limit: int = MAX_ANSWER) -> Any:
        """Send one request and return the JSON of the answer, whatever its Content-Type says.

        Raises:
            ServiceError: one of its kinds, by what went wrong.

        """
        return parsed(self.request(method, url, operation, json=json, limit=limit), self.service, operation)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def reading(ask: Callable[[], Result]) -> Result:
    """Ask up to three times, with growing pauses or those that a 429 asks for: for what only reads.

    Raises:
        ServiceError: it was refused, or the service stayed unavailable.

    """
    return _repeated(ask, lambda error: _wait_before(error, reads=True))


def once(ask: Callable[[], Result]) -> Result:
    """Ask, and ask again only what certainly was not taken: after a 429, or where no connection came about.

    Raises:
        ServiceError: it was not accepted.

    """
    return _repeated(ask, _wait_before)


def writing(send: Callable[[], Result]) -> Result:
    """Send as `once` does; the run's deadline does not cut what was begun before it.

    Raises:
        ServiceError: it was not accepted, or what became of it is not known.

    """
    with deadline.uncut():
        return once(send)


def _repeated(ask: Callable[[], Result], wait_before: Callable[[Exception], bool | float]) -> Result:
    with deadline.within(REPETITIONS):
        for attempt in stamina.retry_context(
            on=wait_before, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=LONGEST_PAUSE
        ):
            with attempt:
                return ask()
    raise AssertionError  # stamina returns or raises


def _wait_before(error: Exception, *, reads: bool = False) -> bool | float:
    """Say whether a call may be repeated, and after how many seconds (True: stamina's own pause)."""
    left = min(deadline.call_seconds_left(), deadline.seconds_left())
    if isinstance(error, RateLimited):
        wait = DEFAULT_WAIT if error.retry_after is None else error.retry_after
        return wait <= min(MAX_WAIT, left - 1) and float(wait)
    if not isinstance(error, ServiceUnavailable) or isinstance(error, DeadlineReached) or left <= LONGEST_PAUSE + 1:
        return False
    return not isinstance(error.__cause__, requests.exceptions.SSLError) and (reads or error.not_taken)


def verification(verify: bool | Path) -> bool | str:
    """Return requests' `verify`: the vault's word, else the system's CA bundle variable, else the default."""
    if verify is True:
        return next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), True)
    if verify is False:
        # PR:1 and the report say it once, aloud; urllib3 would say it with every request.
        warnings.simplefilter("ignore", InsecureRequestWarning)
        return False
    return str(verify)


def proxies(url: str) -> dict[str, str]:
    """Return the system's proxies for a URL; loopback is never proxied."""
    return {} if is_loopback(url) else requests.utils.get_environ_proxies(url)


def _no_answer(error: requests.RequestException, service: str, operation: str) -> ServiceError:
    """Say in one line why no answer came."""
    kinds = requests.exceptions
    inner = error.args[0] if error.args else None
    connected = not isinstance(getattr(inner, "reason", None), NewConnectionError)
    unverified = isinstance(error, kinds.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)
    signs = (
        (Failure.CERTIFICATE, unverified),
        (Failure.ENCRYPTION, isinstance(error, kinds.SSLError)),
        (Failure.CONNECT_TIMEOUT, isinstance(error, kinds.ConnectTimeout)),
        (Failure.PROXY, isinstance(error, kinds.ProxyError)),
        (Failure.NO_CONNECTION, not connected),
        (Failure.TIMEOUT, isinstance(error, kinds.Timeout) or isinstance(inner, ReadTimeoutError)),
        (Failure.UNREADABLE, isinstance(error, kinds.ContentDecodingError)),
        (Failure.BROKEN_OFF, True),
    )
    failure = next(failure for failure, shown in signs if shown)
    if failure in {Failure.CONNECT_TIMEOUT, Failure.TIMEOUT} and deadline.reached():
        return failed(Failure.DEADLINE, service, operation, not_taken=failure is Failure.CONNECT_TIMEOUT)
    facts = {"not_taken": True} if failure in NOT_SENT else {}
    return failed(failure, service, operation, f"{CONNECT_TIMEOUT:.0f}", **facts)


def _check_status(response: requests.Response, service: str, operation: str) -> None:
    """Raise what a status from 300 on means (RFC 9110 section 15).

    Raises:
        ServiceError: one of its kinds.

    """
    status = response.status_code
    if status < 300:  # noqa: PLR2004
        return
    if status < 400:  # noqa: PLR2004
        target = redirect_target(response)
        login = service == MISP and target.endswith("/users/login")
        failure = Failure.LOGIN_PAGE if login else Failure.REDIRECTED
        raise failed(failure, service, operation, target, status=status)
    if status == requests.codes.too_many_requests:
        wait = _retry_after(response)
        raise failed(Failure.RATE_LIMITED, service, operation, status=status, retry_after=wait)
    if status >= requests.codes.internal_server_error:
        raise failed(Failure.SERVER_ERROR, service, operation, status, status=status)
    message, errors = own_words(response)
    if status == requests.codes.unauthorized or _about_the_key(message):
        raise failed(Failure.KEY_REFUSED, service, operation, status=status)
    if status == requests.codes.forbidden and "permission" in message.lower():
        raise failed(Failure.NOT_ALLOWED, service, operation, message, status=status)
    words = "; ".join(f"{field}: {', '.join(texts)}" for field, texts in errors.items()) or message
    if words:
        raise failed(Failure.REFUSED, service, operation, words, status=status, errors=errors)
    raise failed(Failure.REFUSED_SILENTLY, service, operation, status, status=status)


def redirect_target(response: requests.Response) -> str:
    """Return the address that a redirect leads to, without what could be a secret: user, password and query."""
    try:
        parts = urlsplit(urljoin(response.url, response.headers.get("Location", "")))
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        return "an address that cannot be read"
    return quote(address, safe=":/[]%~")[:200]


def parsed(response: requests.Response, service: str, operation: str) -> Any:
    """Return the JSON of an answer.

    Raises:
        UnexpectedResponse: it is not JSON, or nested too deep.

    """
    try:
        return jsonlib.loads(response.content)
    except (ValueError, RecursionError):
        raise failed(Failure.NOT_JSON, service, operation, status=response.status_code) from None


def own_words(response: requests.Response) -> tuple[str, dict[str, list[str]]]:
    """Return the message and the errors by field of a refusal, as far as it has them (MISP's and TheHive's shapes)."""
    try:
        body = jsonlib.loads(response.content)
    except (ValueError, RecursionError):
        text = redact(response.content[:1000].decode("utf-8", "replace")).strip()
        return ("" if text.startswith("<") else text[:200]), {}
    if not isinstance(body, dict):
        return "", {}
    errors = body.get("errors")
    fields = {}
    if isinstance(errors, dict):
        for field, texts in errors.items():
            fields[str(field)] = [str(text) for text in texts] if isinstance(texts, list) else [str(texts)]
    message = body.get("message") or body.get("name") or (errors if isinstance(errors, str) else "")
    return redact(str(message))[:500], fields


def _about_the_key(message: str) -> bool:
    """Recognise MISP's two refusals of a key (app/Controller/AppController.php)."""
    return message.startswith("Authentication failed") or "Auth key" in message


def seconds_ahead(response: requests.Response) -> float:
    """Return by how many seconds the server's clock is ahead of ours, 0 if it is not told (RFC 9110 section 6.6.1)."""
    try:
        moment = email.utils.parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return 0.0
    return moment.timestamp() - time.time()


def _retry_after(response: requests.Response) -> float | None:
    """Read Retry-After as seconds (RFC 9110 section 10.2.3: seconds or a date)."""
    text = response.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
