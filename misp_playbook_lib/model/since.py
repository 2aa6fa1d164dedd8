"""Reads since when to search: a span back from the present, or a date."""

import re
from datetime import UTC, datetime, timedelta

_SPAN = re.compile(r"([0-9]{1,6})([dh])")


def since(text: str, now: datetime) -> datetime | None:
    """Return the moment that `30d`, `12h`, `2024-01-31` or `2024-01-31T08:00+01:00` stands for; empty: None.

    A date without a time zone is UTC. Neither months nor minutes: MISP reads `m` as minutes, people may not.

    Raises:
        ValueError: it is none of these, or lies in the future.

    """
    words = text.strip()
    if not words:
        return None
    span = _SPAN.fullmatch(words.lower())
    try:
        if span:
            moment = now - timedelta(**{"days" if span[2] == "d" else "hours": int(span[1])})
        else:
            moment = datetime.fromisoformat(words)
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is neither days (30d), hours (12h) nor a date (2024-01-31)") from None
    if moment > now:
        raise ValueError("lies in the future")
    return moment
