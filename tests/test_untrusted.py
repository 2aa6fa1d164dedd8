"""What texts from outside go through: no shape of a secret gets past, and nothing invisible."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from secret_shapes import SHAPES

from misp_playbook_lib import untrusted
from misp_playbook_lib.errors import InvalidEntries, ParameterError, RequestRejected
from misp_playbook_lib.untrusted import REDACTED, holds_secret, know_secrets, redact, redact_counted, visible

SECRET = 's3cr3t/with+odd=signs.within&<more>"quo\'tes"@\\back'
SLACK = "https://hooks.slack.com/services/T0123ABCD/B0123ABCD/XXXXyyyyZZZZ0000aaaa1111"
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)


@pytest.fixture(autouse=True)
def _known() -> None:
    know_secrets([SECRET, SLACK])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("secret", [SECRET, SLACK, SLACK.rpartition("/")[2]])
def test_no_shape_of_a_secret_stays(secret: str, shape: str) -> None:
    written = SHAPES[shape](secret)
    text, found = redact_counted(f"before {written} after")
    assert found == 1
    assert holds_secret(written)
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert REDACTED in text
    assert not holds_secret(text)


@given(PRINTABLE, st.sampled_from(list(SHAPES)), st.text(max_size=8), st.text(max_size=8))
@example("\\\\\\\\\\\\\\\\", "in JSON", "", '"')
@example("http://x/", "in base64", "", "")
@example("--------", "escaped for Markdown", "\\", "-")
def test_no_shape_of_any_secret_stays(secret: str, shape: str, before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrusted, "KNOWN", untrusted.Known())
        know_secrets([secret])
        text, found = redact_counted(f"{before} {SHAPES[shape](secret)} {after}")
        assert found
        assert not holds_secret(text.replace(REDACTED, ""))


@given(st.binary(max_size=8), st.text(min_size=8, max_size=30), st.binary(max_size=8))
def test_no_base64_of_a_text_around_a_secret_keeps_it(before: bytes, secret: str, after: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrusted, "KNOWN", untrusted.Known())
        know_secrets([secret])
        encoded = base64.b64encode(before + secret.encode() + after).decode()
        assert redact(encoded) != encoded


def test_a_webhooks_team_and_service_are_no_secrets_its_token_is() -> None:
    assert redact("T0123ABCD/B0123ABCD/XXXXyyyyZZZZ0000aaaa1111") == f"T0123ABCD/B0123ABCD/{REDACTED}"
    assert redact(f"POST {SLACK}") == f"POST {REDACTED}"


def test_a_text_of_less_than_eight_characters_is_no_secret() -> None:
    know_secrets(["shorter", "https://chat.example/hooks/abc"])
    assert redact("shorter, abc") == "shorter, abc"
    assert redact("hxxps://chat[.]example/hooks/abc") == REDACTED


def test_json_with_a_secret_is_json_still() -> None:
    know_secrets(["ends-in-a-backslash\\", '"begins-with-a-quote'])
    for written in (r'{"a": "ends-in-a-backslash\\\"x"}', r'{"a": "\\\\\"begins-with-a-quote"}'):
        text, found = redact_counted(written)
        assert found == 1
        assert text.count('"') - text.count('\\"') == 4


@pytest.mark.parametrize("text", ["\\" * 1_000_000, "&amp;" * 200_000, "%25" * 300_000, "s3cr3t[" * 100_000])
def test_a_long_text_of_what_an_escape_begins_with_comes_to_its_end(text: str) -> None:
    know_secrets(["-starts-with-a-sign", "&--------", "%--------"])
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2J", "<U+001B>]0;title<U+0007><U+001B>[2J"),
        ("\x9b2J", "<U+009B>2J"),
        ("a\r\nsuccess: all is well", "a  success: all is well"),
        ("\u202eevil\u202c\u200b", "<U+202E>evil<U+202C><U+200B>"),
        ("Käse 漢字", "Käse 漢字"),
    ],
)
def test_what_would_move_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("shape", SHAPES)
def test_no_error_says_a_secret_or_moves_a_terminal(shape: str) -> None:
    hostile = f"\x1b[2J {SHAPES[shape](SECRET)}"
    rejected = RequestRejected(hostile, service="MISP", operation="x", errors={"name": [hostile]})
    errors = (InvalidEntries(hostile), ParameterError([hostile, hostile]), rejected)
    told = [*map(str, errors), *errors[1].problems, *rejected.errors["name"], *errors[0]._render_traceback_()]
    for text in told:
        assert REDACTED in text
        assert "\x1b" not in text
        assert not holds_secret(text)


def test_a_secret_that_looks_like_an_address_and_is_none_is_taken_out_whole() -> None:
    know_secrets(["https://[::1"])
    assert redact("at https://[::1") == f"at {REDACTED}"
