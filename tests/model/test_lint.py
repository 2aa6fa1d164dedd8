import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from misp_playbook_lib.model.findings import SEVERITIES, Rule, Severity, blocking
from misp_playbook_lib.model.indicators import Indicator, Indicators, classify, is_public
from misp_playbook_lib.model.lint import lint, lint_listed
from misp_playbook_lib.model.matching import WarninglistMatcher
from misp_playbook_lib.model.sample import ORDINARY, SAMPLE
from misp_playbook_lib.model.warninglist import WarninglistEntry, WarninglistType

STRING, SUBSTRING = WarninglistType.STRING, WarninglistType.SUBSTRING
HOSTNAME, CIDR, REGEX = WarninglistType.HOSTNAME, WarninglistType.CIDR, WarninglistType.REGEX
ORACLE = Path(__file__).parents[1] / "data" / "oracle"
TYPES = ("ip-dst", "ip-src", "domain", "hostname", "url", "md5")


def rules(list_type: WarninglistType, *values: str) -> list[Rule]:
    return [found.rule for found in lint([WarninglistEntry(value) for value in values], list_type, ["ALL"])]


MATCHES_ALL = "an empty entry in a substring list matches everything (recorded: wl_check_substring_empty)"
REFUSED = "403 with the entry's name (recorded: cidr and regex entries are validated)"
ERROR_500 = "500: MISP's tables hold 65,535 bytes of three-byte characters"
TAKEN = "takes it without a word"

