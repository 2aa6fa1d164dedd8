"""A batch file: sets of parameters from YAML or CSV, all checked at once, each problem with its line."""

import json
from pathlib import Path

import pytest

from misp_playbook_lib.batch_file import read_batch
from misp_playbook_lib.errors import ParameterError


def written(folder: Path, text: str, name: str = "runs.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ParameterError) as refused:
        read_batch(path)
    return [problem.removeprefix(f"{path}:") for problem in refused.value.problems]


def test_every_set_is_combined_with_every_combination_of_the_matrix_over_the_defaults(tmp_path: Path) -> None:
    batch = read_batch(
        written(
            tmp_path,
            """
playbook: create_custom_misp_warninglist
run_timeout: 90
defaults: {warninglist_type: hostname, pap: red}
runs:
  - warninglist_name: One
  - warninglist_name: Two
    pap: clear
matrix:
  tlp: [amber, green]
  warninglist_values: [[a.example, b.example], c.example]
""",
        )
    )
    made = [one.parameters for one in batch.sets]
    assert batch.run_timeout == 90
    assert [one.line for one in batch.sets] == [6] * 4 + [7] * 4
    assert [one.pap for one in made] == ["red"] * 4 + ["clear"] * 4
    assert [(one.tlp, one.warninglist_values) for one in made[:4]] == [
        ("amber", ["a.example", "b.example"]),
        ("amber", ["c.example"]),
        ("green", ["a.example", "b.example"]),
        ("green", ["c.example"]),
    ]
    assert {one.warninglist_type for one in made} == {"hostname"}


def test_a_matrix_alone_makes_runs(tmp_path: Path) -> None:
    batch = read_batch(written(tmp_path, "matrix:\n  warninglist_name: [One, Two]\n  tlp: [red]\n"))
    assert [one.warninglist for one in batch.sets] == ["One", "Two"]
    assert batch.notebook.stem == "create_custom_misp_warninglist"


def test_values_are_texts_whatever_yaml_would_make_of_them(tmp_path: Path) -> None:
    batch = read_batch(
        written(
            tmp_path,
            """
runs:
  - warninglist_name: no
    warninglist_values: [00000000000000000000000000000123, "1e5 # x"]
""",
        )
    )
    assert batch.sets[0].parameters.warninglist_name == "no"
    assert batch.sets[0].parameters.warninglist_values == ["00000000000000000000000000000123", "1e5 # x"]


def test_what_the_command_says_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "runs:\n  - {warninglist_name: One, dry_run: no}\n")
    assert read_batch(path, {"dry_run": "true"}).sets[0].parameters.dry_run
    assert not read_batch(path).sets[0].parameters.dry_run


