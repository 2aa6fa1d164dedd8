"""The ways in which MISP answers: its errors as exceptions, its refusals to save, its redirects."""

from typing import Any

from misp_playbook_lib.sandbox.server import Response

JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"
INTERNAL = "An Internal Error Has Occurred."
NOT_ALLOWED = "You do not have permission to use this functionality."


class MispError(Exception):
    """An answer that ends a request: `status` with MISP's name, message and url."""

    status = 500

    def __init__(self, words: str = INTERNAL) -> None:
        self.words = words
        super().__init__(words)


class InternalError(MispError):
    """What MISP does not foresee: a missing field, a value that a column cannot hold."""


class NotFoundError(MispError):
    """A missing thing."""

    status = 404


class ForbiddenError(MispError):
    """A key that is wrong, or whose user may not."""

    status = 403


class BadRequestError(MispError):
    """A request that makes no sense."""

    status = 400


class NotAllowedError(MispError):
    """The wrong method, malformed JSON, and whatever else MISP calls a 405."""

    status = 405


class RefusedError(Exception):
    """MISP does not save what it was given; `errors` has the reasons, by field or in one text."""

    def __init__(self, words: str, url: str, errors: Any) -> None:
        self.words = words
        self.url = url
        self.errors = errors
        super().__init__(words)


def ok(body: Any, **headers: str) -> Response:
    """Answer with JSON; bytes are JSON already."""
    return Response(200, body, {name.replace("_", "-"): value for name, value in headers.items()}, JSON)


def error(problem: MispError, url: str) -> Response:
    """Answer with MISP's words for a problem."""
    return Response(problem.status, {"name": problem.words, "message": problem.words, "url": url}, {}, JSON)


def refused(problem: RefusedError) -> Response:
    """Answer with what was wrong."""
    body = {"saved": False, "name": problem.words, "message": problem.words, "url": problem.url}
    return Response(403, body | {"errors": problem.errors}, {}, JSON)


def saved(words: str, url: str, **more: Any) -> Response:
    """Answer that something was done."""
    return ok({"saved": True, "success": True, "name": words, "message": words, "url": url, **more})


def redirect(address: str, content_type: str = HTML) -> Response:
    """Send the caller elsewhere."""
    return Response(302, b"", {"Location": address}, content_type)
