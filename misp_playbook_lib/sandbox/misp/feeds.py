"""What a MISP's cached feeds hold: the answers of feeds/searchCaches (MISP 2.5's FeedsController)."""

from dataclasses import dataclass, field
from typing import Any

from misp_playbook_lib.sandbox.misp.answers import ok
from misp_playbook_lib.sandbox.misp.filters import text
from misp_playbook_lib.sandbox.server import Response


@dataclass(slots=True)
class Feeds:
    """Feeds by id with their values; kept in memory alone."""

    names: dict[int, str] = field(default_factory=dict)
    values: dict[int, frozenset[str]] = field(default_factory=dict)

    def search(self, given: Any, url: str) -> Response:
        """Say which feeds hold which values: by value for a list, a list of feeds for a single one."""
        asked = given if isinstance(given, list) else [given]
        hits: dict[str, list[dict[str, Any]]] = {}
        for value in (text(one).lower().strip() for one in asked):
            found = [self._shown(feed_id, url) for feed_id, values in self.values.items() if value in values]
            if found:
                hits[value] = found
        if isinstance(given, list):
            return ok(hits or [])
        return ok(next(iter(hits.values()), []))

    def _shown(self, feed_id: int, url: str) -> dict[str, Any]:
        return {
            "Feed": {
                "id": str(feed_id),
                "name": self.names[feed_id],
                "url": f"feeds/{feed_id}.txt",
                "source_format": "freetext",
                "type": "Feed",
                "direct_urls": [{"url": f"{url}/feeds/previewIndex/{feed_id}", "name": f"Feed {feed_id}"}],
            }
        }
