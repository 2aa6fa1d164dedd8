"""Mattermost: within its limits, tables whole, and nothing from outside alive.

What is alive is judged twice: by mistune's reading of CommonMark, and by the rule for code spans of Mattermost's own
fork of marked. The sandbox's server first does what Mattermost's does to `<!channel>` and `<address|words>`.
"""

import re
from collections.abc import Iterator
from typing import Any

import mistune
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from summaries import HOSTILE, MISP, RUN_ID, hostile_summary, match, parameters, settings, summary

from misp_playbook_lib.clients.mattermost import MAX_CARD, MAX_MESSAGE
from misp_playbook_lib.model.results import DeliveryStatus
from misp_playbook_lib.model.warninglist import WarninglistEntry
from misp_playbook_lib.parameters import MATTERMOST_CARD, MATTERMOST_MESSAGE
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.sandbox.mattermost import Mattermost, _rendered
from misp_playbook_lib.steps.notify import Message, send_all
from misp_playbook_lib.steps.notify_mattermost import MattermostNotifier, json_weight

CODE_IN_MARKED = re.compile(r"(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)")
ALIVE = re.compile(r"@|<|>|://|www\.|!\[|#tag|:boom:|\$x\$|~~|\*\*\*")


@pytest.fixture
def chat() -> Iterator[Mattermost]:
    with Mattermost() as service:
        yield service


def notifier(chat: Mattermost | None = None, option: str = MATTERMOST_MESSAGE) -> MattermostNotifier:
    hook = chat.hook if chat else "https://chat.example/hooks/abcdefgh"
    return MattermostNotifier(parameters(send_to_mattermost_option=option), settings(mattermost_hook=hook))


def stored(message: Message) -> str:
    """Return the text as Mattermost's server would store it."""
    return _rendered({"text": message.text})[0]


def nodes(text: str) -> Iterator[dict[str, Any]]:
    """Walk through what a CommonMark renderer with tables and bare links makes of a text."""
    waiting: list[Any] = list(mistune.create_markdown(renderer=None, plugins=["table", "url", "strikethrough"])(text))
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("children", [])


def lively(text: str) -> list[str]:
    """Return what is alive in a text: links but to MISP, HTML, and suspicious characters outside of code."""
    found = [node["attrs"]["url"] for node in nodes(text) if node["type"] in {"link", "image"}]
    found = [url for url in found if not url.startswith(f"{MISP}/")]
    found += [node["raw"] for node in nodes(text) if node["type"] in {"inline_html", "block_html"}]
    found += [node["raw"] for node in nodes(text) if node["type"] == "text" and ALIVE.search(node["raw"])]
    plain = CODE_IN_MARKED.sub("", text).replace(f"]({MISP}/warninglists/view/7)", "]")
    return found + ALIVE.findall(plain)


def cells(text: str) -> set[int]:
    """Return how many cells the rows of the tables have, per table's head."""
    return {
        len(row["children"]) - len(head["children"])
        for node in nodes(text)
        if node["type"] == "table"
        for head, body in [node["children"]]
        for row in body["children"]
    }


def test_tlp_stands_first_then_the_title_the_figures_and_a_link_to_the_list() -> None:
    [message] = notifier().render(summary([match(1)]))
    assert message.name == "mattermost-1.md"
    assert message.text.startswith("**TLP:AMBER**\n\n## Create a custom MISP warninglist\n\n")
    assert f"[The list in MISP]({MISP}/warninglists/view/7)" in message.text
    assert RUN_ID in message.text


def test_indicators_are_defanged_and_the_rows_are_all_there() -> None:
    [message] = notifier().render(summary([match(1), match(2)]))
    assert "host-1[.]evil[.]example" in message.text
    assert "host-2[.]evil[.]example" in message.text
    assert "evil.example" not in message.text
    assert "198[.]51[.]100[.]7" in message.text


def test_hostile_texts_arrive_inert_and_break_no_table() -> None:
    messages = notifier().render(hostile_summary())
    for message in messages:
        assert lively(stored(message)) == []
        assert cells(stored(message)) == {0}
        assert "\u202e" not in message.text
        assert "\x00" not in message.text
    told = "".join(message.text for message in messages)
    assert "\u2039U+202E\u203aevil\u2039U+202C\u203a" in told
    assert "\U0001f4a3" in told
    assert "(100,000 characters)" in told


