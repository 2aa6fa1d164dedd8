import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pymisp.tools.attributevalidationtool import AttributeValidationTool
from pymispwarninglists import WarningLists

from misp_playbook_lib.model.indicators import (
    RECOGNITION_RULES,
    Indicator,
    classify,
    defang,
    is_public,
    refang,
    trim,
)
from misp_playbook_lib.model.recognise import SPECIAL_USE_TLDS, is_tld

FREETEXT = json.loads((Path(__file__).parents[1] / "data" / "oracle" / "freetext_types.json").read_text("utf-8"))[
    "cases"
]

SPECIAL = "a name under a special-use top-level domain is a host name; MISP's import knows IANA's list alone"
DEFANGED = "(.) is undone like [.] and (dot), and a refanged name may be under a special-use domain"
IDN = "internationalised names are host names, in punycode; MISP's import knows top-level domains in ASCII"
UNDERSCORE = "DNS names may have underscores (RFC 8552), and MISP's own validation takes them"
PIPE = "address|port is how MISP writes that type; its import reads it with a colon alone"
STORED = "the form MISP stores: its validation changes what the import shows"
IN_URL = "a URL with a bare host, an IPv6 address or a port is a URL, with all of it"

DIFFERENCES = [
    (
        re.compile(r"[\w.]*evil(?:\.|\[\.\]|\[dot\])(?:local|internal|example|onion)\.?(?::8080)?", re.IGNORECASE),
        SPECIAL,
    ),
    (re.compile(r"evil\(\.\)\S+"), DEFANGED),
    (re.compile(r"[^?]*(?:рф|пример)[^?]*"), IDN),
    (re.compile(r"_dmarc\.evil\.\S+"), UNDERSCORE),
    (re.compile(r"[0-9.]+\|80"), PIPE),
    (re.compile(r"[0-9.]+/32|AS[0-9]+|\+1-202-555-0170"), STORED),
    (re.compile(r"http://(?:evil|\[2001:db8::1\]/x|evil\.com:8080)"), IN_URL),
    (re.compile(r"\[2001:db8::1\]"), "an address in brackets, as URLs write it, is an address"),
    (re.compile(r"1\.2\.3\.4:99999"), "ports end at 65535, and MISP's validation refuses more"),
    (re.compile(r"127771bebe69d8bf7c7f35edb1869f7d0"), "33 hexadecimal digits: no bitcoin address has this checksum"),
    (re.compile(r"http:/evil\.com"), "a URL has two slashes before its host"),
    (re.compile(r"44:ff:ee:dd:cc:bb"), "a MAC address; MISP has the type, its import no rule for it"),
    (re.compile(r"Mozilla/5\.0"), "a user agent: a URL without scheme needs a host name before its path"),
    (re.compile(r"\*\.evil\.com"), "a wildcard is no file name and no host name"),
]
"""Where an input comes out otherwise than from MISP's freetext import, and why."""


def as_pair(found: Indicator | None) -> tuple[str, str] | None:
    return (found.type, found.value.lower()) if found else None


@pytest.mark.parametrize("case", FREETEXT, ids=lambda case: repr(case["input"]))
def test_an_input_is_what_misps_freetext_import_makes_of_it_or_the_table_says_why_not(case: dict[str, Any]) -> None:
    results = case["results"]
    theirs = (results[0]["default_type"], results[0]["value"].lower()) if results else None
    differs = any(pattern.fullmatch(case["input"].strip()) for pattern, _ in DIFFERENCES)
    assert (as_pair(classify(case["input"])) != theirs) == differs


@pytest.mark.parametrize(("pattern", "reason"), DIFFERENCES, ids=[pattern.pattern for pattern, _ in DIFFERENCES])
def test_every_difference_has_its_reason_and_its_input(pattern: re.Pattern[str], reason: str) -> None:
    assert reason
    assert any(pattern.fullmatch(case["input"].strip()) for case in FREETEXT)


@pytest.mark.parametrize(("kind", "rule", "value"), RECOGNITION_RULES)
def test_the_rules_shown_to_analysts_are_those_that_hold(kind: str, rule: str, value: str) -> None:
    assert rule
    assert classify(value).type == kind


