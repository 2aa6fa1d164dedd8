"""The vault is read, never executed; the environment wins; secrets mask themselves."""

import logging
from pathlib import Path

import pytest

from misp_playbook_lib.errors import MissingSecret, SettingsError
from misp_playbook_lib.settings import is_loopback, learn_secrets, load_settings, read_vault, without_services
from misp_playbook_lib.untrusted import redact

KEY = "k3y/with+signs=and~more"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.py", f'misp_url = "https://misp.example/"\nmisp_key = "{KEY}"\n')


def test_only_address_and_key_of_misp_are_required(vault: Path) -> None:
    settings = load_settings(vault, {})
    assert settings.misp_url == "https://misp.example"
    assert settings.secret("misp_key") == KEY
    assert settings.misp_verifycert is True
    assert settings.secret("slack_hook") == ""


def test_the_environment_wins_over_the_vault(vault: Path) -> None:
    environ = {"MISP_PLAYBOOK_MISP_URL": "https://other.example", "MISP_PLAYBOOK_SHODAN_APIKEY": "from-environment"}
    settings = load_settings(vault, environ)
    assert settings.misp_url == "https://other.example"
    assert settings.secret("shodan_apikey") == "from-environment"
    assert settings.secret("misp_key") == KEY


def test_the_environment_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"MISP_PLAYBOOK_MISP_URL": "http://127.0.0.1:1", "MISP_PLAYBOOK_MISP_KEY": KEY}
    assert load_settings(environ=environ).misp_url == "http://127.0.0.1:1"


def test_a_vault_named_in_the_environment_is_read(vault: Path) -> None:
    assert load_settings(environ={"MISP_PLAYBOOK_VAULT": str(vault)}).secret("misp_key") == KEY


def test_a_missing_key_is_told_with_its_name_and_place(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.py", 'misp_url = "https://misp.example"\n')
    with pytest.raises(MissingSecret, match=r"misp_key is missing: set it in .*keys.py, or set MISP_PLAYBOOK_MISP_KEY"):
        load_settings(path, {})


def test_an_empty_key_counts_as_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.py", 'misp_url = "https://misp.example"\nmisp_key = " "\n')
    with pytest.raises(MissingSecret, match="misp_key"):
        load_settings(path, {})


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_vault_that_others_can_read_or_write_is_refused(vault: Path, mode: int) -> None:
    vault.chmod(mode)
    with pytest.raises(SettingsError, match=f"chmod 600 {vault}"):
        load_settings(vault, {})


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "misp_key = open('/etc/passwd').read()",
        "misp_key = 'a' + 'b' * 3",
        "print(1)",
        "misp_key: str = 'x'",
    ],
)
def test_nothing_in_the_vault_is_executed(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "keys.py", f'misp_url = "https://misp.example"\n{line}\n')
    with pytest.raises(SettingsError, match=r"ine 2 of .*keys.py"):
        read_vault(path)


def test_a_malformed_vault_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.py", 'misp_url = "https://misp.example"\nmisp_key = "unclosed\n')
    with pytest.raises(SettingsError, match=r"line 2 of .*keys.py"):
        read_vault(path)


def test_a_vault_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere.py cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.py", {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("misp_url", '"misp.example"'),
        ("misp_url", '"ftp://misp.example"'),
        ("misp_url", '"https://user:pass@misp.example"'),
        ("misp_verifycert", '"/no/such/bundle.pem"'),
        ("slack_hook", '"not a url"'),
        ("misp_key", '"line\\nbreak"'),
    ],
)
def test_a_wrong_value_is_told_by_name_and_never_shown(tmp_path: Path, name: str, value: str) -> None:
    texts = {"misp_url": '"https://misp.example"', "misp_key": f'"{KEY}"', name: value}
    path = write(tmp_path / "keys.py", "".join(f"{key} = {text}\n" for key, text in texts.items()))
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings(path, {})
    assert value.strip('"') not in str(caught.value)


@pytest.mark.parametrize(("text", "verify"), [("True", True), ("False", False), ('"false"', False)])
def test_verification_is_a_flag(tmp_path: Path, text: str, verify: bool) -> None:
    path = write(tmp_path / "keys.py", f'misp_url = "https://m.example"\nmisp_key = "x"\nmisp_verifycert = {text}\n')
    assert load_settings(path, {}).misp_verifycert is verify


def test_verification_can_name_a_bundle(tmp_path: Path) -> None:
    bundle = write(tmp_path / "ca.pem", "")
    path = write(tmp_path / "k.py", f'misp_url = "https://m.example"\nmisp_key = "x"\nmisp_verifycert = "{bundle}"\n')
    assert load_settings(path, {}).misp_verifycert == bundle