def test_two_cells_that_the_server_would_join_into_a_link_stay_two() -> None:
    [message] = notifier().render(summary([match(1, "<a", info="@all x>")]))
    assert lively(stored(message)) == []


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(
        st.one_of(
            st.text(st.characters(), max_size=40),
            st.text("`|\\<>@![](){}*_~:/. \nalhttp", max_size=40),
            st.sampled_from(HOSTILE),
        ),
        min_size=2,
        max_size=4,
    )
)
def test_whatever_the_texts_they_arrive_inert(texts: list[str]) -> None:
    for message in notifier().render(hostile_summary(texts)):
        assert lively(stored(message)) == []
        assert cells(stored(message)) <= {0}
        assert len(message.text) <= MAX_MESSAGE


def big(count: int) -> Summary:
    title = "A title that is long enough to make a table wide: «évènement»"
    found = [match(number, info=title, comment="seen & <noted>") for number in range(count)]
    return summary(found, [WarninglistEntry(one.entry) for one in found])


def test_ten_thousand_matches_are_there_or_counted_with_a_pointer_to_the_report(chat: Mattermost) -> None:
    service = notifier(chat)
    messages = service.render(big(10_000))
    delivery = send_all(service, messages)
    assert (delivery.status, delivery.parts, len(chat.posts)) == (DeliveryStatus.SENT, 5, 5)
    rows = [line for post in chat.posts for line in post["text"].split("\n") if line.startswith("| `host-")]
    found = [line for line in rows if line.count("|") == 8]
    left = re.search(r"Matches in MISP events ([\d,]+)", chat.posts[-1]["text"])
    assert left is not None
    assert len(found) + int(left[1].replace(",", "")) == 10_000
    assert len(found) > 300
    assert f"run {RUN_ID}: report.html, matches.csv." in chat.posts[-1]["text"]


def test_defect_23_a_long_text_is_split_between_rows_with_heads_repeated_and_parts_numbered(chat: Mattermost) -> None:
    service = notifier(chat)
    send_all(service, service.render(big(150)))
    texts = [post["text"] for post in chat.posts]
    assert len(texts) > 1
    assert all(len(text) <= 16_383 for text in texts)
    for number, text in enumerate(texts, 1):
        assert text.startswith(f"**TLP:AMBER** · part {number} of {len(texts)}")
        assert cells(text) == {0}
    holding = [text for text in texts if "### MISP event matches" in text]
    assert len(holding) > 1
    assert all("| Entry | Event info | Event |" in text for text in holding)
    assert sum(text.count("«évènement»") for text in holding) == 150


def test_defect_21_a_pipe_or_a_line_break_does_not_break_a_table() -> None:
    [message] = notifier().render(summary([match(1, "a|b", info="one\ntwo | three\r\n| four |")]))
    assert cells(message.text) == {0}
    assert r"`a\|b`" in message.text


def test_defect_21_what_failed_stands_before_what_was_found() -> None:
    [message] = notifier().render(summary(failures=["ER:1 Query MISP: no answer in time"]))
    assert message.text.index("no answer in time") < message.text.index("### Warninglist details")


def test_with_the_card_option_a_short_message_has_the_summary_beside_it(chat: Mattermost) -> None:
    service = notifier(chat, MATTERMOST_CARD)
    delivery = send_all(service, service.render(big(3)))
    [post] = chat.posts
    assert delivery.detail == "A message with a card."
    assert "### MISP event matches" not in post["text"]
    assert "### MISP event matches" in post["props"]["card"]
    assert post["props"]["card"].startswith("**TLP:AMBER**")


def test_the_card_is_capped_below_what_the_server_takes_and_says_what_is_left_out(chat: Mattermost) -> None:
    service = notifier(chat, MATTERMOST_CARD)
    send_all(service, service.render(big(10_000)))
    [request] = chat.requests
    assert len(chat.posts) == 1
    assert 200_000 < request.length < 300_000
    assert json_weight(chat.posts[0]["props"]["card"]) <= MAX_CARD
    assert "Left out here" in chat.posts[0]["props"]["card"]


def test_a_hostile_card_is_inert() -> None:
    [message] = notifier(option=MATTERMOST_CARD).render(hostile_summary())
    assert lively(message.card) == []
    assert lively(stored(message)) == []


def test_the_post_carries_the_name_to_post_under_and_its_content_type(chat: Mattermost) -> None:
    given_settings = settings(mattermost_hook=chat.hook, mattermost_playbook_user="playbook")
    service = MattermostNotifier(parameters(send_to_mattermost_option=MATTERMOST_MESSAGE), given_settings)
    send_all(service, service.render(summary()))
    assert chat.posts[0]["username"] == "playbook"
    assert chat.requests[0].headers["content-type"] == "application/json"
