"""Tracing an attribute to its entry: as MISP matches, and beyond where only the spelling differs."""

import pytest

from misp_playbook_lib.model.matching import Silence, silenced_by
from misp_playbook_lib.model.tracing import Trace, Tracer
from misp_playbook_lib.model.warninglist import WarninglistType


@pytest.mark.parametrize(
    ("kind", "entries", "attribute_type", "value", "traced"),
    [
        ("string", ["a.example"], "domain", "a.example", Trace("a.example", "a.example")),
        ("string", ["A.example", "a.example"], "domain", "a.example", Trace("a.example", "a.example")),
        ("string", ["A.example"], "domain", "a.example", Trace("A.example", "a.example", Silence.LETTERS_CASE)),
        (
            "string",
            ["A.example", "a.EXAMPLE"],
            "domain",
            "a.example",
            Trace("A.example", "a.example", Silence.LETTERS_CASE),
        ),
        (
            "string",
            ["2001:db8:0::1"],
            "ip-dst",
            "2001:db8::1",
            Trace("2001:db8:0::1", "2001:db8::1", Silence.ADDRESS_FORM),
        ),
        ("string", ["x", "y"], "domain|ip", "z|Y", Trace("y", "Y", Silence.LETTERS_CASE)),
        ("string", ["x", "y"], "domain|ip", "X|y", Trace("y", "y")),
        ("string", ["a b"], "text", "a  b", None),
        (
            "hostname",
            ["a.example"],
            "url",
            "http://A.example/x",
            Trace("a.example", "http://a.example/x", Silence.LETTERS_CASE),
        ),
        ("hostname", ["a.example"], "url", "http://B.example/x", None),
        ("substring", ["evil"], "text", "EVIL", None),
        ("regex", ["/evil/"], "text", "EVIL", None),
        ("cidr", ["2001:DB8::/32"], "ip-dst", "2001:db8::1", Trace("2001:DB8::/32", "2001:db8::1")),
    ],
)
def test_what_misp_finds_comes_first_and_what_is_only_spelled_otherwise_after(
    kind: str, entries: list[str], attribute_type: str, value: str, traced: Trace | None
) -> None:
    assert Tracer(WarninglistType(kind), entries).trace(attribute_type, value) == traced


def test_without_to_ids_the_servers_setting_decides_and_may_be_unknown() -> None:
    known = {"enabled": True, "matching_attributes": ("ALL",), "attribute_type": "domain", "to_ids": False}
    assert silenced_by(**known, warning_for_all=True) is None  # type: ignore[arg-type]
    assert silenced_by(**known, warning_for_all=False) is Silence.TO_IDS_OFF  # type: ignore[arg-type]
    assert silenced_by(**known, warning_for_all=None) is Silence.TO_IDS_OFF_PERHAPS  # type: ignore[arg-type]
