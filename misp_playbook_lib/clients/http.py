"""One requests session for every service: timeouts always, errors mapped, proxies and CA bundle honoured.

A request that was received is never repeated here; the callers that may repeat one say so with `reading`.
"""

import email.utils
import os
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import requests
import stamina
from urllib3.exceptions import InsecureRequestWarning, NewConnectionError

from misp_playbook_lib.errors import (
    AuthenticationFailed,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    ServiceUnavailable,
    UnexpectedResponse,
)
from misp_playbook_lib.settings import is_loopback
from misp_playbook_lib.untrusted import redact

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
ATTEMPTS = 3
Result = TypeVar("Result")
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class HttpClient:
    """Speaks to one service.

    Args:
        service: its name, as an analyst knows it.
        verify: True, False, or the path of a CA bundle.
        headers: sent with every request.
        timeout: seconds to wait for an answer.

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
        self._verify = verify
        self._timeout = timeout
        self._session = requests.Session()
        # requests would let ~/.netrc overwrite the Authorization header, and would proxy loopback.
        self._session.trust_env = False
        self._session.headers.update(headers or {})

    def request(
        self,
        method: Literal["GET", "POST"],
        url: str,
        operation: str,
        *,
        json: Any = None,
        timeout: float | None = None,
    ) -> requests.Response:
        """Send one request and return the answer if its status is below 400.

        Raises:
            ServiceError: one of its kinds, by what went wrong.

        """
        try:
            response = self._session.request(
                method,
                url,
                json=json,
                timeout=(CONNECT_TIMEOUT, timeout or self._timeout),
                verify=verification(self._verify),
                proxies=proxies(url),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise no_answer(error, self.service, operation) from error
        check_status(response, self.service, operation)
        return response

    def json(
        self,
        method: Literal["GET", "POST"],
        url: str,
        operation: str,
        *,
        json: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """Send one request and return the JSON of the answer, whatever its Content-Type says.

        Raises:
            ServiceError: one of its kinds, by what went wrong.

        """
        return parsed(self.request(method, url, operation, json=json, timeout=timeout), self.service, operation)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def reading(ask: Callable[[], Result]) -> Result:
    """Ask up to three times, with growing pauses, as long as the service is unavailable: for what only reads."""
    for attempt in stamina.retry_context(
        on=ServiceUnavailable, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2.0
    ):
        with attempt:
            return ask()
    raise AssertionError  # stamina returns or raises


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


def no_answer(error: requests.RequestException, service: str, operation: str) -> ServiceUnavailable:
    """Say in one line why no answer came."""
    if isinstance(error, requests.exceptions.SSLError):
        bundle = "misp_verifycert in the vault, for MISP, or REQUESTS_CA_BUNDLE"
        reason = f"its certificate could not be verified; name your CA bundle in {bundle}"
    elif isinstance(error, requests.exceptions.ConnectTimeout):
        reason = f"no connection within {CONNECT_TIMEOUT:.0f} seconds; check the address and the network"
    elif isinstance(error, requests.exceptions.Timeout):
        reason = "no answer in time; try again when the server is less busy"
    elif isinstance(error, requests.exceptions.ProxyError):
        reason = "the proxy could not be used; check HTTPS_PROXY and NO_PROXY"
    elif never_connected(error):
        reason = "no connection; check that the server runs and that the address is right"
    else:
        reason = "the connection broke off before the answer was complete"
    return ServiceUnavailable(f"{reason} ({operation})", service=service, operation=operation)


def check_status(response: requests.Response, service: str, operation: str) -> None:
    """Raise what a status from 300 on means.

    Raises:
        ServiceError: one of its kinds.

    """
    status = response.status_code
    if status < 300:  # noqa: PLR2004 - RFC 9110 section 15
        return
    message, errors = own_words(response)
    known = {"service": service, "operation": operation}
    if status < 400:  # noqa: PLR2004
        raise UnexpectedResponse(f"redirected instead of answering ({operation})", status=status, **known)
    if status == requests.codes.too_many_requests:
        raise RateLimited(
            f"asked too often ({operation}); wait and try again",
            status=status,
            retry_after=_retry_after(response),
            **known,
        )
    if status >= requests.codes.internal_server_error:
        raise ServiceUnavailable(f"server error {status} ({operation})", status=status, **known)
    if status == requests.codes.unauthorized or _about_the_key(message):
        raise AuthenticationFailed(f"the key was refused; check it in the vault ({operation})", status=status, **known)
    if status == requests.codes.forbidden and "permission" in message.lower():
        raise PermissionDenied(f"the user may not do this ({operation}): {message}", status=status, **known)
    words = "; ".join(f"{field}: {', '.join(texts)}" for field, texts in errors.items()) or message or f"{status}"
    raise RequestRejected(f"refused ({operation}): {words}", status=status, errors=errors, **known)


def parsed(response: requests.Response, service: str, operation: str) -> Any:
    """Return the JSON of an answer.

    Raises:
        UnexpectedResponse: it is not JSON.

    """
    try:
        return response.json()
    except requests.exceptions.JSONDecodeError:
        raise UnexpectedResponse(
            f"the answer is not JSON ({operation}); is this address the right one?",
            service=service,
            operation=operation,
            status=response.status_code,
        ) from None


def own_words(response: requests.Response) -> tuple[str, dict[str, list[str]]]:
    """Return the message and the errors by field of a refusal, as far as it has them (MISP's and TheHive's shapes)."""
    try:
        body = response.json()
    except requests.exceptions.JSONDecodeError:
        text = redact(response.text).strip()
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


def never_connected(error: requests.RequestException) -> bool:
    """Tell whether the request was certainly not received: no connection came about."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(reason, NewConnectionError)


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
