import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from misp_playbook_lib.model.matching import AttributeHit, Silence, WarninglistMatcher, parts, silenced_by
from misp_playbook_lib.model.warninglist import WarninglistType
from misp_playbook_lib.sandbox.misp.matcher import matches

STRING, SUBSTRING, HOSTNAME, CIDR, REGEX = WarninglistType
ORACLE = Path(__file__).parents[1] / "data" / "oracle"
VERDICTS = json.loads((ORACLE / "warninglist_match.json").read_text())["lists"]
WARNINGS = json.loads((ORACLE / "attribute_warnings.json").read_text())


def match(kind: WarninglistType, entries: list[str], value: str) -> str | None:
    return WarninglistMatcher(kind, entries).match(value)


def as_misp_names_it(kind: WarninglistType, entry: str | None) -> str | None:
    if entry and kind is HOSTNAME:
        return entry.strip(".").lower()
    if entry and kind is CIDR and "/" not in entry:
        return f"{entry}/{128 if ':' in entry else 32}"
    return entry


@pytest.mark.parametrize("verdicts", VERDICTS, ids=[verdicts["type"] for verdicts in VERDICTS])
def test_a_value_is_a_hit_exactly_when_a_real_misp_says_so(verdicts: dict[str, Any]) -> None:
    kind = WarninglistType(verdicts["type"])
    matcher = WarninglistMatcher(kind, verdicts["entries"])
    for check in verdicts["checks"]:
        value = check["value"].strip()  # checkValue trims what it is asked
        entry = matcher.match(value)
        assert (entry is None) == (check["matched"] is None), value
        if sum(match(kind, [alone], value) is not None for alone in verdicts["entries"]) == 1:
            assert as_misp_names_it(kind, entry) == check["matched"], value


@pytest.mark.parametrize("index", range(len(WARNINGS["lists"])))
def test_an_attribute_is_warned_on_exactly_when_a_real_misp_does(index: int) -> None:
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


# Attributes


def test_a_composite_is_split_once_and_its_first_half_wins() -> None:
    matcher = WarninglistMatcher(SUBSTRING, ["evil"])
    assert matcher.match_attribute("filename|md5", "evil.exe|evil") == AttributeHit("evil", "evil.exe")
    assert matcher.match_attribute("regkey|value", "HKLM|a|evil") == AttributeHit("evil", "a|evil")
    assert matcher.match_attribute("filename|md5", "a.exe|b") is None


def test_a_malware_sample_is_a_composite_and_a_text_with_a_bar_is_not() -> None:
    assert parts("malware-sample", "a|b|c") == ("a", "b|c")
    assert parts("domain|ip", "no bar") == ("no bar",)
    assert parts("text", "a|b") == ("a|b",)
    assert match(STRING, ["a|b"], "a|b") == "a|b"
    assert WarninglistMatcher(STRING, ["a|b"]).match_attribute("domain|ip", "a|b") is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"matching_attributes": ("ALL",)}, None),
        ({"to_ids": False, "warning_for_all": True}, None),
        ({"enabled": False}, Silence.LIST_DISABLED),
        ({"matching_attributes": ("url",)}, Silence.TYPE_NOT_MATCHED),
        ({"matching_attributes": ()}, Silence.TYPE_NOT_MATCHED),
        ({"to_ids": False}, Silence.TO_IDS_OFF),
    ],
)
def test_misp_warns_only_by_an_enabled_list_of_the_type_on_a_to_ids_attribute(
    changed: dict[str, Any], reason: Silence | None
) -> None:
    facts = {
        "enabled": True,
        "matching_attributes": ("domain",),
        "attribute_type": "domain",
        "to_ids": True,
        "warning_for_all": False,
    }
    assert silenced_by(**{**facts, **changed}) == reason


# Substring and hostname


def test_an_empty_substring_is_in_every_value_and_named_only_when_nothing_else_is() -> None:
    assert match(SUBSTRING, ["", "evil"], "harmless") == ""
    assert match(SUBSTRING, ["", "evil"], "devil") == "evil"
    assert match(SUBSTRING, [""], "") == ""
    assert match(SUBSTRING, [], "anything") is None


