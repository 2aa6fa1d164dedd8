"""What never leaves, and under which type the rest is asked about."""

import pytest

from misp_playbook_lib.model.indicators import Indicator
from misp_playbook_lib.model.modules import ModuleAvailability, module_row
from misp_playbook_lib.model.results import LookupResult, LookupStatus
from misp_playbook_lib.model.warninglist import WarninglistType
from misp_playbook_lib.steps.lookup_policy import Policy, accepted_form, to_ask
from misp_playbook_lib.untrusted import know_secrets

VIRUSTOTAL = ModuleAvailability(
    module_row("virustotal_public"),
    ("hostname", "domain", "ip-src", "ip-dst", "md5", "sha1", "sha256", "url"),
    configured=True,
    usable=True,
    detail="found",
)
MD5 = "028878c4b6ab475ed0be97eca6f92af9"
INTERNAL = ("corp.com", "bücher.de")


def outcome(
    entry: str, *, tlp: str = "amber", list_type: WarninglistType = WarninglistType.STRING
) -> Indicator | tuple[LookupStatus, str]:
    """What would be asked about an entry, or the status and the reason why not."""
    found = to_ask(entry, VIRUSTOTAL, Policy(tlp, list_type, INTERNAL))
    return (found.status, found.detail) if isinstance(found, LookupResult) else found


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "2001:db8::1",
        "fe80::1",
        "fc00::1",
        "::ffff:10.0.0.1",
        "http://10.0.0.1/x",
        "https://[fe80::1]/x",
        "host.localhost",
        "printer.lan",
        "evil.example",
    ],
)
def test_what_is_private_reserved_or_for_documentation_stays(entry: str) -> None:
    assert outcome(entry) == (
        LookupStatus.WITHHELD,
        "private, reserved or for documentation: not on the public internet",
    )


@pytest.mark.parametrize(
    "entry",
    [
        "corp.com",
        "CORP.com",
        "mail.corp.com",
        "https://intranet.corp.com/a?b=c",
        "https://evil.test.com/login?next=mail.corp.com",
        "https://evil.test.com/?u=user%40corp.com",
        "https://user@corp.com:8443/",
        "xn--bcher-kva.de",
        "http://www.bücher.de/",
    ],
)
def test_what_names_an_internal_domain_stays(entry: str) -> None:
    found = outcome(entry)
    assert isinstance(found, tuple)
    assert found[0] is LookupStatus.WITHHELD
    assert found[1].endswith("is one of internal_domains in the vault")


@pytest.mark.parametrize("entry", ["notcorp.com", "corp.com.evil.net", "corp.community", "corp-com.net"])
def test_a_name_that_only_looks_like_an_internal_one_may_leave(entry: str) -> None:
    assert isinstance(outcome(entry), Indicator)


@pytest.mark.parametrize("entry", ["8.8.8.0/24", "2001:4860::/32", "0.0.0.0/0"])
@pytest.mark.parametrize("list_type", [WarninglistType.CIDR, WarninglistType.STRING])
def test_a_network_stays(entry: str, list_type: WarninglistType) -> None:
    assert outcome(entry, list_type=list_type) == (LookupStatus.WITHHELD, "a network is no address")


@pytest.mark.parametrize("entry", ["8.8.8.8", "8.8.8.8/32"])
def test_a_single_address_of_a_cidr_list_may_leave(entry: str) -> None:
    assert outcome(entry, list_type=WarninglistType.CIDR) == Indicator("ip-dst", "8.8.8.8")


@pytest.mark.parametrize("entry", [MD5, "8.8.8.8", "evil.com", "/evil/i"])
@pytest.mark.parametrize("list_type", [WarninglistType.REGEX, WarninglistType.SUBSTRING])
def test_entries_of_regex_and_substring_lists_stay(entry: str, list_type: WarninglistType) -> None:
    found = outcome(entry, list_type=list_type)
    assert isinstance(found, tuple)
    assert found[0] is LookupStatus.WITHHELD
    assert f"an entry of a {list_type} list" in found[1]


@pytest.mark.parametrize("entry", [MD5, "8.8.8.8", "evil.com", "some text"])
def test_with_tlp_red_nothing_leaves(entry: str) -> None:
    assert outcome(entry, tlp="red") == (LookupStatus.WITHHELD, "TLP:RED leaves to nobody")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("invoice.exe", "virustotal_public does not take filename"),
        ("CVE-2021-44228", "virustotal_public does not take vulnerability"),
        ("Mozilla/5.0 (X11)", "no indicator type recognised"),
        ("999.999.999.999", "no indicator type recognised"),
    ],
)
def test_what_a_module_does_not_take_is_not_sent_to_it(entry: str, why: str) -> None:
    assert outcome(entry) == (LookupStatus.TYPE_NOT_TAKEN, why)


@pytest.mark.parametrize(
    ("indicator", "accepts", "form"),
    [
        (Indicator("ip-dst", "8.8.8.8"), ("ip-src",), "ip-src"),
        (Indicator("ip-dst", "8.8.8.8"), ("ip-src", "ip-dst"), "ip-dst"),
        (Indicator("ip-dst|port", "8.8.8.8|53"), ("ip-src|port",), "ip-src|port"),
        (Indicator("domain", "evil.com"), ("hostname",), "hostname"),
        (Indicator("email-src", "a@evil.com"), ("email",), "email"),
    ],
)
def test_a_value_is_asked_under_a_type_that_means_the_same(
    indicator: Indicator, accepts: tuple[str, ...], form: str
) -> None:
    assert accepted_form(indicator, accepts) == Indicator(form, indicator.value)


def test_a_host_name_is_not_asked_as_a_domain() -> None:
    assert accepted_form(Indicator("hostname", "www.evil.com"), ("domain",)) is None


def test_what_holds_a_secret_of_the_vault_stays() -> None:
    know_secrets(["s3cr3t-token-of-a-hook"])
    withheld = (LookupStatus.WITHHELD, "a secret of the vault is in it")
    assert outcome("https://chat.net/hooks/s3cr3t-token-of-a-hook") == withheld
    assert outcome("https://chat.net/hooks/s3cr3t%2dtoken-of-a-hook") == withheld
