"""Adds alerts to TheHive 5."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from misp_playbook_lib.clients.failures import THEHIVE, Failure, failed
from misp_playbook_lib.clients.http import READ_TIMEOUT, HttpClient, parsed, reading, writing
from misp_playbook_lib.errors import RequestRejected, ServiceError

SERVICE = THEHIVE
MAX_TYPE = 32
MAX_SOURCE = 64
MAX_SOURCE_REF = 128
MAX_TITLE = 512
MAX_SUMMARY = 1_048_576
MAX_LINK = 512
"""Characters that POST /api/v1/alert takes in each field (docs.strangebee.com, TheHive API, create alert)."""

MAX_TAG = 128
"""Characters of a tag (github.com/LetMeR00t/TA-thehive-cortex pull 119)."""

MAX_OBSERVABLE = 4_096
"""Characters of an observable's data (github.com/TheHive-Project/TheHive4py issue 329)."""

MAX_BODY = 9_000_000
"""Bytes of a request: TheHive's configuration allows ten million (play.http.parser.maxMemoryBuffer)."""

MAX_FOUND = 5_000_000
"""Bytes of an alert in an answer: its description and summary, four for a character, and more."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that TheHive has; `existed` says that it was there before, `url` is its page.

    Of one that existed, `id` and `url` are empty where TheHive did not tell which it is.
    """

    id: str
    existed: bool
    url: str


class TheHiveClient:
    """Speaks to one server.

    Args:
        url: where it is.
        key: the API key of a user with manageAlert/create.
        timeout: seconds from a request to the end of its answer.

    """

    def __init__(self, url: str, key: str, timeout: float = READ_TIMEOUT) -> None:
        self.url = url
        self._http = HttpClient(SERVICE, headers={"Authorization": f"Bearer {key}"}, timeout=timeout)

    def add_alert(self, alert: dict[str, Any]) -> Alert:
        """Add an alert, or find the one with the same type, source and sourceRef, which TheHive keeps unique.

        Raises:
            ServiceError: it was not accepted, or may have arrived.

        """
        url = f"{self.url}/api/v1/alert"
        try:
            answer = writing(lambda: self._http.request("POST", url, "add an alert", json=alert))
        except RequestRejected as error:
            if "already exist" not in str(error):
                raise
            return self._alert(self._find(alert), existed=True)
        return self._alert(_id(parsed(answer, SERVICE, "add an alert"), answer.status_code), existed=False)

    def _alert(self, alert_id: str, *, existed: bool) -> Alert:
        return Alert(alert_id, existed, f"{self.url}/alerts/{quote(alert_id)}/details" if alert_id else "")

    def _find(self, alert: dict[str, Any]) -> str:
        """Return the ID of an alert that exists, empty where TheHive does not tell."""
        conditions = [{"_field": field, "_value": alert[field]} for field in ("type", "source", "sourceRef")]
        query = [{"_name": "listAlert"}, {"_name": "filter", "_and": [{"_eq": one} for one in conditions]}]
        url = f"{self.url}/api/v1/query"
        try:
            answer = reading(
                lambda: self._http.json("POST", url, "find an alert", json={"query": query}, limit=MAX_FOUND)
            )
            return _id(answer[0]) if isinstance(answer, list) and answer else ""
        except ServiceError:
            return ""


def _id(answer: Any, status: int = 200) -> str:
    found = answer.get("_id") if isinstance(answer, dict) else None
    if not isinstance(found, str) or not found:
        raise failed(Failure.OTHER_SHAPE, SERVICE, "add an alert", status=status)
    return found
