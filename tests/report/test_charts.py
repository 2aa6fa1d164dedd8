"""Pictures of results: static, closed off, with a text that says the same."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from misp_playbook_lib.model.modules import Lookups
from misp_playbook_lib.model.results import (
    Attribute,
    AttributeMatch,
    Enrichment,
    EnrichmentKind,
    Event,
    LookupResult,
    LookupResults,
    LookupStatus,
)
from misp_playbook_lib.report import charts

EVENT = Event(7, "e", "An event", "2026-01-31", "CSIRT", published=True, tags=())
ATTRIBUTE = Attribute(
    id=1,
    uuid="a",
    type="domain",
    category="Network activity",
    value="evil.example",
    to_ids=True,
    comment="",
    timestamp=datetime(2026, 1, 31, tzinfo=UTC),
    first_seen="",
    last_seen="",
    tags=(),
    event=EVENT,
)
HOSTILE = "<script>alert(1)</script>\"'&\x00\ufffe http://evil.example/"


def match(date: str = "2026-01-31", type_: str = "domain", organisation: str = "CSIRT") -> AttributeMatch:
    event = replace(EVENT, date=date, organisation=organisation)
    return AttributeMatch("evil.example", "evil.example", replace(ATTRIBUTE, type=type_, event=event), None)


def lookups(**ratios: str) -> Lookups:
    results = tuple(
        LookupResult(
            entry,
            "virustotal_public",
            LookupStatus.ANSWERED,
            enrichments=(Enrichment(ratio, "text", "Other", "report", "ratio", EnrichmentKind.DETECTION),),
        )
        for entry, ratio in ratios.items()
    )
    return Lookups((LookupResults("virustotal_public", results),))


def test_matches_are_drawn_over_time_by_type_and_by_organisation() -> None:
    found = [match(), match(type_="md5"), match("2026-04-01", organisation="CERT")]
    times, types, organisations = charts.of_matches(found)
    assert times.twin.rows == (("2026-01", "2"), ("2026-02", "0"), ("2026-03", "0"), ("2026-04", "1"))
    assert types.twin.rows == (("domain", "2"), ("md5", "1"))
    assert organisations.twin.rows == (("CSIRT", "2"), ("CERT", "1"))
    assert "2026-01 2; 2026-02 0" in times.alt


def test_a_long_time_is_drawn_in_years() -> None:
    assert charts.of_matches([match("2019-12-31"), match("2026-01-01")])[0].twin.rows[:2] == (
        ("2019", "1"),
        ("2020", "0"),
    )


def test_many_bars_are_added_up() -> None:
    found = [match(organisation=f"Org {number}") for number in range(20)]
    rows = charts.of_matches(found)[2].twin.rows
    assert len(rows) == charts.MOST_BARS + 1
    assert rows[-1] == ("8 others", "8")


def test_detections_are_drawn_by_entry_the_worst_first() -> None:
    (chart,) = charts.of_lookups(lookups(a="1/70", b="35/70", c="-/-", d="0/0"))
    assert chart.twin.rows == (("b", "50"), ("a", "1"))


def test_of_nothing_nothing_is_drawn_and_no_plotting_library_is_loaded() -> None:
    code = """
import sys
from misp_playbook_lib.model.modules import Lookups
from misp_playbook_lib.report import charts
assert charts.of_matches(()) == charts.of_lookups(Lookups(())) == ()
assert "pygal" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("chart", charts.of_matches([match(type_=HOSTILE, organisation=HOSTILE)]))
def test_a_picture_is_one_svg_without_script_or_address_whatever_names_say(chart: charts.Chart) -> None:
    root = ET.fromstring(chart.svg)  # noqa: S314 - our own picture
    assert root.tag.endswith("svg")
    assert not [one for one in root.iter() if one.tag.rpartition("}")[2] in ("script", "foreignObject", "image", "a")]
    assert "evil.example" not in chart.svg
    assert not [name for one in root.iter() for name in one.attrib if name.startswith("on") or name.endswith("href")]
    shown = charts.as_html(chart)
    assert "<script" not in shown
    assert shown.count("<img ") == 1


def test_matches_whose_events_could_not_be_asked_for_are_drawn_without_time() -> None:
    unknown = match(date="", organisation="")
    assert [chart.twin.caption for chart in charts.of_matches([unknown])] == [
        "Matches by attribute type",
        "Matches by organisation",
    ]
    assert "unknown" in charts.of_matches([unknown])[1].alt
    assert "2026-01 1" in charts.of_matches([unknown, match()])[0].alt