def test_a_sandbox_vault_allows_loopback_only(tmp_path: Path) -> None:
    path = write(tmp_path / "k.py", 'misp_url = "https://misp.example"\nmisp_key = "x"\nsandbox = True\n')
    with pytest.raises(SettingsError, match="loopback"):
        load_settings(path, {})


@pytest.mark.parametrize("name", ["chat_max_tlp", "thehive_max_tlp"])
def test_the_strictest_tlp_of_a_service_is_amber_unless_a_known_level_is_given(vault: Path, name: str) -> None:
    assert getattr(load_settings(vault, {}), name) == "amber"
    variable = f"MISP_PLAYBOOK_{name.upper()}"
    assert getattr(load_settings(vault, {variable: "TLP:Amber+Strict "}), name) == "amber+strict"
    with pytest.raises(SettingsError, match=f"{name} is none of clear, green, amber, amber\\+strict, red"):
        load_settings(vault, {variable: "purple"})


SANDBOX = """misp_url = "http://127.0.0.1:1"
misp_key = "x"
misp_modules_url = "http://127.0.0.1:2"
mattermost_hook = "http://127.0.0.1:3/hooks/x"
sandbox = True
sandbox_addresses = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]
"""


@pytest.mark.parametrize(
    "name", ["misp_url", "misp_modules_url", "mattermost_hook", "slack_hook", "thehive_url", "sandbox"]
)
def test_a_sandbox_vault_refuses_every_address_that_the_sandbox_did_not_write(tmp_path: Path, name: str) -> None:
    """Wherever it comes from: the file edited by hand, the environment."""
    other = "http://127.0.0.1:6666/hooks/y"
    path = write(tmp_path / "k.py", SANDBOX)
    assert load_settings(path, {}).misp_modules_url == "http://127.0.0.1:2"
    with pytest.raises(SettingsError, match=f"(?i){name}"):
        load_settings(path, {f"MISP_PLAYBOOK_{name.upper()}": other})
    if name != "sandbox":
        lines = [line for line in SANDBOX.splitlines() if not line.startswith(f"{name} =")]
        write(path, "\n".join([*lines, f'{name} = "{other}"']))
        with pytest.raises(SettingsError, match=f"others are in {name}: correct it in .*k.py") as caught:
            load_settings(path, {})
        assert other not in str(caught.value)


def test_a_sandbox_vault_refuses_a_parameter_that_leads_elsewhere(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path / "k.py", SANDBOX), {})
    assert settings.modules_url("") == settings.modules_url("http://127.0.0.1:2") == "http://127.0.0.1:2"
    with pytest.raises(SettingsError, match=r"misp_modules_url http://127\.0\.0\.1:6666 is not the sandbox's"):
        settings.modules_url("http://127.0.0.1:6666")


def test_a_sandbox_vault_without_the_modules_address_does_not_fall_back_to_the_default(tmp_path: Path) -> None:
    text = "".join(line for line in SANDBOX.splitlines(keepends=True) if not line.startswith("misp_modules_url"))
    with pytest.raises(SettingsError, match="others are in misp_modules_url"):
        load_settings(write(tmp_path / "k.py", text), {})


def test_the_modules_address_is_the_parameters_then_the_environments_then_the_vaults(vault: Path) -> None:
    assert load_settings(vault, {}).modules_url("") == "http://127.0.0.1:6666"
    vault.write_text(vault.read_text() + 'misp_modules_url = "http://modules.example:6666/"\n')
    assert load_settings(vault, {}).modules_url("") == "http://modules.example:6666"
    settings = load_settings(vault, {"MISP_PLAYBOOK_MISP_MODULES_URL": "http://other.example"})
    assert settings.modules_url("") == "http://other.example"
    assert settings.modules_url("http://third.example") == "http://third.example"


