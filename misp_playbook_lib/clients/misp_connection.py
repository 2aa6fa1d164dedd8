"""PyMISP on the client that every service is asked by; its dict errors become exceptions here."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin

import requests

from misp_playbook_lib.clients import http
from misp_playbook_lib.clients.lean import left_out
from misp_playbook_lib.clients.misp_attributes import SEARCH, SERVICE, unexpected
from misp_playbook_lib.errors import ServiceError
from misp_playbook_lib.settings import Settings

with left_out("pymispwarninglists"):  # it would load jsonschema, which takes two seconds beside JupyterLab
    from pymisp import PyMISP, PyMISPError
    from pymisp.abstract import pymisp_json_default

TIMEOUT = 120.0
"""Seconds for one answer: MISP takes 4.4 s for an edit of 300,000 entries on an idle server, and may be busy."""

MAX_ANSWER = 4_000_000
"""Bytes of an answer that does not grow with the server's data: attributes/describeTypes is the largest."""

MAX_WHOLE = 320_000_000
"""Bytes of a whole list or event: a list of 1,000,000 entries has 191 MB."""

ROW = 8_192
"""Bytes that a row asked for may have: an attribute takes 550 on average, a value checked the lists that hold it."""

ROW_WITH_CONTEXT = 65_536
"""Bytes that a row may have whose event comes with its tags and their galaxies."""

_WHOLE = ("warninglists/view/", "warninglists/edit/", "warninglists/index", "events/view/")
_NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


class Connection(PyMISP):
    """PyMISP that sends by our client and raises what went wrong.

    As it comes, it follows redirects with the body, returns a 4xx as a dict and hides the status of a 5xx.
    """

    ahead = 0.0
    """By how many seconds the server's clock is ahead of ours, or behind."""

    def __init__(self, settings: Settings) -> None:
        key = settings.secret("misp_key")
        self.http = http.HttpClient(
            SERVICE, verify=settings.misp_verifycert, headers={"Authorization": key}, timeout=TIMEOUT
        )
        # PyMISP joins paths to the address: without the slash a MISP below a path loses that path.
        super().__init__(f"{settings.misp_url}/", key)

    def _prepare_request(
        self,
        request_type: str,
        url: str,
        data: Any = None,
        params: Mapping[str, Any] = _NO_PARAMETERS,
        kw_params: Mapping[str, Any] = _NO_PARAMETERS,
        output_type: str = "json",
        content_type: str = "json",
    ) -> requests.Response:
        path = "/".join([url.lstrip("/").replace(" ", "+"), *(f"{name}:{value}" for name, value in kw_params.items())])
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if value is not None}
        body = data if data is None or isinstance(data, bytes) else json.dumps(data, default=pymisp_json_default)
        response = self.http.request(
            request_type,
            urljoin(self.root_url, path),
            path[:80],
            data=body.encode() if isinstance(body, str) else body,
            params=params,
            headers={"Accept": f"application/{output_type}", "Content-Type": f"application/{content_type}"},
            limit=largest_answer(path, data),
        )
        self.ahead = http.seconds_ahead(response)
        return response

    def _check_response(self, response: requests.Response, *_: Any, **__: Any) -> dict[str, Any] | str:
        answer = http.parsed(response, SERVICE, (response.request.path_url or "").lstrip("/")[:80])
        if isinstance(answer, dict) and answer.get("response") is not None:
            answer = answer["response"]
        return answer  # type: ignore[no-any-return]  # whatever JSON MISP answered

    def search_attributes(self, filters: dict[str, Any]) -> bytes:
        """Ask attributes/restSearch and return the answer as it came: PyMISP would make objects of every row."""
        return self._prepare_request("POST", SEARCH, data=filters).content


def connect(settings: Settings) -> Connection:
    """Open PyMISP's connection; its constructor asks for versions, the user and describeTypes.

    Raises:
        ServiceError: MISP cannot be reached, does not accept the key, or is no MISP.

    """
    try:
        return Connection(settings)
    except PyMISPError as error:
        if isinstance(error.__context__, ServiceError):
            raise error.__context__ from None
        raise unexpected("connect") from error


def largest_answer(path: str, asked: Any) -> int:
    """Return how many bytes MISP's answer may have: what was asked for, whole, or little."""
    if path == SEARCH and asked.get("returnFormat") != "count":
        rows = asked.get("limit") or len(asked.get("uuid", ()))
        row = ROW_WITH_CONTEXT if asked.get("includeContext") else ROW
        return min(MAX_ANSWER + rows * row, MAX_WHOLE) if rows else MAX_WHOLE
    if path == "warninglists/checkValue":
        return min(MAX_ANSWER + len(asked) * ROW, MAX_WHOLE)
    return MAX_WHOLE if path.startswith(_WHOLE) else MAX_ANSWER