def test_every_problem_of_every_set_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """playbok: x
run_timeout: soon
defaults:
  warninglist_type: hostnam
warninglist_name: here
runs:
  - warninglist_name: One
    warninglst_values: [a.example]
  - warninglist_values: [a.example]
    tlp: amber
  - misp_key: secret
    warninglist_name: a
    warninglist_name: b
  - just a text
  - {warninglist_name: {a: b}}
matrix:
  tlp: [amber, pink]
  pap: green
""",
    )
    assert problems(path) == [
        "1: playbok is no key of a batch file: did you mean playbook?",
        "2: run_timeout is not a number of seconds above 0",
        "4: warninglist_type is none of string, substring, hostname, cidr, regex or empty (did you mean hostname?)",
        "5: warninglist_name is no key of a batch file: parameters stand under defaults, runs or matrix",
        "8: warninglst_values is no parameter: did you mean warninglist_values?",
        "10: tlp is in matrix too: leave it out of one",
        "11: misp_key is no parameter: keys belong in the vault, parameters are archived",
        "13: warninglist_name is in lines 12 and 13: remove one",
        "14: a set of runs must hold one `name: value` a line",
        "15: warninglist_name is neither a value nor a list of values",
        "17: tlp is none of clear, green, amber, amber+strict, red",
        "18: pap in matrix is not a list of the values to combine",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("runs: [", "1: this is not YAML"),
        ("runs:\n  - tlp: red\n", "2: warninglist_name and warninglist_id are both empty"),
        ("- a\n- b\n", "1: a batch file must hold one"),
        ("", "1: there is no set of parameters"),
        ("runs: []\n", "1: there is no set of parameters"),
        ("runs: {warninglist_name: One}\n", "1: runs is not a list of parameter sets"),
        ("playbook: nothing_of_the_kind\nmatrix: {warninglist_name: [One]}\n", "1: There is no playbook"),
        ("playbook: [a]\nmatrix: {warninglist_name: [One]}\n", "1: playbook takes one value"),
        (
            "runs:\n  - warninglist_name: a\n    tlp: \x07\n",
            "3: this is not YAML: the character U+0007 may not be in it",
        ),
        ("runs: " + "[" * 5000, "1: this is nested too deeply"),
        ("runs:\n  - warninglist_name: a\n    [tlp]: red\n", "3: a name in a set of runs is no text"),
        ("runs:\n\t- warninglist_name: a\n", "2: this is not YAML: found character"),
        ('runs: [{warninglist_name: "\\ud800"}]\n', "1: warninglist_name holds half a character"),
        ("defaults: &all {tlp: red}\nruns:\n  - <<: *all\n", "3: << is neither a value nor a list of values"),
        ("run_timeout: -1\nmatrix: {warninglist_name: [One]}\n", "1: run_timeout is not a number of seconds above 0"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_in_words(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(written(tmp_path, text))[0].startswith(problem)


def test_a_playbook_that_is_no_notebook_is_refused_before_anything_runs(tmp_path: Path) -> None:
    playbook = tmp_path / "text.ipynb"
    playbook.write_text("this is text")
    path = written(tmp_path, f"runs:\n  - warninglist_name: One\nplaybook: {playbook}\n")
    assert problems(path) == [f"3: {playbook} is no notebook of format 4: save it in Jupyter again"]


def test_a_character_that_json_writes_as_two_escapes_stays_one(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"runs": [{"warninglist_name": "One", "thehive_alert_title": "\U0001f600"}]}))
    assert read_batch(path).sets[0].parameters.thehive_alert_title == "\U0001f600"


def test_a_matrix_that_explodes_is_refused_before_it_is_built(tmp_path: Path) -> None:
    names = [f"match_tags: [{', '.join('a' * n for n in range(1, 50))}]"]
    names += [f"{name}: [{', '.join(map(str, range(1, 60)))}]" for name in ("tlp", "pap", "warninglist_id")]
    text = "matrix:\n  " + "\n  ".join(names)
    assert "10,063,571 combinations" in problems(written(tmp_path, text))[0]


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read"):
        read_batch(tmp_path / "absent.yaml")
    path = tmp_path / "latin.csv"
    path.write_bytes("warninglist_name\nfür\n".encode("latin-1"))
    with pytest.raises(ParameterError, match="not UTF-8"):
        read_batch(path)


def test_a_column_of_csv_is_a_parameter_and_an_empty_cell_is_not_given(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeffwarninglist_name,warninglist_values,tlp\n"
        'One,"a.example # x\nb.example",\n\nTwo,"[c.example, ""d # e""]",red\n',
        "runs.csv",
    )
    one, two = read_batch(path).sets
    assert (one.line, one.parameters.warninglist_values) == (2, ["a.example # x", "b.example"])
    assert one.parameters.tlp == "amber"
    assert (two.line, two.parameters.warninglist_values, two.parameters.tlp) == (5, ["c.example", "d # e"], "red")


def test_problems_of_csv_are_told_at_once_with_their_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'warninglist_name,warninglist_valus,tlp,tlp\nOne,"a\nb",,\nTwo,a,b,c,d\n,,pink,pink\n',
        "runs.csv",
    )
    assert problems(path) == [
        "1: the column tlp is there twice: remove one",
        "1: warninglist_valus is no parameter: did you mean warninglist_values?",
        "4: there are 5 cells for 4 columns: quote a cell with commas",
        "5: tlp is none of clear, green, amber, amber+strict, red",
    ]
    assert problems(written(tmp_path, 'warninglist_name\n"One" x\n', "bad.csv"))[0].startswith("2: this is not CSV")


def test_a_slip_in_a_column_is_told_once_however_many_rows_there_are(tmp_path: Path) -> None:
    text = "\nwarninglist_nam,tlp,\n" + "One,red,\n" * 3 + "One,red,x\n" * 2
    assert problems(written(tmp_path, text, "runs.csv")) == [
        "2: a column that holds values has no name",
        "2: warninglist_nam is no parameter: did you mean warninglist_name?",
    ]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_columns_that_no_comma_separates_are_told_in_a_line(tmp_path: Path, mark: str) -> None:
    text = f"\ufeffwarninglist_name{mark}tlp\nOne{mark}red\nTwo, and more{mark}red\n"
    words = "1: the columns are separated by semicolons or tabs: separate them by commas"
    assert problems(written(tmp_path, text, "runs.csv")) == [words]


def test_a_cell_may_hold_a_long_lists_entries(tmp_path: Path) -> None:
    entries = [f"host-{number}.example" for number in range(10_000)]
    lines = "\n".join(entries)
    path = written(tmp_path, f'warninglist_name,warninglist_values\nOne,"{lines}"\n', "runs.csv")
    assert read_batch(path).sets[0].parameters.warninglist_values == entries
