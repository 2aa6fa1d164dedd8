"""TLP: which level MISP's tags and distributions ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from misp_playbook_lib.model.tlp import TLP_LEVELS, above, asked_for, strictest

OWN_ORGANISATION, COMMUNITY, CONNECTED, ALL, SHARING_GROUP, INHERIT = range(6)


@pytest.mark.parametrize(
    ("tags", "distribution", "level"),
    [
        ([], ALL, ""),
        ([], COMMUNITY, ""),
        ([], CONNECTED, ""),
        ([], INHERIT, ""),
        (["type:OSINT", "my-tlp:red", "tlp"], ALL, ""),
        (["tlp:green"], ALL, "green"),
        (["tlp:white"], ALL, "clear"),
        (["tlp:clear", "tlp:amber"], ALL, "amber"),
        (["tlp:amber+strict", "tlp:green"], ALL, "amber+strict"),
        (["TLP:Red"], ALL, "red"),
        ([" tlp: amber "], ALL, "amber"),
        (["tlp:ex:chr"], ALL, "red"),
        (["tlp:", "tlp:green"], ALL, "red"),
        ([], OWN_ORGANISATION, "amber+strict"),
        ([], SHARING_GROUP, "amber+strict"),
        (["tlp:green"], OWN_ORGANISATION, "amber+strict"),
        (["tlp:red"], SHARING_GROUP, "red"),
    ],
)
def test_tags_and_distribution_ask_for_the_strictest_level(tags: list[str], distribution: int, level: str) -> None:
    assert asked_for(tags, distribution) == level


@given(st.text())
def test_a_tag_that_is_no_known_level_is_red(name: str) -> None:
    known = name.strip().lower() in {*TLP_LEVELS, "white"}
    assert known or asked_for([f"tlp:{name}"], ALL) == "red"


@given(st.lists(st.sampled_from(["", *TLP_LEVELS])))
def test_no_level_is_above_the_strictest(levels: list[str]) -> None:
    most = strictest(levels)
    assert most in levels or not any(levels)
    assert not any(above(level, most) for level in levels if level)