def test_a_hostname_list_names_the_shortest_suffix_as_it_was_given() -> None:
    entries = ["www.evil.example", ".EVIL.example.", "evil.example"]
    assert match(HOSTNAME, entries, "https://a.www.evil.example/path") == ".EVIL.example."


def test_a_hostname_entry_loses_the_case_of_its_ascii_letters_alone() -> None:
    assert match(HOSTNAME, ["BÜCHER.Example"], "bÜcher.example") == "BÜCHER.Example"
    assert match(HOSTNAME, ["BÜCHER.Example"], "bücher.example") is None


def test_labels_of_zero_at_the_end_of_a_host_start_the_suffix_again() -> None:
    assert match(HOSTNAME, ["192.0.2.0"], "192.0.2.0") is None
    assert match(HOSTNAME, ["2"], "192.0.2.0") == "2"
    assert match(HOSTNAME, ["0"], "192.0.2.0") == "0"
    assert match(HOSTNAME, ["."], "a..0") == "."


def test_an_empty_hostname_matches_what_has_no_host() -> None:
    assert match(HOSTNAME, ["."], "http:///path") == "."
    assert match(HOSTNAME, ["."], "evil.example") is None


def test_hostnames_that_no_host_can_be_are_inert() -> None:
    entries = ["http://evil.example", "192.0.2.0", "evil.example", "evil.example/path"]
    inert = WarninglistMatcher(HOSTNAME, entries).inert
    assert inert == ("http://evil.example", "192.0.2.0", "evil.example/path")
    assert all(match(HOSTNAME, [entry], entry) is None for entry in inert)


# CIDR


@pytest.mark.parametrize(
    ("entry", "value", "hit"),
    [
        ("0.0.0.0/0", "203.0.113.9", True),
        ("::/0", "2001:db8::1", True),
        ("192.0.2.0/24", "192.0.2.7/0", True),  # PHP takes "0" for no mask
        ("192.0.2.0/24", "192.0.2.7/00", False),
        ("192.0.2.0/24", "192.0.2.7/ 25", True),
        ("192.0.2.0/24", "192.0.2.7/1x", False),  # compared letter by letter
        ("192.0.2.0/24", "192.0.2.7/3x/8", True),
        ("192.0.2.0/24", "192.0.2.7 ", False),
        ("2001:db8::/32", "2001:db8::1/31", False),
        ("2001:db8:ffff::/32", "2001:db8::1", True),  # IPv6 is compared by its bits, host bits or not
        ("2001:db8::/032", "2001:db8:1::1", True),
        ("2001:db8::/1e1", "2041::", False),
        ("2001:db8::/1e1", "2020::", True),
        ("2001:db8::/0x", "fe80::1", True),
        ("2001:0DB8::1", "2001:db8::1", True),
        ("2001:db8::1", "[2001:db8::1]", False),
        ("192.0.2.1", "::ffff:192.0.2.1", False),
    ],
)
def test_an_address_is_in_a_network_as_php_reads_them(entry: str, value: str, hit: bool) -> None:
    assert match(CIDR, [entry], value) == (entry if hit else None)


def test_the_widest_network_is_named() -> None:
    assert match(CIDR, ["192.0.2.7", "192.0.2.0/25", "192.0.2.0/24"], "192.0.2.7") == "192.0.2.0/24"


def test_networks_that_misp_never_finds_are_inert() -> None:
    never = [
        "192.0.2.1/24",
        "192.0.2.0/024",
        "192.0.2.0/33",
        "192.0.2.0/",
        "192.0.2.0/x",
        "192.0.2",
        "192.00.2.0",
        f"192.0.2.0/{'9' * 5000}",
    ]
    never += ["2001:db8::/129", "2001:db8::/-1", "fe80::1%eth0", "evil.example", "", "192.0.2.\0", "192.0.\ud8002.1"]
    assert WarninglistMatcher(CIDR, [*never, "192.0.2.0/24", "2001:db8::1/32"]).inert == tuple(never)


# Regular expressions


