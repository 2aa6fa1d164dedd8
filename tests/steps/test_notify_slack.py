"""Slack: blocks within its limits, which slack_sdk's models accept too, and nothing from outside alive."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block, RichTextBlock
from summaries import HOSTILE, MISP, RUN_ID, hostile_summary, lookups, match, parameters, settings, summary

from misp_playbook_lib.model.results import DeliveryStatus
from misp_playbook_lib.model.warninglist import WarninglistEntry
from misp_playbook_lib.sandbox.slack import Slack, _check_blocks
from misp_playbook_lib.steps.notify import Message, send_all
from misp_playbook_lib.steps.notify_slack import SlackNotifier


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack() as service:
        yield service


def notifier(workspace: Slack | None = None) -> SlackNotifier:
    hook = workspace.hook if workspace else "https://slack.example/services/T0/B0/abcdefgh"
    return SlackNotifier(parameters(send_to_slack=True), settings(slack_hook=hook))


def payload(message: Message) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(message.text)
    return loaded


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Walk through every object of a payload."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from objects(each)


def texts(message: Message) -> str:
    shown = [one["text"] for one in objects(payload(message)["blocks"]) if isinstance(one.get("text"), str)]
    return "\n".join(shown)


def check(message: Message) -> None:
    """Hold a message to the receiver's limits, to slack_sdk's models, and to what may be alive in it."""
    posted = payload(message)
    _check_blocks(posted["blocks"])
    models = Block.parse_all(posted["blocks"])
    for model, block in zip(models, posted["blocks"], strict=True):
        model.validate_json()
        assert model.to_dict()["type"] == block["type"]
        if not isinstance(model, RichTextBlock):
            assert model.to_dict() == block
    kinds = {one["type"] for one in objects(posted["blocks"]) if "type" in one}
    assert "mrkdwn" not in kinds
    assert {one["url"] for one in objects(posted["blocks"]) if one.get("type") == "link"} <= {
        f"{MISP}/warninglists/view/7"
    }
    assert "<" not in posted["text"]
    assert ">" not in posted["text"]
    assert len(posted["text"]) <= 40_000


def test_header_with_tlp_key_figures_tables_preformatted_and_a_context_with_the_run() -> None:
    [message] = notifier().render(summary([match(1)], found=[lookups()]))
    check(message)
    blocks = payload(message)["blocks"]
    assert blocks[0]["text"]["text"] == "TLP:AMBER Create a custom MISP warninglist"
    assert [field["text"] for field in blocks[1]["fields"]][:3] == [
        "Warninglist\nCampaign (ID 7)",
        "List\ncreated, 1 entries",
        "Matches\n1 attributes in 1 events",
    ]
    assert blocks[-1]["type"] == "context"
    assert blocks[-1]["elements"][0]["text"] == RUN_ID
    tables = [one for one in objects(blocks) if one.get("type") == "rich_text_preformatted"]
    assert any("host-1[.]evil[.]example" in json.dumps(table) for table in tables)
    assert "evil.example" not in message.text


def test_the_text_for_notifications_has_the_figures() -> None:
    [message] = notifier().render(summary([match(1)], name="A <!here> & B"))
    assert payload(message)["text"].startswith(
        "TLP:AMBER Create a custom MISP warninglist. Warninglist: A &lt;!here&gt; &amp; B (ID 7); List: created"
    )


def test_hostile_texts_arrive_inert() -> None:
    for message in notifier().render(hostile_summary()):
        check(message)
        assert "http://evil" not in message.text
        assert "\u202e" not in message.text


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    given_texts=st.lists(
        st.one_of(st.text(st.characters(), max_size=60), st.sampled_from(HOSTILE)), min_size=2, max_size=4
    )
)
def test_whatever_the_texts_they_arrive_inert(given_texts: list[str]) -> None:
    for message in notifier().render(hostile_summary(given_texts)):
        check(message)


def test_ten_thousand_matches_are_there_or_counted_with_a_pointer_to_the_report(workspace: Slack) -> None:
    service = notifier(workspace)
    found = [match(number, info="évènement 💣", comment="seen") for number in range(10_000)]
    messages = service.render(summary(found, [WarninglistEntry(one.entry) for one in found]))
    delivery = send_all(service, messages)
    assert (delivery.status, delivery.parts, len(workspace.posts)) == (DeliveryStatus.SENT, 5, 5)
    for message in messages:
        check(message)
    shown = sum(line.count("évènement") for message in messages for line in texts(message).split("\n"))
    left = texts(messages[-1]).rpartition("Matches in MISP events ")[2].partition(";")[0]
    assert shown + int(left.replace(",", "")) == 10_000
    assert shown > 100
    assert f"run {RUN_ID}: report.html, matches.csv." in texts(messages[-1])


def test_defect_23_parts_are_numbered_and_a_split_table_repeats_its_head() -> None:
    found = [match(number) for number in range(150)]
    messages = notifier().render(summary(found))
    assert len(messages) > 1
    for number, message in enumerate(messages, 1):
        assert payload(message)["blocks"][0]["text"]["text"].endswith(f"(part {number} of {len(messages)})")
    holding = [message for message in messages if "MISP event matches" in texts(message)]
    assert len(holding) > 1
    assert all("| Entry " in texts(message) for message in holding)


def test_many_sections_stay_within_fifty_blocks() -> None:
    messages = notifier().render(summary(found=[lookups()] * 60))
    assert len(messages) > 1
    for message in messages:
        check(message)


def test_failures_are_sentences_not_cells() -> None:
    problem = "ER:1 Query MISP: " + "no answer in time; try again when the server is less busy. " * 3
    [message] = notifier().render(summary(failures=[problem]))
    assert f"• {problem.strip()}" in texts(message)


def test_defect_22_slack_gets_the_summary(workspace: Slack) -> None:
    service = notifier(workspace)
    delivery = send_all(service, service.render(summary([match(1)])))
    assert delivery.status is DeliveryStatus.SENT
    assert "MISP event matches" in json.dumps(workspace.posts)
