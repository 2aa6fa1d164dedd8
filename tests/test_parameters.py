"""The parameters: one schema, converted by declared types alone, every problem told at once."""

import ast
import json
from pathlib import Path

import pytest
from conftest import PLAYBOOK
from secret_shapes import SHAPES

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.parameters import PlaybookParameters, describe, read_parameter_file, type_name
from misp_playbook_lib.playbook import Playbook
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.untrusted import know_secrets


def test_the_notebooks_cell_and_the_schema_are_equal_in_names_types_defaults_and_help() -> None:
    cells = json.loads(PLAYBOOK.read_text())["cells"]
    tagged = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    lines = tagged[0].splitlines()
    found = []
    for statement in ast.parse(tagged[0]).body:
        assert isinstance(statement, ast.AnnAssign)
        assert isinstance(statement.target, ast.Name)
        assert statement.value is not None
        help_ = lines[statement.end_lineno - 1].split("  # ", 1)[1]  # type: ignore[operator]
        default = ast.literal_eval(statement.value)
        found.append((statement.target.id, ast.unparse(statement.annotation), repr(default), help_))
    assert found == [(name, kind, default, help_) for _, name, kind, default, help_ in describe()]


def test_no_later_cell_reassigns_a_parameter() -> None:
    for cell in json.loads(PLAYBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []):
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    assert node.id not in PlaybookParameters.model_fields


def test_texts_are_converted_by_the_declared_type_alone() -> None:
    digits = "00000000000000000000000000000123"
    parameters = PlaybookParameters.from_text(
        {
            "warninglist_name": "no",
            "warninglist_id": "007",
            "warninglist_values": f'[{digits}, no, 1.0, "evil.example # 1e3"]',
            "warninglist_enable": "no",
            "match_published": "None",
            "misp_modules_wait": "0.5",
        }
    )
    assert parameters.warninglist_name == "no"
    assert parameters.warninglist_id == 7
    assert parameters.warninglist_values == [digits, "no", "1.0", "evil.example # 1e3"]
    assert parameters.warninglist_enable is False
    assert parameters.match_published is None
    assert parameters.misp_modules_wait == 0.5


def test_a_yaml_file_is_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "warninglist_name: 0x1F\nwarninglist_values:\n- 00000000000000000000000000000123\n- no\n- 2024-01-01\n"
        "match_published: false\n"
    )
    parameters = PlaybookParameters.from_text(read_parameter_file(path))
    assert parameters.warninglist_name == "0x1F"
    assert parameters.warninglist_values == ["00000000000000000000000000000123", "no", "2024-01-01"]
    assert parameters.match_published is False


def test_a_list_can_be_one_value_or_one_a_line() -> None:
    given = {"warninglist_name": "x", "warninglist_values": "a.example # one\nb.example", "match_tags": "tlp:red"}
    parameters = PlaybookParameters.from_text(given)
    assert parameters.warninglist_values == ["a.example # one", "b.example"]
    assert parameters.match_tags == ["tlp:red"]


def test_every_problem_is_told_at_once_with_the_nearest_name() -> None:
    with pytest.raises(ParameterError) as caught:
        PlaybookParameters.from_text(
            {
                "warninglst_name": "x",
                "warninglist_type": "strin",
                "warninglist_id": "-1",
                "match_published": "maybe",
                "misp_modules_wait": "soon",
                "tlp": "purple",
                "send_to_slack": "[a]",
            }
        )
    text = "\n".join(caught.value.problems)
    assert "warninglst_name is no parameter: did you mean warninglist_name?" in text
    assert "warninglist_type is none of" in text
    assert "did you mean string?" in text
    assert "warninglist_id is negative" in text
    assert "match_published is not true, false or none" in text
    assert "misp_modules_wait is not a number" in text
    assert "tlp is none of" in text
    assert "send_to_slack is not true or false" in text


def test_untouched_parameters_refuse_to_start() -> None:
    with pytest.raises(ParameterError, match="name the list"):
        PlaybookParameters.from_text({})