TRIGGERS = [
    (Rule.EMPTY, SUBSTRING, "", "evil", MATCHES_ALL),
    (Rule.EMPTY, STRING, "  ", "evil", TAKEN),
    (Rule.NOT_STORABLE, STRING, "evil 😀", "évil", ERROR_500),
    (Rule.NOT_STORABLE, REGEX, "/😀/", "/é/", ERROR_500),
    (Rule.TOO_LONG, STRING, "x" * 65_536, "x" * 65_535, ERROR_500),
    (Rule.TOO_LONG, SUBSTRING, "é" * 32_768, "é" * 32_767, ERROR_500),
    (Rule.INVALID_NETWORK, CIDR, "1.2.3.4/33", "1.2.3.4/31", REFUSED),
    (Rule.INVALID_NETWORK, CIDR, "999.1.1.1", "8.8.8.8", REFUSED),
    (Rule.INVALID_NETWORK, CIDR, "evil.com", "2606:4700::1/128", REFUSED),
    (Rule.INVALID_NETWORK, CIDR, "2001:db8::/129", "2606:4700::/32", REFUSED),
    (Rule.INVALID_NETWORK, CIDR, "1.2.3.4/", "1.2.3.4/32", REFUSED),
    (Rule.INVALID_NETWORK, CIDR, " 8.8.8.8", "8.8.8.8", REFUSED),
    (Rule.INVALID_REGEX, REGEX, "evil", "/evil/", REFUSED),
    (Rule.INVALID_REGEX, REGEX, "/(evil/", "/(evil)/", REFUSED),
    (Rule.INVALID_REGEX, REGEX, "/evil/g", "/evil/i", REFUSED),
    (Rule.RUNAWAY_REGEX, REGEX, "/^(a+)+$/", "/^a+b$/", TAKEN),
    (Rule.RUNAWAY_REGEX, REGEX, "/(x+x+)+y/", "/x+y/", TAKEN),
    (Rule.WIDE_NETWORK, CIDR, "0.0.0.0/0", "8.8.0.0/16", "matches every IPv4 address"),
    (Rule.WIDE_NETWORK, CIDR, "0.0.0.0/1", "127.0.0.0/8", "matches half of all IPv4 addresses (oracle: cidr list)"),
    (Rule.WIDE_NETWORK, CIDR, "23.0.0.0/8", "23.0.0.0/9", TAKEN),
    (Rule.WIDE_NETWORK, CIDR, "::/0", "fc00::/7", TAKEN),
    (Rule.WIDE_NETWORK, CIDR, "2000::/3", "2a00:1450::/32", TAKEN),
    (Rule.PUBLIC_SUFFIX, HOSTNAME, "com", "evil.com", "every name below matches"),
    (Rule.PUBLIC_SUFFIX, HOSTNAME, "co.uk", "evil.co.uk", "every name below matches (oracle: hostname list)"),
    (Rule.PUBLIC_SUFFIX, HOSTNAME, ".COM.", "www.com", "lower-cases an entry and trims its dots"),
    (Rule.PUBLIC_SUFFIX, HOSTNAME, "github.io", "evil.github.io", "every name below matches"),
    (Rule.PUBLIC_SUFFIX, HOSTNAME, "xn--p1ai", "localhost", "every name below matches"),
    (Rule.PUBLIC_SUFFIX, HOSTNAME, "onion", "evil.onion", "every name below matches"),
    (Rule.BROAD_SUBSTRING, SUBSTRING, "e", "evil", TAKEN),
    (Rule.BROAD_SUBSTRING, SUBSTRING, "ev", "evi", TAKEN),
    (Rule.BROAD_SUBSTRING, SUBSTRING, "http", "/wp-login", TAKEN),
    (Rule.BROAD_SUBSTRING, SUBSTRING, ".com", ".onion", TAKEN),
    (Rule.BROAD_REGEX, REGEX, "/.*/", "/^evil.*$/", TAKEN),
    (Rule.BROAD_REGEX, REGEX, "/evil|/", "/evil|bad/", TAKEN),
    (Rule.BROAD_REGEX, REGEX, "/./", r"/^evil\.$/", TAKEN),
    (Rule.BROAD_REGEX, REGEX, "#^https?://#", "#^https?://evil#", "matches every URL (oracle: regex list)"),
    (
        Rule.BROAD_REGEX,
        REGEX,
        r"/\d{1,3}(\.\d{1,3}){3}/",
        r"/^203\.0\.113\.\d+$/",
        "matches every IPv4 address (oracle)",
    ),
    (Rule.BROAD_REGEX, REGEX, "/^[0-9a-f]{32}$/", "/^[0-9a-f]{31}$/", TAKEN),
    (Rule.BROAD_REGEX, REGEX, r"/\.com$/", r"/\.exe$/i", TAKEN),
    (Rule.HOST_BITS, CIDR, "8.8.8.8/24", "8.8.8.0/24", TAKEN),
    (Rule.HOST_BITS, CIDR, "8.8.8.0/024", "8.8.8.0/24", TAKEN),
    (Rule.HOST_BITS, CIDR, "8.8.8.9/31", "2606:4700::1/32", "compares IPv6 bit by bit: host bits do no harm there"),
    (Rule.NO_HOSTNAME, HOSTNAME, "evil.com:8080", "evil.com", TAKEN),
    (Rule.NO_HOSTNAME, HOSTNAME, "http://evil.com/x", "evil.com", TAKEN),
    (Rule.NO_HOSTNAME, HOSTNAME, "evil.com/x", "evil.com", TAKEN),
    (Rule.NO_HOSTNAME, HOSTNAME, "*.evil.com", ".evil.com", TAKEN),
    (Rule.NO_HOSTNAME, HOSTNAME, "bücher.example", "xn--bcher-kva.example", TAKEN),
    (Rule.NO_HOSTNAME, HOSTNAME, "8.8.8.0", "8.8.8.8", "drops a last label 0 before it looks"),
    (Rule.NO_HOSTNAME, HOSTNAME, "8.8.8.0/24", "8.8.8.8", TAKEN),
    (Rule.STORED_OTHERWISE, STRING, "EVIL.com", "evil.com", TAKEN),
    (Rule.STORED_OTHERWISE, STRING, "8.8.8.8/32", "8.8.8.8", TAKEN),
    (Rule.STORED_OTHERWISE, STRING, "2606:4700:0:0::1", "2606:4700::1", TAKEN),
    (
        Rule.STORED_OTHERWISE,
        STRING,
        "AS9010",
        "9010",
        "stores 9010 and did not warn on it (oracle: attribute_warnings)",
    ),
    (Rule.STORED_OTHERWISE, STRING, "evil[.]com", "Agent [x]", TAKEN),
    (Rule.STORED_OTHERWISE, STRING, " Some Agent", "Some Agent", "trims attributes, not entries (oracle: string list)"),
    (Rule.STORED_OTHERWISE, SUBSTRING, "hxxp://evil", "http://evil", TAKEN),
    (Rule.STORED_OTHERWISE, HOSTNAME, "2606:4700:0::1", "2606:4700::1", TAKEN),
    (Rule.COMPOSITE, STRING, "8.8.8.8|53", "8.8.8.8", "splits a composite at its | (facts: matching)"),
    (Rule.COMPOSITE, STRING, "a.exe|" + "a" * 32, "a" * 32, "splits a composite at its |"),
    (Rule.NOT_PUBLIC, STRING, "10.0.0.1", "8.8.8.8", TAKEN),
    (Rule.NOT_PUBLIC, STRING, "http://192.168.1.1/x", "http://evil.com/x", TAKEN),
    (Rule.NOT_PUBLIC, STRING, "http://[fe80::1]/x", "http://[2606:4700::1]/x", TAKEN),
    (Rule.NOT_PUBLIC, CIDR, "10.0.0.0/8", "11.0.0.0/9", TAKEN),
    (Rule.NOT_PUBLIC, CIDR, "fe80::1", "2606:4700::1", TAKEN),
    (Rule.NOT_PUBLIC, CIDR, "198.51.100.0/24", "198.50.100.0/24", TAKEN),
    (Rule.NOT_PUBLIC, HOSTNAME, "127.0.0.1", "8.8.8.8", TAKEN),
]
"""Rule, list type, an entry that triggers it, one that does not, and what MISP does with the first."""