@pytest.mark.parametrize(
    ("entry", "value", "hit"),
    [
        # delimiters
        ("  /evil/", "evil", True),
        ("(e(v)il)", "evil", True),
        ("{^a{2}$}", "aa", True),
        ("[[e]vil]i", "EVIL", True),
        ("<evil>", "evil", True),
        (r"/a\/b/", "a/b", True),
        (r"#a\#b#", "a#b", True),
        (">evil>", "evil", True),
        # modifiers
        ("/^b$/m", "a\nb", True),
        ("/a.b/", "a\nb", False),
        ("/a.b/s", "a\nb", True),
        ("/e v i l # comment/x", "evil", True),
        ("/evil/A", "devil", False),
        ("/evil/A", "evil", True),
        ("/evil$/", "evil\n", True),
        ("/evil$/D", "evil\n", False),
        ("/^(?>a+)a$/U", "aa", True),
        ("/(?<n>a)(?<n>b)/J", "ab", True),
        ("/evil/SX", "evil", True),
        ("/evil/i\n", "EVIL", True),
        ("/evil/i m", "EVIL", True),
        # escapes, as PCRE reads them for PHP
        (r"/^\x{41}\x42\x4$/", "AB\x04", True),
        (r"/^[\x{41}-\x43]+$/", "ABC", True),
        (r"/^\x$/", "\0", True),
        (r"/^\x{20ac}\x{1F600}$/u", "€😀", True),
        (r"/^x{2}$/", "xx", True),
        (r"/^\Q\x{41}\E$/", r"\x{41}", True),
        (r"/^\h\K\pL$/", " a", True),
        (r"/^(\((?:[^()]|(?1))*\))$/", "(a(b)c)", True),
        # bytes without u, characters with it
        ("/^..$/", "é", True),
        ("/^.$/u", "é", True),
        (r"/\w/", "é", False),
        (r"/\w/u", "é", True),
        ("/É/i", "é", False),
        ("/É/iu", "é", True),
        ("/é/", "é", True),
        (r"/\xff/", "ÿ", False),
        ("/./", "\ud800", True),
        ("/./u", "\ud800", False),
    ],
)
def test_a_pattern_matches_as_preg_match_does(entry: str, value: str, hit: bool) -> None:
    matcher = WarninglistMatcher(REGEX, [entry])
    assert matcher.inert == ()
    assert matcher.match(value) == (entry if hit else None)


def test_patterns_that_preg_match_refuses_are_inert_and_the_others_go_on_matching() -> None:
    refused = ["", " ", "evil", "\\evil\\", "/evil", "/evil/g", "/evil/e", "(evil", "(e(vil)", "0evil0", "/evil/i/"]
    refused += [
        "/(evil/",
        "/[/",
        "/*/",
        r"/(?<n>a)(?<n>b)/",
        r"/(a)\1/n",
        r"/\y/X",
        "\0evil\0",
        "/evil/\0",
        r"/evil\/",
        "/\ud800/u",
    ]
    refused += [r"/\y/", r"/\u0041/", r"/\U/", r"/\L/", r"/\x{zz}/", r"/\x{}/", r"/\x{100}/", r"/\x{d800}/u"]
    refused += [r"/\x{1f600}/", r"/\x{110000}/u"]
    matcher = WarninglistMatcher(REGEX, [*refused, "/evil/"])
    assert matcher.inert == tuple(refused)
    assert matcher.match("evil") == "/evil/"


@pytest.mark.parametrize("hopeless", ["/^(a+)+$/", "/^(?:(a+)+|b)$/", r"/^(a+)+$\b/"])
def test_a_pattern_that_pcre_gives_up_on_is_no_match_and_hides_no_other(hopeless: str) -> None:
    value = "a" * 60 + "!"
    assert match(REGEX, [hopeless], value) is None
    assert match(REGEX, [hopeless, "/a!$/", "/b/"], value) == "/a!$/"


def test_php_gives_up_earlier_than_pcre_would() -> None:
    assert match(REGEX, ["/^(?:a|a)*b|!$/"], "a" * 14 + "!") is not None
    assert match(REGEX, ["/^(?:a|a)*b|!$/"], "a" * 20 + "!") is None


@pytest.mark.parametrize(
    ("entries", "value", "hit"),
    [
        (["/a # to the end/x", "/b\n/x"], "b", "/b\n/x"),  # a comment would swallow the next pattern
        (["/(?-i)a/i", "/b/i"], "B", "/b/i"),  # an option would leak into the next pattern
        (["/(a)|c/", r"/^(b)\1$/"], "bb", r"/^(b)\1$/"),  # a reference would count another's groups
        (["/(?<n>a)/", "/(?<n>b)/"], "b", "/(?<n>b)/"),
    ],
)
def test_a_pattern_means_the_same_beside_others(entries: list[str], value: str, hit: str) -> None:
    assert match(REGEX, entries, value) == hit


