"""Since when to search: spans and dates, nothing that could be misread."""

from datetime import UTC, datetime, timedelta

import pytest

from misp_playbook_lib.model.since import since

NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", None),
        ("30d", NOW - timedelta(days=30)),
        ("12H", NOW - timedelta(hours=12)),
        (" 2024-01-31 ", datetime(2024, 1, 31, tzinfo=UTC)),
        ("2024-01-31T08:00+01:00", datetime(2024, 1, 31, 7, tzinfo=UTC)),
        ("2024-01-31T08:00:00Z", datetime(2024, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_spans_and_dates_are_read(text: str, moment: datetime | None) -> None:
    assert since(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["5m", "30", "1700000000", "last week", "-3d", "1.5d", "31.01.2024", "2024-02-30", "999999d"]
)
def test_what_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither days"):
        since(text, NOW)


def test_a_moment_in_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="future"):
        since("2024-06-16", NOW)