def test_no_type_has_two_rules() -> None:
    kinds = [kind for kind, _, _ in RECOGNITION_RULES]
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize(
    ("value", "kind", "stored"),
    [
        ("1.2.3.4/24", "ip-dst", "1.2.3.4/24"),
        ("1.2.3.4:8080", "ip-dst|port", "1.2.3.4|8080"),
        ("invoice.exe", "filename", "invoice.exe"),
        ("http://10.0.0.1/x", "url", "http://10.0.0.1/x"),
        ("https://a.co/x", "url", "https://a.co/x"),
        ("2001:0DB8:0:0::1", "ip-dst", "2001:db8::1"),
        ("пример.рф", "domain", "xn--e1afmkfd.xn--p1ai"),
        ("evil[.]com", "domain", "evil.com"),
        ("User@Evil.com", "email-src", "user@evil.com"),
        ("cve-2021-44228", "vulnerability", "CVE-2021-44228"),
        ("as9009", "AS", "9009"),
        ("A" * 56, "sha224", "a" * 56),
        ("A" * 128, "sha512", "a" * 128),
        ("Evil.com|1.2.3.4", "domain|ip", "evil.com|1.2.3.4"),
        ("evil.com", "domain", "evil.com"),
        ("www.evil.com", "hostname", "www.evil.com"),
        ("1.2.3.4", "ip-dst", "1.2.3.4"),
    ],
)
def test_what_the_original_took_for_something_else_has_its_type(value: str, kind: str, stored: str) -> None:
    assert classify(value) == Indicator(kind, stored)


@pytest.mark.parametrize(
    "value",
    [
        *("999.999.999.999", "1.2.3.4 evil", "..com", "1.2.3.4/33", "010.1.2.3", "1.2.3.4:0", "1.2.3.4:70000"),
        *("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "curl/8.5.0", "/wp-login.php", "/var/evil.sh", "C:\\Windows"),
        *("DOMAIN\\user", "evil", "localhost", "", "   ", "#", "a" * 33, "fe80::1%eth0", "AS4294967296", "12:34:56"),
        *(
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdz",
            "2024-01-31",
            "1.2.3",
            "user@",
            "@evil.com",
            "http://",
            "://x",
            "|",
            "a|",
        ),
    ],
)
def test_what_is_no_indicator_stays_unclassified(value: str) -> None:
    assert classify(value) is None


@pytest.mark.parametrize(
    ("value", "kind", "stored"),
    [
        ("hxxps://evil[.]com:8080/a", "url", "https://evil.com:8080/a"),
        ("hXXp[://]evil(dot)com", "url", "http://evil.com"),
        ("h[tt]p://evil{.}com/", "url", "http://evil.com/"),
        ("fxp://evil.com/x", "url", "ftp://evil.com/x"),
        ("user(at)evil[dot]com", "email-src", "user@evil.com"),
        ("1.2.3[.]4", "ip-dst", "1.2.3.4"),
        ("2001[:]db8[:][:]1", "ip-dst", "2001:db8::1"),
        ("198[.]51[.]100[.]0/24", "ip-dst", "198.51.100.0/24"),
    ],
)
def test_every_way_to_defang_is_undone(value: str, kind: str, stored: str) -> None:
    assert classify(value) == Indicator(kind, stored)


def test_parentheses_in_the_path_of_a_url_are_no_defanging() -> None:
    assert classify("http://evil.com/meet(at)noon").value == "http://evil.com/meet(at)noon"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("C:\\Program Files\\a b.exe", "filename"),
        ("%TEMP%\\evil.dll", "filename"),
        ("\\\\host\\share\\evil.dll", "filename"),
        ("(1)invoice.exe", "filename"),
        ("HKEY_LOCAL_MACHINE\\Software\\Evil\\run.exe", "regkey"),
        ("svchost|" + "a" * 64, "filename|sha256"),
        ("a.exe|3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C", "filename|ssdeep"),
        ("00-53-00-AB-CD-EF", "mac-address"),
        ("0053.00ab.cdef", "mac-address"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "btc"),
        ("BC1QAR0SRRR7XFKVY5L643LYDNW9RE59GTZZWF5MDQ", "btc"),
        ("bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr", "btc"),
        ("GHSA-jfh8-c2jp-5v3q", "vulnerability"),
        ("T1" + "AB" * 35, "tlsh"),
        ("evil.com/a.php", "url"),
        ("198.51.100.7/a.php", "url"),
        ("ftp://198.51.100.7/", "url"),
        ("a" * 56 + ".onion", "onion-address"),
    ],
)
def test_less_common_forms_are_recognised(value: str, kind: str) -> None:
    assert classify(value).type == kind