def test_a_name_in_the_vault_that_is_not_known_is_refused_with_the_nearest(vault: Path) -> None:
    vault.write_text(vault.read_text() + 'internal_domain = ["corp.example"]\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(vault, {})
    assert str(caught.value) == f"internal_domain in line 3 of {vault} is not known: did you mean internal_domains?"
    vault.write_text('unlike_any = "x"\n')
    with pytest.raises(SettingsError, match=r"unlike_any in line 1 of .* is not known: .*keys.example.py"):
        read_vault(vault)


def test_a_name_that_is_in_the_vault_twice_is_refused_with_both_lines(vault: Path) -> None:
    vault.write_text(vault.read_text() + '\ninternal_domains = ["a.example"]\ninternal_domains = []\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(vault, {})
    assert str(caught.value) == f"internal_domains is in lines 4 and 5 of {vault}: remove one."


def test_a_variable_that_is_not_known_is_refused_with_the_nearest(vault: Path) -> None:
    environ = {"MISP_PLAYBOOK_VAULT": str(vault), "MISP_PLAYBOOK_RUN_DIR": "/x", "MISP_PLAYBOOK_SHODAN_APIKEY": "k"}
    assert load_settings(environ=environ).secret("shodan_apikey") == "k"
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ | {"MISP_PLAYBOOK_INTERNAL_DOMAIN": "corp.example"})
    assert str(caught.value) == (
        "MISP_PLAYBOOK_INTERNAL_DOMAIN in the environment is not known: did you mean MISP_PLAYBOOK_INTERNAL_DOMAINS?"
    )


def test_a_vault_given_by_hand_is_read_without_any_variable() -> None:
    environ = {"MISP_PLAYBOOK_INTERNAL_DOMAIN": "x", "MISP_PLAYBOOK_MISP_KEY": "x", "PATH": "/bin"}
    assert without_services(environ) == {"PATH": "/bin"}


def test_secrets_mask_themselves(vault: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(vault, {})
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r", settings, settings)
    assert KEY not in caplog.text
    assert KEY not in f"{settings} {settings!r} {settings.model_dump()} {settings.misp_key}"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:80", True),
        ("http://localhost/x", True),
        ("http://[::1]:1/", True),
        ("http://127.0.0.1.evil.example", False),
        ("https://misp.example", False),
    ],
)
def test_loopback_is_recognised(url: str, here: bool) -> None:
    assert is_loopback(url) is here


def test_the_example_vault_names_every_key_and_holds_none() -> None:
    example = Path(__file__).parent.parent / "vault" / "keys.example.py"
    names = {line.split(" = ")[0] for line in example.read_text().splitlines() if " = " in line and line[0] != "#"}
    assert names == {
        "misp_url",
        "misp_key",
        "misp_verifycert",
        "misp_modules_url",
        "mattermost_playbook_user",
        "mattermost_hook",
        "slack_hook",
        "thehive_url",
        "thehive_key",
        "virustotal_apikey",
        "shodan_apikey",
        "virustotal_calls_per_minute",
        "virustotal_calls_per_day",
        "shodan_calls_per_minute",
        "shodan_calls_per_day",
        "internal_domains",
        "chat_max_tlp",
        "thehive_max_tlp",
    }


def test_a_key_has_the_budget_of_virustotals_free_tier_unless_the_vault_says_otherwise(vault: Path) -> None:
    assert load_settings(vault, {}).calls("virustotal_apikey") == (4, 500)
    vault.write_text(vault.read_text() + "virustotal_calls_per_minute = 0\nvirustotal_calls_per_day = 1000\n")
    assert load_settings(vault, {}).calls("virustotal_apikey") == (0, 1000)
    assert load_settings(vault, {"MISP_PLAYBOOK_VIRUSTOTAL_CALLS_PER_DAY": "7"}).calls("virustotal_apikey") == (0, 7)
    assert load_settings(vault, {}).calls("another_key") == (0, 0)


def test_a_budget_below_nothing_is_refused(vault: Path) -> None:
    vault.write_text(vault.read_text() + "shodan_calls_per_day = -1\n")
    with pytest.raises(SettingsError, match="shodan_calls_per_day"):
        load_settings(vault, {})


def test_internal_domains_are_a_list_in_the_vault_and_parted_by_commas_in_the_environment(vault: Path) -> None:
    vault.write_text(vault.read_text() + 'internal_domains = ["*.Corp.example", "org.example."]\n')
    assert load_settings(vault, {}).internal_domains == ("corp.example", "org.example")
    environ = {"MISP_PLAYBOOK_INTERNAL_DOMAINS": "a.example, .b.example,"}
    assert load_settings(vault, environ).internal_domains == ("a.example", "b.example")


def test_internal_domains_that_are_no_list_are_refused(vault: Path) -> None:
    vault.write_text(vault.read_text() + "internal_domains = 7\n")
    with pytest.raises(SettingsError, match="internal_domains is not a list of domains"):
        load_settings(vault, {})


def test_the_secrets_of_vault_and_environment_are_known_from_here_on(vault: Path) -> None:
    load_settings(
        vault, {"MISP_PLAYBOOK_MISP_KEY": "another-key-0123", "MISP_PLAYBOOK_SHODAN_APIKEY": "shodan-key-0123"}
    )
    assert redact(f"{KEY} another-key-0123 shodan-key-0123") == "[redacted] [redacted] [redacted]"


def test_the_secrets_of_a_vault_with_something_wrong_in_it_are_known_all_the_same(vault: Path) -> None:
    vault.write_text(vault.read_text() + 'thehive_url = "no address"\n')
    learn_secrets(vault, {})
    assert redact(KEY) == "[redacted]"