def test_a_match_that_outgrows_the_stack_of_the_machine_code_is_still_found() -> None:
    assert match(REGEX, ["/^(?:(a)|b)*$/"], "ab" * 2000) == "/^(?:(a)|b)*$/"


def test_many_patterns_of_every_kind_are_each_found() -> None:
    entries = [f"/^host-{number}-/{flags}" for number in range(40) for flags in ("", "i", "A", "x", "u")]
    entries += [rf"/^(back)-{number}-\1$/" for number in range(40)]
    matcher = WarninglistMatcher(REGEX, entries)
    for number in range(40):
        assert matcher.match(f"HOST-{number}-x") == f"/^host-{number}-/i"
        assert matcher.match(f"back-{number}-back") == rf"/^(back)-{number}-\1$/"
    assert matcher.match("host-40-x") is None


def test_more_patterns_than_one_alternation_holds_are_each_found() -> None:
    entries = [f"/^{number}-{'x' * 1000}/" for number in range(100)]
    matcher = WarninglistMatcher(REGEX, entries)
    assert all(matcher.match(entry[2:-1]) == entry for entry in entries)
    assert matcher.match("y") is None


# Against the sandbox, which tries one entry at a time


short = st.text("ab.é😀", max_size=6)
host = st.lists(st.sampled_from(["a", "b", "B", "0", "10", "", "com"]), max_size=5).map(".".join)
url = st.builds(
    "{}{}{}".format, st.sampled_from(["", "//", "http://", "x/"]), host, st.sampled_from(["", "/", "/a//b"])
)
address = st.one_of(
    st.lists(st.sampled_from([0, 1, 10, 128, 255]), min_size=4, max_size=4).map(
        lambda bytes_: ".".join(map(str, bytes_))
    ),
    st.lists(st.sampled_from([0, 1, 0x8000, 0xFFFF]), min_size=8, max_size=8).map(
        lambda words: str(ipaddress.IPv6Address(b"".join(word.to_bytes(2) for word in words)))
    ),
    st.sampled_from(["10.0.0", "010.0.0.1", "::1::", "a", ""]),
)
networked = st.one_of(address, st.builds("{}/{}".format, address, st.integers(0, 130)))
cut = st.builds(
    lambda text, length: str(ipaddress.ip_network(f"{text}/{length}", strict=False)),
    address.filter(lambda text: text.count(".") == 3 or text.count(":") > 1).filter(lambda text: text[0] not in "0:"),
    st.integers(0, 32),
)
atom = st.sampled_from(
    ["a", "b", ".", "[ab]", r"\d", r"\W", "(?:a|b)", "(a)", "é", "(?=b)", r"(b)\1", "|", " ", "#", "("]
)
piece = st.one_of(st.builds("{}{}".format, atom, st.sampled_from(["", "", "?"])), st.sampled_from(["^", "$", r"\b"]))
pattern = st.lists(piece, max_size=5).map("".join)
regex = st.builds("/{}/{}".format, pattern, st.lists(st.sampled_from("imsxuUDXg"), unique=True).map("".join))

CASES = {
    STRING: (short, short),
    SUBSTRING: (short, short),
    HOSTNAME: (st.one_of(host, url), url),
    CIDR: (st.one_of(networked, cut), networked),
    REGEX: (regex, st.text("abAB1 #\né", max_size=6)),
}


@pytest.mark.parametrize("kind", WarninglistType)
@given(data=st.data())
def test_the_index_agrees_with_the_sandbox_asked_for_one_entry_at_a_time(
    kind: WarninglistType, data: st.DataObject
) -> None:
    entry, value = CASES[kind]
    entries = data.draw(st.lists(entry, max_size=8))
    matcher = WarninglistMatcher(kind, entries)
    for asked in data.draw(st.lists(value, min_size=1, max_size=8)):
        plain = [entry for entry in entries if matches(kind, entry, asked) is not None]
        assert matcher.match(asked) in (plain or [None]), asked
