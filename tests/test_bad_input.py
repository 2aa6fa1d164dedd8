"""What a user names that cannot be used: refused in one line, before anything is read whole, sent or started."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import PLAYBOOK

from misp_playbook_lib.cli import main

GOOD_VAULT = {"misp_url": "https://misp.example", "misp_key": "a-key-of-a-test"}
RUN = ("run", PLAYBOOK.stem, "-p", "warninglist_name=Mine")
CELL = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [], "execution_count": None}
NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [CELL | {"id": "a"}]}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test's, with the files that no command may read."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("zero").symlink_to("/dev/zero")
    Path("folder").mkdir()
    with Path("sparse").open("wb") as sparse:
        sparse.truncate(2 << 30)
    for name in ("fifo", "zero", "folder", "sparse"):
        for ending in ("ipynb", "csv", "yaml", "json"):
            Path(f"{name}.{ending}").symlink_to(name)


def refused(*arguments: str, environ: Mapping[str, str] | None = None, exit_code: int = 2) -> str:
    """Return the one line that a command says, having done nothing else."""
    before = sorted(Path().rglob("*"))
    result = CliRunner().invoke(main, arguments, env=dict(environ or {}))
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert sorted(Path().rglob("*")) == before
    return line.removeprefix("Error: ")


def vault(**values: str) -> str:
    """Write a vault; values are literals, as they stand in it."""
    path = Path("keys.py")
    texts = {name: repr(value) for name, value in GOOD_VAULT.items()} | values
    path.write_text("".join(f"{name} = {value}\n" for name, value in texts.items()))
    path.chmod(0o600)
    return str(path)


NO_FILES = {
    "fifo": "is not a regular file",
    "zero": "is not a regular file",
    "sparse": "it has more than",
    "missing": "No such file",
    "n" * 300: "File name too long",
}


@pytest.mark.parametrize(("name", "words"), NO_FILES.items(), ids=lambda text: text[:8])
@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        ((*RUN, "--file", "{}"), 2),
        (("run", PLAYBOOK.stem, "-p", "warninglist_name=Mine", "--vault", "{}"), 2),
        (("batch", "{}"), 2),
        (("batch", "{}.csv"), 2),
        (("check", "{}", "--type", "string"), 3),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else None,
)
def test_only_a_regular_file_of_a_usual_size_is_read(
    command: tuple[str, ...], exit_code: int, name: str, words: str
) -> None:
    assert words in refused(*(part.format(name) for part in command), exit_code=exit_code)


@pytest.mark.parametrize("command", ["run", "describe", "batch"])
@pytest.mark.parametrize("name", ["fifo", "zero", "folder", "sparse"])
def test_a_notebook_is_a_regular_file_of_a_usual_size(command: str, name: str) -> None:
    if command == "batch":
        Path("runs.yaml").write_text(json.dumps({"playbook": f"{name}.ipynb", "runs": [{"warninglist_name": "x"}]}))
    line = refused(command, "runs.yaml" if command == "batch" else f"{name}.ipynb")
    assert f"{name}.ipynb cannot be read: " in line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        '"nbformat"',
        '{"nbformat": 4}',
        '{"nbformat": 4.5, "cells": []}',
        json.dumps(NOTEBOOK | {"nbformat": 3}),
        json.dumps(NOTEBOOK | {"nbformat_minor": "x"}),
        json.dumps(NOTEBOOK | {"metadata": []}),
        json.dumps(NOTEBOOK | {"cells": "x"}),
        json.dumps(NOTEBOOK | {"cells": [5]}),
        json.dumps(NOTEBOOK | {"cells": [{}]}),
        json.dumps(NOTEBOOK | {"cells": [CELL | {"id": "a", "source": 5}]}),
        '{"nbformat": 4, "cells": ' + "[" * 100_000,
        '{"nbformat": 4, "cells": "\ud800"}',
    ],
)
@pytest.mark.parametrize("command", ["run", "describe", "lab --playbook"])
def test_a_malformed_notebook_is_said_to_be_one(command: str, text: str) -> None:
    Path("mine.ipynb").write_text(text, errors="surrogatepass")
    line = refused(*command.split(), "mine.ipynb")
    assert line == "mine.ipynb is no notebook of format 4: save it in Jupyter again"


def test_an_unknown_playbook_may_have_any_name() -> None:
    for name in ("n" * 300, "..", "a\0b", "a\0.ipynb"):
        assert "There is no playbook" in refused("describe", name)


@pytest.mark.parametrize(
    "command", ["run create_custom_misp_warninglist -f {}.yaml", "batch {}.yaml", "check {}.json --type string"]
)
@pytest.mark.parametrize(("opening", "closing"), [("[", ""), ("[", "]"), ('{"a":', "")])
def test_what_is_nested_too_deeply_is_refused(command: str, opening: str, closing: str) -> None:
    for ending, depth in {"yaml": 800, "json": 100_000}.items():
        Path(f"deep.{ending}").write_text(opening * depth + closing * depth)
    line = refused(*command.format("deep").split(), exit_code=3 if command.startswith("check") else 2)
    assert "nested too deeply" in line


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{[]: 1}", "misp_key in line 2 of keys.py is not a plain value"),
        ("-'x'", "misp_key in line 2 of keys.py is not a plain value"),
        ("-" * 200_000 + "1", "The vault is malformed: keys.py"),
        ("1+" * 100_000 + "1", "The vault is malformed: keys.py"),
        ("[" * 200_000, "The vault is malformed: line 2 of keys.py"),
        ("9" * 5000, "The vault is malformed: line 2 of keys.py"),
        ("'\0'", "The vault is malformed"),
        ("1j", "misp_key Input should be a valid string"),
        ("'\\ud800'", "misp_key holds characters that cannot be sent in a header"),
    ],
    ids=lambda text: text[:12].replace("\0", "NUL"),
)
def test_a_value_that_cannot_be_read_from_the_vault_is_told(value: str, words: str) -> None:
    assert words in refused(*RUN, "--vault", vault(misp_key=value))


WRONG_ADDRESSES = {
    "https://h.example:65536": "must have a port from 1 to 65535",
    "https://h.example:0": "must have a port from 1 to 65535",
    "https://h.example:x": "must have a port from 1 to 65535",
    "https://h.example:99999999999999999999/a": "must have a port from 1 to 65535",
    "https://h.example/?key=hidden": "must end with its path",
    "https://h.example?key=hidden": "must end with its path",
    "https://h.example/a#hidden": "must end with its path",
    "https://h.example/?": "must end with its path",
    "https://me:hidden@h.example": "must not hold a user name or password",
    "https://[::1": "Invalid IPv6 URL",
    "https:///a": "is not an http(s) URL",
    "https://h example": "is not an http(s) URL",
    "https://h.example/\x7f": "is not an http(s) URL",
    "ftp://h.example": "is not an http(s) URL",
}


@pytest.mark.parametrize(("url", "words"), WRONG_ADDRESSES.items())
@pytest.mark.parametrize("name", ["misp_url", "mattermost_hook", "slack_hook", "thehive_url"])
def test_an_address_that_is_none_is_told_wherever_it_stands(name: str, url: str, words: str) -> None:
    if name.endswith("hook") and not url.isprintable():
        words = "holds characters that cannot be sent in a header"
    environ = {f"MISP_PLAYBOOK_{key.upper()}": value for key, value in (GOOD_VAULT | {name: url}).items()}
    for line in (refused(*RUN, "--vault", vault(**{name: repr(url)})), refused(*RUN, environ=environ)):
        assert f"{name} {words}" in line
        assert "hidden" not in line


@pytest.mark.parametrize(("url", "words"), WRONG_ADDRESSES.items())
def test_an_address_that_is_none_is_told_in_the_parameters(url: str, words: str) -> None:
    assert f"misp_modules_url {words}" in refused(*RUN, "-p", f"misp_modules_url={url}")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("VAULT", "fifo", "The vault fifo cannot be read: it is not a regular file"),
        ("VAULT", "n" * 300, "File name too long"),
        ("MISP_VERIFYCERT", "n" * 300, "misp_verifycert is neither True, False nor the path of a CA bundle"),
        ("MISP_VERIFYCERT", "fifo", "misp_verifycert is neither True, False nor the path of a CA bundle"),
        ("VIRUSTOTAL_CALLS_PER_DAY", "9" * 5000, "virustotal_calls_per_day"),
        ("VIRUSTOTAL_CALLS_PER_DAY", "many", "virustotal_calls_per_day"),
        ("MISP_KEY", "\udcff", "misp_key holds characters that cannot be sent in a header"),
        ("MISP_URL", "https://\udcff", "misp_url is not an http(s) URL"),
    ],
)
def test_a_variable_of_the_environment_that_cannot_be_used_is_told(name: str, value: str, words: str) -> None:
    good = {f"MISP_PLAYBOOK_{key.upper()}": text for key, text in GOOD_VAULT.items()}
    assert words in refused(*RUN, environ=good | {f"MISP_PLAYBOOK_{name}": value})


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("warninglist_name", "n" * 256, "has 256 characters, MISP holds 255: shorten it"),
        ("warninglist_name", "Mine \U0001f600", "has U+1F600, which MISP's tables do not hold"),
        ("warninglist_description", "d" * 65_536, "has 65,536 bytes, MISP holds 65,535: shorten it"),
        ("warninglist_description", "é" * 32_768, "has 65,536 bytes, MISP holds 65,535: shorten it"),
        ("warninglist_description", "\U0001f600", "has U+1F600, which MISP's tables do not hold"),
    ],
)
def test_a_name_or_description_that_misp_cannot_hold_is_refused(parameter: str, value: str, words: str) -> None:
    assert refused(*RUN, "-p", f"{parameter}={value}").startswith(f"{parameter} {words}")


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "a/b", "/", "n" * 300, "a\0b", "é" * 200])
@pytest.mark.parametrize("command", ["show {}", "diff {} x", "restore {}", "notify {}"])
def test_a_run_is_named_by_a_plain_name(command: str, run_id: str) -> None:
    Path("reports/2026-01-01/folder").mkdir(parents=True)
    for folder in ("reports", "reports/2026-01-01"):
        Path(folder, "run.json").write_text("{}")
        Path(folder, "undo.json").write_text("{}")
    words = [part.format(run_id) for part in command.split()]
    for archive in ("reports", "reports/2026-01-01"):
        line = refused(*words, "--archive", archive, environ={"MISP_PLAYBOOK_VAULT": vault()})
        assert line.startswith("There is no run")


@pytest.mark.parametrize("command", ["run x", "check x --type string", "doctor", "runs"])
def test_a_working_directory_that_is_gone_is_told(command: str) -> None:
    gone = "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); "
    start = f"sys.argv[1:] = {command.split()!r}; from misp_playbook_lib.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", gone + start], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "Error: The working directory is not there any more: change to one that is.\n"


@pytest.mark.parametrize("name", ["fifo", "zero", "sparse"])
def test_a_sandbox_overwrites_no_file_that_is_not_a_vault_of_its_own(name: str) -> None:
    assert "is not a sandbox's vault" in refused("sandbox", "--write-vault", name)


def test_a_sandbox_does_not_start_on_a_file_that_is_no_database_of_its_own() -> None:
    Path("state.sqlite").write_text("this is no database, it is a text of some length")
    Path("state.sqlite.lock").touch()
    assert "state.sqlite is no database of the sandbox" in refused("sandbox", "--data", "state.sqlite")
