import json
from pathlib import Path

import pytest

from misp_playbook_lib.model.matching import WarninglistMatcher, silenced_by
from misp_playbook_lib.model.warninglist import WarninglistType

ORACLE = Path(__file__).parents[1] / "data" / "oracle"
VERDICTS = json.loads((ORACLE / "warninglist_match.json").read_text())["lists"]
WARNINGS = json.loads((ORACLE / "attribute_warnings.json").read_text())


def entries_that_match_alone(kind, entries, value):
    return [entry for entry in entries if WarninglistMatcher(kind, [entry]).match(value) is not None]


def as_misp_names_it(kind, entry):
    if kind is WarninglistType.HOSTNAME:
        return entry.strip(".").lower()
    if kind is WarninglistType.CIDR and "/" not in entry:
        return f"{entry}/{128 if ':' in entry else 32}"
    return entry


@pytest.mark.parametrize("verdicts", VERDICTS, ids=[verdicts["type"] for verdicts in VERDICTS])
def test_a_value_is_a_hit_exactly_when_a_real_misp_says_so(verdicts):
    kind = WarninglistType(verdicts["type"])
    matcher = WarninglistMatcher(kind, verdicts["entries"])
    for check in verdicts["checks"]:
        value = check["value"].strip()  # checkValue trims what it is asked
        entry = matcher.match(value)
        assert (entry is None) == (check["matched"] is None), value
        if len(entries_that_match_alone(kind, verdicts["entries"], value)) == 1:
            assert as_misp_names_it(kind, entry) == check["matched"], value


@pytest.mark.parametrize("index", range(len(WARNINGS["lists"])))
def test_an_attribute_is_warned_on_exactly_when_a_real_misp_does(index):
    recorded = WARNINGS["lists"][index]
    matcher = WarninglistMatcher(WarninglistType(recorded["type"]), recorded["entries"])
    for attribute in WARNINGS["attributes"]:
        hit = matcher.match_attribute(attribute["type"], attribute["value"])
        silence = silenced_by(
            enabled=True,
            matching_attributes=recorded["matching_attributes"] or ["ALL"],
            attribute_type=attribute["type"],
            to_ids=attribute["to_ids"],
            warning_for_all=False,
        )
        ours = None if hit is None or silence else (hit.part, hit.entry)
        theirs = [(warning["value"], warning["match"]) for warning in attribute["warnings"] if warning["list"] == index]
        assert ours == (theirs[0] if theirs else None), attribute
