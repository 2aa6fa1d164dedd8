"""What is remembered of deliveries, and where that cannot be."""

from pathlib import Path

import pytest

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.steps.notify import Message
from misp_playbook_lib.steps.sent import Sent, SentLog, digest

SENT = Sent("2026-01-31 14:02 UTC", "digest", 2, whole=True)


def test_what_was_sent_is_known_to_a_later_kernel_by_service_and_result(tmp_path: Path) -> None:
    SentLog(tmp_path / "deliveries.json").note("Slack", "one", SENT)
    SentLog(tmp_path / "deliveries.json").note("TheHive", "one", SENT)
    later = SentLog(tmp_path / "deliveries.json")
    assert later.find("Slack", "one") == later.find("TheHive", "one") == SENT
    assert later.find("Slack", "other") is None


def test_without_a_file_nothing_outlives_the_run() -> None:
    SentLog(None).note("Slack", "one", SENT)
    assert SentLog(None).find("Slack", "one") is None


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "deliveries.json"
    for text in ("not JSON", '{"Slack one": {"at": 5}}'):
        path.write_text(text)
        with pytest.raises(SettingsError, match=rf"read from {path} \(.*\): delete it"):
            SentLog(path).find("Slack", "one")


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be noted in"):
        SentLog(tmp_path / "nowhere" / "deliveries.json").note("Slack", "one", SENT)


def test_messages_are_known_by_everything_in_them() -> None:
    one = Message("a.md", "text", "card")
    assert digest([one]) == digest((one,))
    assert len({digest([one]), digest([one, one]), digest([Message("a.md", "text", "other")])}) == 3
