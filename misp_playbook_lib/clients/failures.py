"""Every way in which a service can fail, the error that it becomes, and what to do about it."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from misp_playbook_lib.errors import (
    AuthenticationFailed,
    DeadlineReached,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    ServiceError,
    ServiceUnavailable,
    UnexpectedResponse,
)

MISP = "MISP"
MISP_MODULES = "misp-modules"
MATTERMOST = "Mattermost"
SLACK = "Slack"
THEHIVE = "TheHive"


class Failure(Enum):
    """What went wrong with a call."""

    NO_CONNECTION = auto()
    CONNECT_TIMEOUT = auto()
    PROXY = auto()
    CERTIFICATE = auto()
    ENCRYPTION = auto()
    TIMEOUT = auto()
    BROKEN_OFF = auto()
    DEADLINE = auto()
    SERVER_ERROR = auto()
    RATE_LIMITED = auto()
    KEY_REFUSED = auto()
    LOGIN_PAGE = auto()
    NOT_ALLOWED = auto()
    REFUSED = auto()
    REFUSED_SILENTLY = auto()
    REDIRECTED = auto()
    TOO_LARGE = auto()
    UNREADABLE = auto()
    NOT_JSON = auto()
    OTHER_SHAPE = auto()


NOT_SENT = frozenset({Failure.NO_CONNECTION, Failure.CONNECT_TIMEOUT, Failure.PROXY, Failure.CERTIFICATE})
"""With these, no request was sent."""


@dataclass(frozen=True, slots=True)
class _Service:
    """Where what concerns a service is set, and where it says more."""

    address: str
    key: str
    log: str
    bundle: str = "REQUESTS_CA_BUNDLE"


SERVICES = {
    MISP: _Service(
        "misp_url in the vault",
        "misp_key in the vault",
        "MISP's log",
        "misp_verifycert in the vault, or in REQUESTS_CA_BUNDLE",
    ),
    MISP_MODULES: _Service("misp_modules_url", "the module's key in the vault", "the module server's log"),
    MATTERMOST: _Service("mattermost_hook in the vault", "mattermost_hook in the vault", "Mattermost's log"),
    SLACK: _Service("slack_hook in the vault", "slack_hook in the vault", "Slack's status page"),
    THEHIVE: _Service("thehive_url in the vault", "thehive_key in the vault", "TheHive's log"),
}

_WORDS: dict[Failure, tuple[type[ServiceError], str]] = {
    Failure.NO_CONNECTION: (ServiceUnavailable, "no connection ({operation})"),
    Failure.CONNECT_TIMEOUT: (ServiceUnavailable, "no connection within {detail} seconds ({operation})"),
    Failure.PROXY: (ServiceUnavailable, "the proxy could not be used ({operation})"),
    Failure.CERTIFICATE: (ServiceUnavailable, "its certificate could not be verified ({operation})"),
    Failure.ENCRYPTION: (ServiceUnavailable, "no encrypted connection came about ({operation})"),
    Failure.TIMEOUT: (ServiceUnavailable, "no answer in time ({operation})"),
    Failure.BROKEN_OFF: (ServiceUnavailable, "the connection broke off before the answer was complete ({operation})"),
    Failure.DEADLINE: (DeadlineReached, "the run's deadline was reached ({operation})"),
    Failure.SERVER_ERROR: (ServiceUnavailable, "server error {detail} ({operation})"),
    Failure.RATE_LIMITED: (RateLimited, "asked too often ({operation})"),
    Failure.KEY_REFUSED: (AuthenticationFailed, "the key was refused ({operation})"),
    Failure.LOGIN_PAGE: (AuthenticationFailed, "answered with its login page {detail} ({operation})"),
    Failure.NOT_ALLOWED: (PermissionDenied, "the user may not do this ({operation}): {detail}"),
    Failure.REFUSED: (RequestRejected, "refused ({operation}): {detail}"),
    Failure.REFUSED_SILENTLY: (RequestRejected, "refused ({operation}): {detail}"),
    Failure.REDIRECTED: (UnexpectedResponse, "redirected instead of answering, to {detail} ({operation})"),
    Failure.TOO_LARGE: (UnexpectedResponse, "the answer is larger than {detail} ({operation})"),
    Failure.UNREADABLE: (UnexpectedResponse, "the answer cannot be unpacked ({operation})"),
    Failure.NOT_JSON: (UnexpectedResponse, "the answer is not JSON ({operation})"),
    Failure.OTHER_SHAPE: (UnexpectedResponse, "the answer is not of the promised shape ({operation})"),
}

_REMEDIES: dict[Failure, str] = {
    Failure.NO_CONNECTION: "check that the server runs, and {address}",
    Failure.CONNECT_TIMEOUT: "check the network, and {address}",
    Failure.PROXY: "check HTTPS_PROXY and NO_PROXY in the environment",
    Failure.CERTIFICATE: "name your CA bundle in {bundle}",
    Failure.ENCRYPTION: "check whether {address} is to begin with https or http",
    Failure.TIMEOUT: "try again when the server is less busy",
    Failure.BROKEN_OFF: "try again; if it happens again, look in {log}",
    Failure.DEADLINE: "run again with a longer run_timeout",
    Failure.SERVER_ERROR: "try again later, or look in {log}",
    Failure.RATE_LIMITED: "wait and try again",
    Failure.KEY_REFUSED: "check {key}",
    Failure.LOGIN_PAGE: "wait if it is in maintenance, else check {key}",
    Failure.NOT_ALLOWED: "ask an administrator for the permission, or change {key}",
    Failure.REFUSED: "correct what it names, or check {address}",
    Failure.REFUSED_SILENTLY: "check {address} and {key}, and whether a proxy or firewall refuses",
    Failure.REDIRECTED: "no redirect is followed: if the service is there, put that address into {address}",
    Failure.TOO_LARGE: "is this address the right one? Check {address}",
    Failure.UNREADABLE: "is this address the right one? Check {address}",
    Failure.NOT_JSON: "is this address the right one? Check {address}",
    Failure.OTHER_SHAPE: "is this address the right one? Check {address}, and the server's version",
}
"""What to do, with what a service calls it; where one service needs other words, `_OTHERWISE` has them."""

_OTHERWISE: dict[tuple[Failure, str], str] = {
    (Failure.KEY_REFUSED, MISP_MODULES): "a proxy or firewall refuses: check misp_modules_url",
    (Failure.NOT_ALLOWED, MISP): "ask an administrator of MISP for a role with that permission",
    (Failure.OTHER_SHAPE, MISP): "is this a supported MISP? Check misp_url in the vault",
    (Failure.OTHER_SHAPE, MISP_MODULES): "look in the module server's log, and check misp_modules_url",
}


def remedy(failure: Failure, service: str) -> str:
    """Return what to do about a failure of a service.

    Raises:
        KeyError: there is no such service.

    """
    names = SERVICES[service]
    words = _OTHERWISE.get((failure, service), _REMEDIES[failure])
    return words.format(address=names.address, key=names.key, log=names.log, bundle=names.bundle)


def failed(failure: Failure, service: str, operation: str, detail: object = "", **facts: Any) -> ServiceError:
    """Make the error of a failure: one line that says what happened and what to do.

    Args:
        failure: what happened.
        service: the service's name.
        operation: what it was asked to do.
        detail: a number, an address or the service's own words, by the failure.
        facts: what the error's class takes beside.

    """
    kind, words = _WORDS[failure]
    happened = words.format(operation=operation, detail=" ".join(str(detail).split()))
    return kind(f"{happened}; {remedy(failure, service)}", service=service, operation=operation, **facts)