@pytest.mark.parametrize("name", ["misp_key", "virustotal_apikey", "my_api_key", "slack_token"])
def test_a_parameter_that_looks_like_a_key_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="keys belong in the vault"):
        PlaybookParameters.from_text({"warninglist_name": "x", name: "abc"})


def test_collect_finds_a_slip_that_papermill_would_only_warn_of() -> None:
    with pytest.raises(ParameterError, match="did you mean warninglist_values"):
        PlaybookParameters.collect({"warninglist_name": "x", "warninglist_value": ["a"], "In": [], "os": ast})


def test_collect_refuses_a_key_among_the_variables() -> None:
    with pytest.raises(ParameterError, match="keys belong in the vault"):
        PlaybookParameters.collect({"warninglist_name": "x", "misp_key": "secret"})


@pytest.mark.parametrize(
    ("name", "value"), [("warninglist_values", "text"), ("warninglist_id", "x"), ("warninglist_name", 5)]
)
def test_a_wrong_type_in_the_notebook_is_told(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"{name} is of the wrong type"):
        PlaybookParameters.collect({"warninglist_name": "x", name: value})


def test_an_empty_tag_is_refused_because_misp_would_take_it_for_no_filter() -> None:
    with pytest.raises(ParameterError, match="match_tags holds an empty text"):
        PlaybookParameters.from_text({"warninglist_name": "x", "match_tags": '[""]'})


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: {b: c}\n", "a: [b: c]\n", "a: [\n", "text\n", "[" * 5000])
def test_a_file_that_is_no_mapping_of_texts_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=r"p\.yaml"):
        read_parameter_file(path)


def test_a_name_that_is_in_a_file_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text('tlp: red\nwarninglist_name: x\ntlp: green\n\n"tlp": clear\n')
    with pytest.raises(ParameterError) as caught:
        read_parameter_file(path)
    assert caught.value.problems == (
        f"tlp is in lines 1 and 3 of {path}: remove one",
        f"tlp is in lines 3 and 5 of {path}: remove one",
    )
    path.write_text("{tlp: red, tlp: green}")
    with pytest.raises(ParameterError, match="tlp is in lines 1 and 1"):
        read_parameter_file(path)


def test_the_address_of_the_modules_is_a_parameter_though_the_vault_has_it_too() -> None:
    assert PlaybookParameters.collect({"misp_modules_url": " "}).misp_modules_url == ""
    with pytest.raises(ParameterError, match=r"misp_modules_url is not an http\(s\) URL"):
        PlaybookParameters.collect({"misp_modules_url": "ftp://127.0.0.1"})


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read: No such file"):
        read_parameter_file(tmp_path / "none.yaml")


def test_types_are_written_as_the_notebook_writes_them() -> None:
    assert type_name(list[str]) == "list[str]"
    assert type_name(bool | None) == "bool | None"
    assert type_name(str) == "str"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_parameter_that_holds_a_secret_is_refused_by_its_name(shape: str) -> None:
    know_secrets(["k3y/with+signs=and&<more>"])
    written = SHAPES[shape]("k3y/with+signs=and&<more>")
    given = {"warninglist_description": f"by {written}", "warninglist_values": ["a.example", f"b.example # {written}"]}
    with pytest.raises(ParameterError) as refused:
        PlaybookParameters.from_text({"warninglist_name": "x", **given})
    advice = "holds a secret of the vault: take it out, parameters are archived and shown"
    assert sorted(refused.value.problems) == [
        f"warninglist_description {advice}",
        f"warninglist_values value 2 {advice}",
    ]


def test_a_parameter_that_was_read_before_the_vault_is_refused_at_pr_1(
    sandbox: Sandbox, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISP_PLAYBOOK_VAULT", str(vault))
    parameters = PlaybookParameters.collect({"warninglist_name": "x", "thehive_alert_title": sandbox.misp_key})
    with pytest.raises(ParameterError, match="thehive_alert_title holds a secret of the vault"):
        Playbook.open(parameters)
    assert sandbox.misp.requests == []
