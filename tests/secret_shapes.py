"""The shapes in which a secret can stand in a text, each as a function of the secret."""

import base64
import html
import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

from misp_playbook_lib.model.indicators import defang

SHAPES: Mapping[str, Callable[[str], str]] = {
    "plain": lambda secret: secret,
    "URL-encoded": lambda secret: quote(secret, safe=""),
    "URL-encoded but for its slashes": quote,
    "URL-encoded in lower case": lambda secret: "".join(one if one.isalnum() else f"%{ord(one):02x}" for one in secret),
    "URL-encoded twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "escaped for HTML": html.escape,
    "escaped for HTML twice": lambda secret: html.escape(html.escape(secret)),
    "in decimal references": lambda secret: "".join(one if one.isalnum() else f"&#{ord(one)};" for one in secret),
    "in hexadecimal references": lambda secret: "".join(
        one if one.isalnum() else f"&#x{ord(one):X};" for one in secret
    ),
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON in JSON": lambda secret: json.dumps(json.dumps(secret))[1:-1],
    "in JSON with slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "in JSON by code points": lambda secret: "".join(one if one.isalnum() else f"\\u{ord(one):04x}" for one in secret),
    "in HTML in JSON": lambda secret: json.dumps(html.escape(secret))[1:-1],
    "escaped for Markdown": lambda secret: "".join(one if one.isalnum() else f"\\{one}" for one in secret),
    "defanged": lambda secret: secret.replace("http", "hxxp").replace(".", "[.]").replace("://", "[://]"),
    "defanged by us": defang,
    "defanged in words": lambda secret: secret.replace(".", "[dot]").replace("@", "(at)"),
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64 behind a user": lambda secret: base64.b64encode(f"me:{secret}".encode()).decode(),
    "in base64 behind another": lambda secret: base64.b64encode(f"you:{secret}, and more".encode()).decode(),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "in base64 in a URL": lambda secret: quote(base64.b64encode(secret.encode()).decode(), safe=""),
}