@pytest.mark.parametrize(("rule", "list_type", "entry", "fine", "misp"), TRIGGERS)
def test_a_rule_finds_its_example_and_leaves_the_other_alone(
    rule: Rule, list_type: WarninglistType, entry: WarninglistEntry, fine: str, misp: str
) -> None:
    assert misp
    assert rule in rules(list_type, entry)
    assert rule not in rules(list_type, fine)


def test_every_rule_has_an_example_and_a_severity() -> None:
    elsewhere = {Rule.UNKNOWN_TYPE, Rule.NEAR_DUPLICATE, Rule.LISTED_ELSEWHERE}
    assert {rule for rule, *_ in TRIGGERS} | elsewhere == set(Rule) == set(SEVERITIES)


NEVER = [
    (CIDR, "8.8.8.8/24", "8.8.8.8", "8.8.8.0/24"),
    (CIDR, "8.8.8.0/024", "8.8.8.8", "8.8.8.0/24"),
    (HOSTNAME, "evil.com:8080", "www.evil.com", "evil.com"),
    (HOSTNAME, "http://evil.com/x", "http://evil.com/x", "evil.com"),
    (HOSTNAME, "evil.com/x", "evil.com/x", "evil.com"),
    (HOSTNAME, "hxxp://user@evil[.]com:80/x", "http://user@evil.com/x".replace("user@", ""), "evil.com"),
    (HOSTNAME, "*.evil.com", "www.evil.com", "evil.com"),
    (HOSTNAME, "bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    (HOSTNAME, "2606:4700:0::1", "2606:4700::1", "2606:4700::1"),
    (STRING, "EVIL.com", "evil.com", "evil.com"),
    (STRING, "evil.com.", "evil.com", "evil.com"),
    (STRING, "8.8.8.8/32", "8.8.8.8", "8.8.8.8"),
    (STRING, "AS9010", "9010", "9010"),
    (STRING, "+1 202-555-0170".replace(" ", "-"), "+12025550170", "+12025550170"),
    (STRING, "00-53-00-AB-CD-EF", "00:53:00:ab:cd:ef", "00:53:00:ab:cd:ef"),
    (STRING, "User@Evil.com", "user@evil.com", "user@evil.com"),
    (STRING, "bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    (STRING, "8.8.8.8|53", "8.8.8.8", "8.8.8.8"),
    (STRING, "a.exe|" + "a" * 32, "a" * 32, "a" * 32),
    (SUBSTRING, "evil[.]com", "http://evil.com/", "evil.com"),
]


@pytest.mark.parametrize(("list_type", "entry", "attribute", "form"), NEVER)
def test_what_never_matches_in_misp_is_found_with_the_form_that_does(
    list_type: WarninglistType, entry: WarninglistEntry, attribute: str, form: str
) -> None:
    assert WarninglistMatcher(list_type, [entry]).match(attribute) is None
    assert WarninglistMatcher(list_type, [form]).match(attribute) == form
    (found,) = (found for found in lint([WarninglistEntry(entry)], list_type, ["ALL"]) if found.rule != Rule.NOT_PUBLIC)
    assert found.severity is Severity.WARNING
    assert f"write {form}" in found.remedy
    assert f"write {form}" not in [found.remedy for found in lint([WarninglistEntry(form)], list_type, ["ALL"])]


@pytest.mark.parametrize("list_type", WarninglistType)
def test_an_entry_that_a_real_misp_matched_is_not_said_to_be_refused(list_type: WarninglistType) -> None:
    (recorded,) = (
        found
        for found in json.loads((ORACLE / "warninglist_match.json").read_text("utf-8"))["lists"]
        if found["type"] == list_type
    )
    matched = {check["matched"] for check in recorded["checks"]} - {None}
    findings = lint([WarninglistEntry(entry) for entry in recorded["entries"]], list_type, ["ALL"])
    for found in findings:
        if found.entry in matched:
            assert found.severity is not Severity.ERROR
            assert found.rule not in {Rule.HOST_BITS, Rule.NO_HOSTNAME}


def test_what_the_matcher_says_can_never_match_is_found() -> None:
    for list_type, entries in [
        (CIDR, ["8.8.8.8/24", "8.8.8.8/33", "evil.com", "8.8.8.0/08", "8.8.8.8:53"]),
        (HOSTNAME, ["evil.com/x", "http://evil.com", "8.8.8.0", "8.8.0.0/16"]),
        (REGEX, ["evil", "/(/", "/x/g", "/[/"]),
    ]:
        assert set(WarninglistMatcher(list_type, entries).inert) == set(entries)
        assert {
            found.entry for found in lint([WarninglistEntry(entry) for entry in entries], list_type, ["ALL"])
        } == set(entries)


def test_a_type_that_misp_does_not_know_is_an_error_with_the_nearest_one() -> None:
    unknown = lint([], STRING, ["ALL", "ip-dst", "hostnam", "", "nothing like it"], TYPES)
    assert [(found.severity, found.rule, found.entry) for found in unknown] == [
        (Severity.ERROR, Rule.UNKNOWN_TYPE, name) for name in ("hostnam", "", "nothing like it")
    ]
    assert unknown[0].remedy == "did you mean hostname?"


def test_types_are_not_checked_without_the_servers_types() -> None:
    assert lint([], STRING, ["hostnam"]) == ()


@pytest.mark.parametrize(
    ("list_type", "first", "second"),
    [
        (STRING, "Agent/1.0", "agent/1.0"),
        (STRING, "8.8.8.8", "8.8.8.8/32"),
        (STRING, "http://evil.com", "http://evil.com/"),
        (STRING, "evil.com", "evil[.]com"),
        (HOSTNAME, "evil.com", "Evil.com."),
        (HOSTNAME, "evil.com", "https://evil.com/"),
        (CIDR, "8.8.8.0/24", "8.8.8.8/24"),
        (SUBSTRING, "evil", "Evil"),
        (STRING, "evil.com", "evil.com"),
        (REGEX, "/evil/", "/evil/"),
    ],
)
def test_a_near_duplicate_names_the_entry_that_it_doubles(list_type: WarninglistType, first: str, second: str) -> None:
    doubles = [
        found
        for found in lint(
            [WarninglistEntry(first), WarninglistEntry("other.example"), WarninglistEntry(second)], list_type, ["ALL"]
        )
        if found.rule is Rule.NEAR_DUPLICATE
    ]
    assert [found.entry for found in doubles] == [second]
    assert "twice" in doubles[0].reason or first in doubles[0].reason


def test_different_entries_are_no_near_duplicates() -> None:
    assert Rule.NEAR_DUPLICATE not in rules(STRING, "evil.com", "www.evil.com", "evil.net", "http://evil.com", "evil")
    assert Rule.NEAR_DUPLICATE not in rules(REGEX, "/evil/", "/Evil/")


ANSWER = {
    "8.8.8.8": [
        {"id": "12", "name": "List of known IPv4 public DNS resolvers", "matched": "8.8.8.8"},
        {"id": "12", "name": "List of known IPv4 public DNS resolvers", "matched": "8.8.8.8"},
        {"id": "40", "name": "Google", "matched": "8.8.8.0/24"},
    ],
    "evil.com": [{"id": "7", "name": "The list itself", "matched": "evil.com"}],
}


def test_an_entry_on_another_enabled_list_is_seen() -> None:
    findings = lint_listed(ANSWER, [WarninglistEntry(value) for value in (" 8.8.8.8", "evil.com", "fine.example")], 7)
    assert [(found.severity, found.entry) for found in findings] == [(Severity.WARNING, " 8.8.8.8")] * 2
    assert findings[0].reason == "also on “List of known IPv4 public DNS resolvers” (list 12), by its entry 8.8.8.8"
    assert findings[1].reason == "also on “Google” (list 40), by its entry 8.8.8.0/24"


def test_the_list_itself_is_another_list_until_it_has_an_id() -> None:
    assert len(lint_listed(ANSWER, [WarninglistEntry("evil.com")], None)) == 1


def test_errors_always_block_and_dangerous_entries_unless_accepted() -> None:
    findings = lint([WarninglistEntry(value) for value in ("1.2.3.4/33", "0.0.0.0/0", "10.0.0.1")], CIDR, ["ALL"])
    assert [found.severity for found in findings] == [Severity.ERROR, Severity.DANGEROUS, Severity.WARNING]
    assert blocking(findings, accept_dangerous=False) == findings[:2]
    assert blocking(findings, accept_dangerous=True) == findings[:1]


@pytest.mark.parametrize(
    ("list_type", "entry", "remedy"),
    [
        (CIDR, "8.8.8.8:53", "write 8.8.8.8"),
        (CIDR, "8[.]8[.]8[.]8", "write 8.8.8.8"),
        (CIDR, "evil.com", "a host name: use a hostname list"),
        (HOSTNAME, "8.8.8.0/24", "use a cidr list"),
        (HOSTNAME, "not a host", "use a string list"),
        (REGEX, "^evil$", "PCRE wants delimiters: /^evil$/"),
        (REGEX, "evil/x", "PCRE wants delimiters: /evil\\/x/"),
        (REGEX, "/evil/gi", "PCRE knows no flag g: /evil/i"),
    ],
)
def test_a_remedy_names_the_form_to_write_or_the_type_of_list_to_take(
    list_type: WarninglistType, entry: WarninglistEntry, remedy: str
) -> None:
    (found,) = lint([WarninglistEntry(entry)], list_type, ["ALL"])
    assert found.remedy == remedy


@given(st.ip_addresses().map(str))
@example("100.127.1.1")
@example("192.88.99.1")
@example("2001:db8::")
@example("2002::1")
@example("64:ff9b:1::1")
@example("::")
def test_an_address_is_not_public_wherever_it_stands_on_a_list(ip: str) -> None:
    public = is_public(classify(ip) or Indicator("", ""))
    assert [(Rule.NOT_PUBLIC in rules(kind, ip)) for kind in (STRING, CIDR, HOSTNAME)] == [not public] * 3


def test_what_was_classified_before_is_not_classified_again() -> None:
    known = Indicators({"evil.com": Indicator("domain", "other.example")})
    (found,) = lint([WarninglistEntry("evil.com")], STRING, ["ALL"], indicators=known)
    assert found.remedy == "write other.example"
    assert Indicators()["evil.com"] == classify("evil.com")


def test_a_comment_is_stored_too() -> None:
    findings = lint(
        [WarninglistEntry("evil.com", "😀"), WarninglistEntry("bad.example", "x" * 70_000)], STRING, ["ALL"]
    )
    assert [found.rule for found in findings] == [Rule.NOT_STORABLE, Rule.TOO_LONG]
    assert all("the comment" in found.reason for found in findings)


@pytest.mark.parametrize("list_type", [STRING, HOSTNAME])
def test_ordinary_indicators_of_the_sample_are_in_the_form_that_misp_stores(list_type: WarninglistType) -> None:
    kinds = SAMPLE.keys() if list_type is STRING else ("domain", "hostname")
    assert rules(list_type, *(value for kind in kinds for value in SAMPLE[kind])) == []


def test_no_ordinary_indicator_is_twice_in_the_sample() -> None:
    assert len(set(ORDINARY)) == len(ORDINARY)


@given(
    st.lists(st.text(max_size=12) | st.text("a.:/@1[]*( ", max_size=10), max_size=4), st.sampled_from(WarninglistType)
)
def test_whatever_an_entry_is_the_check_answers(values: list[str], list_type: WarninglistType) -> None:
    for found in lint([WarninglistEntry(value) for value in values], list_type, ["ALL"]):
        assert found.reason
        assert found.remedy
