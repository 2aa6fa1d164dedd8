"""What a run leaves for machines."""

import csv
import io
import json
from importlib import resources

import jsonschema
from test_charts import lookups, match

from misp_playbook_lib.model.results import LookupResult, LookupResults, LookupStatus
from misp_playbook_lib.model.warninglist import Warninglist, WarninglistCategory, WarninglistEntry, WarninglistType
from misp_playbook_lib.report import exports


def test_a_list_is_as_the_misp_warninglists_repository_wants_it() -> None:
    values = ("b.example", "a.example", "a.example", "0123")
    one = Warninglist(
        id=7,
        name="Mine",
        description="Of mine",
        type=WarninglistType.HOSTNAME,
        category=WarninglistCategory.KNOWN,
        matching_attributes=("url", "domain"),
        entries=tuple(WarninglistEntry(value, "comment") for value in values),
        version=3,
        enabled=True,
    )
    data = json.loads(exports.warninglist(one))
    schema = resources.files("pymispwarninglists") / "data" / "misp-warninglists" / "schema.json"
    jsonschema.validate(data, json.loads(schema.read_text()))
    assert data == {
        "description": "Of mine",
        "list": ["0123", "a.example", "b.example"],
        "matching_attributes": ["domain", "url"],
        "name": "Mine",
        "type": "hostname",
        "version": 3,
    }


def test_matches_are_one_row_each_not_defanged() -> None:
    rows = list(csv.DictReader(io.StringIO(exports.matches([match(), match("2026-04-01")]), newline="")))
    assert [row["event_date"] for row in rows] == ["2026-01-31", "2026-04-01"]
    assert rows[0]["entry"] == rows[0]["value"] == "evil.example"
    assert rows[0]["misp_warns"] == "yes"


def test_enrichments_are_one_row_an_answer_and_one_a_question_without() -> None:
    answered = lookups(a="1/70").results[0]
    silent = LookupResults("shodan", (LookupResult("b", "shodan", LookupStatus.RATE_LIMITED, detail="=later"),))
    rows = list(csv.DictReader(io.StringIO(exports.enrichments([answered, silent]), newline="")))
    assert [(row["module"], row["entry"], row["status"], row["value"]) for row in rows] == [
        ("virustotal_public", "a", "answered", "1/70"),
        ("shodan", "b", "rate limited", ""),
    ]
    assert rows[1]["detail"] == "'=later"