HEX = st.sampled_from([32, 40, 56, 64, 96, 128]).flatmap(
    lambda size: st.text("0123456789abcdefABCDEF", min_size=size, max_size=size)
)
HOST = st.from_regex(r"(?:[a-zA-Z0-9]{1,12}\.){1,3}(?:com|org|ru|museum|local|xn--p1ai)", fullmatch=True)
IP = st.ip_addresses().map(str)
PORT = st.integers(1, 65535).map(str)
VALUES = st.one_of(
    HEX,
    HOST,
    IP,
    st.ip_addresses(v=6).map(lambda ip: ip.exploded.upper()),
    st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 32).map(str)).map("/".join),
    st.tuples(st.ip_addresses(v=6).map(str), st.integers(0, 128).map(str)).map("/".join),
    st.tuples(st.ip_addresses(v=4).map(str), PORT).map(":".join),
    st.tuples(st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"), PORT).map(":".join),
    st.tuples(HOST, IP).map("|".join),
    st.tuples(HOST, PORT).map("|".join),
    st.from_regex(
        r"(?:https?|HTTP|ftp)://[a-z0-9]{1,8}\.(?:com|local)(?::[1-9][0-9]{0,3})?(?:/[!-~]{0,12})?", fullmatch=True
    ),
    st.from_regex(r"[A-Za-z0-9._+-]{1,9}@[a-zA-Z0-9]{1,9}\.(?:com|invalidtld)", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_ \[\]()-]{1,9}\.(?:exe|DLL|tar\.gz)", fullmatch=True),
    st.tuples(st.sampled_from(["a.exe", "b c.dll", "svchost"]), HEX).map("|".join),
    st.from_regex(r"(?:CVE|cve)-[0-9]{4}-[0-9]{4,9}", fullmatch=True),
    st.integers(0, 4294967295).map("AS{}".format),
    st.from_regex(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}", fullmatch=True),
    st.sampled_from([value for _, _, value in RECOGNITION_RULES]),
    st.sampled_from([case["input"] for case in FREETEXT]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text("ab.:/@[]()|\\*-0 1x", max_size=16),
)


@given(VALUES)
@example("http://a.com/[[.]]")
@example("HTTP://EVIL.COM/x")
@example("http://a.com/?u=http://b.com")
def test_refanging_a_defanged_indicator_gives_its_value(value: str) -> None:
    indicator = classify(value)
    assume(indicator is not None)
    assert refang(defang(indicator)) == indicator.value


@given(VALUES)
def test_what_misp_stores_is_classified_as_it_was(value: str) -> None:
    indicator = classify(value)
    assume(indicator is not None and indicator.type != "AS")  # stored as a bare number
    assert classify(indicator.value) == indicator


@given(VALUES)
def test_every_value_is_in_the_form_that_misps_validation_makes_and_takes(value: str) -> None:
    indicator = classify(value)
    assume(indicator is not None)
    made = AttributeValidationTool.modifyBeforeValidation(indicator.type, indicator.value)
    if (
        "::ffff:" not in indicator.value
    ):  # MISP writes a mapped address with dots, as libc does; Python until 3.13 does not
        assert made == indicator.value
    assert AttributeValidationTool.validate(indicator.type, made) is True


PORT_LEFT_OUT = re.compile(r"[^/|]*[^:/|]:[0-9]+")


@given(VALUES)
def test_every_value_is_what_misps_validation_makes_of_the_refanged_input(value: str) -> None:
    indicator = classify(value)
    assume(indicator is not None and value.isascii() and "::ffff:" not in indicator.value)
    assume(indicator.type not in {"domain", "hostname"} or not PORT_LEFT_OUT.fullmatch(value.strip()))
    plain = refang(trim(value))
    if indicator.type == "ip-dst":
        plain = plain.strip("[].")
    if indicator.type == "hostname":
        plain = plain.strip(".")
    assert AttributeValidationTool.modifyBeforeValidation(indicator.type, plain) == indicator.value


@given(st.lists(st.sampled_from([value for _, _, value in RECOGNITION_RULES]), min_size=1, max_size=5))
def test_defanging_a_text_twice_changes_nothing_more(values: list[str]) -> None:
    text = "seen: " + ", ".join(values)
    assert defang(defang(text)) == defang(text)


def test_in_a_text_every_indicator_that_could_be_followed_is_defanged() -> None:
    text = "See http://evil.com/x, 198.51.100.7 or mail bob@evil.com (evil.org); not Mozilla/5.0, invoice.exe or i.e."
    assert defang(text) == (
        "See hxxp://evil[.]com/x, 198[.]51[.]100[.]7 or mail bob[@]evil[.]com (evil[.]org); "
        "not Mozilla/5.0, invoice.exe or i.e."
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("evil.com", "evil[.]com"),
        ("https://evil.com/a.b", "hxxps://evil[.]com/a.b"),
        ("1.2.3.4", "1[.]2[.]3[.]4"),
        ("user@evil.com", "user[@]evil[.]com"),
        ("2001:db8::1", "2001[:]db8[:][:]1"),
        ("invoice.exe", "invoice.exe"),
        ("a" * 32, "a" * 32),
    ],
)
def test_an_indicator_is_defanged_as_its_type_wants_it(value: str, written: str) -> None:
    assert defang(classify(value)) == written


