"""A Mattermost with one incoming webhook, after the server's `channels/web/webhook.go` and `channels/app/webhook.go`.

It splits and refuses as the server does, and keeps each post as it would be stored: `<!channel>` has become
`@channel`, `<link|words>` has become `[words](link)`. Channels are not checked. Attachments stay together on the
last part of a split message, where the server spreads them out.
"""

import itertools
import json
import re
import threading
from typing import Any
from urllib.parse import parse_qs

from misp_playbook_lib.sandbox.server import Request, Response, Service

TOKEN = "sandboxhook0mattermost0000"  # noqa: S105 - the sandbox's own, good for nothing else
CHANNEL = "town-square"
USERNAME = "webhook"
"""The name of a post that gives none (model.DefaultWebhookUsername)."""
MAX_POST = 16_383
"""Characters of one post; a longer text is split wherever it falls (model.PostMessageMaxRunesV2)."""
MAX_PROPS = 760_000
"""Characters of a post's props as JSON (model.PostPropsMaxUserRunes)."""

_ANNOUNCEMENTS = {"<!channel>": "@channel", "<!here>": "@here", "<!all>": "@all"}
_LINK = re.compile(r"<([^\n<|>]+)\|([^|\n>]+)>")
_KEPT_BY_THE_SERVER = {"override_icon_url", "override_username", "from_webhook"}
_GO_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
_FIELDS = {"text": str, "username": str, "icon_url": str, "icon_emoji": str, "channel": str, "type": str} | {
    "props": dict,
    "attachments": list,
}


class Mattermost(Service):
    """Mattermost's webhook on loopback; `posts` has what the channel shows, oldest first.

    Args:
        port: the port to take, 0 for a free one.

    Raises:
        OSError: the port is taken.

    """

    name = "mattermost"

    def __init__(self, port: int = 0) -> None:
        self.posts: list[dict[str, Any]] = []
        self._ids = itertools.count(1)
        self._posting = threading.Lock()
        super().__init__(port)

    @property
    def hook(self) -> str:
        """The webhook's address."""
        return f"{self.url}/hooks/{TOKEN}"

    def handle(self, request: Request) -> Response:
        """Take a post at /hooks/<id>; say at /api/v4/system/ping that the server is there."""
        if request.method == "GET" and request.route == "/api/v4/system/ping":
            return Response(200, {"status": "OK"})
        hook = re.fullmatch(r"/hooks/([A-Za-z0-9]+)", request.route)
        if hook is None or request.method != "POST":
            return _error(404, "api.context.404.app_error", "Sorry, we could not find the page.")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        about = f"the payload of media type {media_type} for incoming webhook {hook[1]}."
        try:
            posted = _decode(request.body, media_type)
        except ValueError:
            return _error(400, "web.incoming_webhook.decode.app_error", f"Failed to decode {about}")
        text, props = _rendered(posted)
        refused = hook[1] != TOKEN or not (posted.get("text") or posted.get("attachments"))
        if refused or len(_as_go_writes(props)) > MAX_PROPS:
            return _error(400, "web.incoming_webhook.general.app_error", f"Failed to handle {about}")
        with self._posting:
            self._post(posted, text, props)
        return Response(200, "ok", content_type="text/plain")

    def _post(self, posted: dict[str, Any], text: str, props: dict[str, Any]) -> None:
        """Store a message in as many posts as it takes; each repeats the props, the last has the attachments."""
        starts = range(0, max(len(text), 1), MAX_POST)
        for start in starts:
            dropped = set() if start == starts[-1] else {"attachments"}
            self.posts.append(
                {
                    "id": f"{next(self._ids):026d}",
                    "channel": (posted.get("channel") or CHANNEL).removeprefix("#"),
                    "username": props["override_username"],
                    "text": text[start : start + MAX_POST],
                    "type": posted.get("type") or "",
                    "props": {key: each for key, each in props.items() if key not in dropped},
                }
            )


def _decode(body: bytes, media_type: str) -> dict[str, Any]:
    """Read a payload: a form's `payload`, else the body whatever it is called.

    Raises:
        ValueError: it is no JSON, or a field is of another type.

    """
    text = body.decode()
    if media_type == "application/x-www-form-urlencoded":
        text = parse_qs(text).get("payload", [""])[0]
    posted = json.loads(text)
    if not isinstance(posted, dict) or not all(
        isinstance(posted.get(each), kind | None) for each, kind in _FIELDS.items()
    ):
        raise ValueError("a field is of another type")
    return posted


def _rendered(posted: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return text and props as the server stores them."""
    text = posted.get("text") or ""
    for announcement, mention in _ANNOUNCEMENTS.items():
        text = text.replace(announcement, mention)
    props: dict[str, Any] = {"from_webhook": "true", "override_username": posted.get("username") or USERNAME}
    if posted.get("icon_url"):
        props["override_icon_url"] = posted["icon_url"]
    props |= {key: each for key, each in (posted.get("props") or {}).items() if key not in _KEPT_BY_THE_SERVER}
    if posted.get("attachments"):
        props["attachments"] = posted["attachments"]
    return _LINK.sub(r"[\2](\1)", text), props


def _as_go_writes(props: dict[str, Any]) -> str:
    """Write JSON as Go's encoding/json does, which is what the server counts."""
    return json.dumps(props, ensure_ascii=False, separators=(",", ":")).translate(_GO_ESCAPES)


def _error(status: int, identifier: str, message: str) -> Response:
    body = {"id": identifier, "message": message, "detailed_error": "", "request_id": "", "status_code": status}
    return Response(status, body)
