"""The sandbox's matcher gives a real MISP's verdicts."""

import json
from pathlib import Path
from typing import Any

import pytest

from misp_playbook_lib.sandbox.misp.matcher import EnabledList, Entries, Warnings, matches

ORACLE = Path(__file__).parents[1] / "data" / "oracle"
MATCHES: list[dict[str, Any]] = json.loads((ORACLE / "warninglist_match.json").read_text("utf-8"))["lists"]
WARNED: dict[str, Any] = json.loads((ORACLE / "attribute_warnings.json").read_text("utf-8"))


@pytest.mark.parametrize("asked", MATCHES, ids=lambda asked: asked["type"])
def test_each_value_matches_as_on_a_real_misp(asked: dict[str, Any]) -> None:
    entries = Entries(asked["type"], asked["entries"])
    wrong = []
    for check in asked["checks"]:
        value = check["value"].strip(" \t\n\r\0\x0b")  # checkValue trims
        each = [matches(asked["type"], entry, value) for entry in dict.fromkeys(asked["entries"])]
        named = [matched for matched in each if matched is not None]
        found = entries.first(value)
        hit = check["matched"] is not None
        # where several entries match, the one that MISP names follows its cache's order, which is none
        if bool(named) != hit or (found is not None) != hit or (len(named) == 1 and found != check["matched"]):
            wrong.append((value, check["matched"], found, named))
    assert wrong == []
    assert asked["checks"]


def test_each_attribute_is_warned_about_as_on_a_real_misp() -> None:
    lists = [
        EnabledList(
            number, "", "known", frozenset(one["matching_attributes"] or ["ALL"]), Entries(one["type"], one["entries"])
        )
        for number, one in enumerate(WARNED["lists"])
    ]
    wrong = []
    for attribute in WARNED["attributes"]:
        found = Warnings(lists).of(attribute["type"], attribute["value"], to_ids=attribute["to_ids"])
        shown = [{"list": int(one["warninglist_id"]), "value": one["value"], "match": one["match"]} for one in found]
        if shown != attribute["warnings"]:
            wrong.append((attribute, shown))
    assert wrong == []
    assert len(WARNED["attributes"]) == 40