@pytest.mark.parametrize(
    ("value", "public"),
    [
        ("8.8.8.8", True),
        ("10.0.0.1", False),
        ("198.51.100.7", False),
        ("224.0.0.1", False),
        ("100.64.0.1", False),
        ("2606:4700:4700::1111", True),
        ("fe80::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("8.8.8.0/24", True),
        ("10.0.0.0/8", False),
        ("8.8.8.8:53", True),
        ("192.168.1.1:53", False),
        ("evil.com", True),
        ("evil.local", False),
        ("www.evil.example", False),
        ("router.home.arpa", False),
        ("http://evil.com:8080/x", True),
        ("http://10.0.0.1/x", False),
        ("http://[fe80::1]/x", False),
        ("http://intranet/x", False),
        ("http://user:pw@evil.test/x", False),
        ("evil.internal/x", False),
        ("user@evil.com", True),
        ("user@evil.invalid", False),
        ("evil.com|8.8.8.8", True),
        ("evil.com|10.0.0.1", False),
        ("evil.local|80", False),
        ("a" * 32, True),
        ("invoice.exe", True),
    ],
)
def test_only_global_addresses_and_sold_names_are_public(value: str, public: bool) -> None:
    assert is_public(classify(value)) is public


def test_the_top_level_domains_are_ianas() -> None:
    iana = next(found for found in WarningLists().warninglists.values() if found.name == "TLDs as known by IANA").list
    unknown = [tld for tld in iana if not is_tld(tld.lower())]
    assert len(unknown) < len(iana) / 100  # the two lists are not of the same day
    assert not [tld for tld in ("exe", "dll", "docx", "invalidtld", "gz", "") if is_tld(tld)]
    assert all(is_tld(tld) for tld in SPECIAL_USE_TLDS)


def test_a_long_value_takes_no_more_than_its_share_of_time() -> None:
    for value in (
        "a" * 60_000,
        "a." * 30_000,
        "[.]" * 20_000,
        "1" * 60_000,
        "@" * 60_000,
        "/" * 60_000,
        "a\\" * 30_000,
    ):
        classify(value)
        refang(value)


def test_the_model_brings_neither_requests_nor_pymisp_along() -> None:
    program = (
        "import sys\n"
        "from misp_playbook_lib.model import corrections, indicators, lint, reading\n"
        "print(*(name for name in ('requests', 'urllib3', 'pymisp', 'IPython') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
