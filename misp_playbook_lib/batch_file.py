"""Reads a batch file: which playbook to run with which sets of parameters, all checked before anything runs.

In YAML every set of `runs` is combined with every combination of `matrix`; `defaults` hold where neither says
otherwise. In CSV a column is a parameter, a row a set, and an empty cell is not given. Values are read as texts and
converted by the declared type alone, as in a parameter file.
"""

import csv
import difflib
import io
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.reader import ReaderError

from misp_playbook_lib.errors import ParameterError
from misp_playbook_lib.given import LIMIT, read_given
from misp_playbook_lib.parameters import PlaybookParameters, repeated_names
from misp_playbook_lib.runner import find_playbook

DEFAULT_PLAYBOOK = "create_custom_misp_warninglist"
KEYS = ("playbook", "run_timeout", "defaults", "runs", "matrix")
MAX_SETS = 100_000
"""More combinations than this are taken for a slip in `matrix`."""

_Sections = Mapping[str, tuple[int, yaml.Node]]
"""The keys of a YAML mapping: the line of each, and its value."""


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter as the file gives it: its text or texts, and the line it stands in."""

    text: str | list[str]
    line: int


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """One run to be: the parameters as texts, checked, and the line where the file begins to speak of it."""

    number: int
    line: int
    texts: Mapping[str, str | list[str]]
    parameters: PlaybookParameters

    @property
    def warninglist(self) -> str:
        """What the run's list is called: its ID wins over its name, as in a run."""
        wanted = self.parameters
        return f"ID {wanted.warninglist_id}" if wanted.warninglist_id else wanted.warninglist_name


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch file that is in order. `playbook` is a shipped one's name or a notebook's absolute path."""

    path: Path
    playbook: str
    notebook: Path
    run_timeout: float | None
    sets: tuple[ParameterSet, ...]


@dataclass(slots=True)
class _File:
    """What was found in a file so far; a problem is told once, with its line."""

    path: Path
    playbook: Given = field(default_factory=lambda: Given(DEFAULT_PLAYBOOK, 1))
    run_timeout: Given | None = None
    sets: list[tuple[int, dict[str, Given]]] = field(default_factory=list)
    problems: dict[tuple[int, str], None] = field(default_factory=dict)

    def problem(self, line: int, words: str) -> None:
        self.problems[line, words] = None

    def told(self) -> list[str]:
        return [f"{self.path}:{line}: {words}" for line, words in sorted(self.problems)]


def read_batch(path: Path, overrides: Mapping[str, str] | None = None) -> Batch:
    """Read and check a batch file.

    Args:
        path: a YAML or a CSV file, by its suffix.
        overrides: parameters as texts that win over what the file says.

    Raises:
        ParameterError: naming every problem of every set at once, as FILE:LINE: problem.

    """
    file = _File(path)
    try:
        if path.suffix.lower() == ".csv":
            _read_csv(file)
        else:
            _read_yaml(file)
    except OSError as error:
        raise ParameterError([f"{path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ParameterError([f"{path} is not UTF-8 text"]) from None
    notebook = _playbook(file)
    timeout = _timeout(file)
    sets = _checked(file, overrides or {})
    if not sets and not file.problems:
        file.problem(1, "there is no set of parameters: give runs, matrix or both")
    if file.problems:
        raise ParameterError(file.told())
    name = str(file.playbook.text)
    return Batch(path, str(notebook.absolute()) if Path(name) == notebook else name, notebook, timeout, sets)


def _checked(file: _File, overrides: Mapping[str, str]) -> tuple[ParameterSet, ...]:
    sets = []
    for number, (line, given) in enumerate(file.sets, 1):
        texts = {name: one.text for name, one in given.items()} | dict(overrides)
        try:
            sets.append(ParameterSet(number, line, texts, PlaybookParameters.from_text(texts)))
        except ParameterError as error:
            for problem in error.problems:
                name = problem.partition(" ")[0]
                about_one = name in given and not problem.startswith(f"{name} and ")
                file.problem(given[name].line if about_one else line, problem)
    return tuple(sets)


def _playbook(file: _File) -> Path:
    try:
        return find_playbook(str(file.playbook.text))
    except ParameterError as error:
        for problem in error.problems:
            file.problem(file.playbook.line, problem)
        return Path()


def _timeout(file: _File) -> float | None:
    if file.run_timeout is None:
        return None
    try:
        seconds = float(str(file.run_timeout.text))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        file.problem(file.run_timeout.line, "run_timeout is not a number of seconds above 0")
    return seconds


def _read_csv(file: _File) -> None:
    """Read a row a set (RFC 4180); a cell may hold line breaks, so a row's line is where it begins."""
    csv.field_size_limit(LIMIT)  # a cell may hold a long list's entries
    with io.StringIO(read_given(file.path).decode("utf-8-sig"), newline="") as text:
        rows = csv.reader(text, strict=True)
        begins, titles = 1, 0
        header: list[str] = []
        try:
            for row in rows:
                line, begins = begins, rows.line_num + 1
                if not any(cell.strip() for cell in row):
                    continue
                if not titles:
                    header, titles = _header(file, line, [cell.strip() for cell in row]), line
                    if not header:
                        return
                elif len(row) > len(header):
                    file.problem(
                        line, f"there are {len(row)} cells for {len(header)} columns: quote a cell with commas"
                    )
                else:
                    file.sets.append((line, dict(_cells(file, header, row, line, titles))))
        except csv.Error as error:
            file.problem(rows.line_num, f"this is not CSV: {error}")


def _header(file: _File, line: int, names: list[str]) -> list[str]:
    """Return the names of the columns, none if the file is not separated by commas."""
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        file.problem(line, "the columns are separated by semicolons or tabs: separate them by commas")
        return []
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        file.problem(line, f"the column {name} is there twice: remove one")
    return names


def _cells(file: _File, header: list[str], row: list[str], line: int, titles: int) -> Iterator[tuple[str, Given]]:
    """Yield what a row gives; a slip in a column's name is told once, with the line of the names."""
    for name, cell in zip(header, row, strict=False):
        if not cell.strip():
            continue
        if name:
            yield name, Given(cell, line if name in PlaybookParameters.model_fields else titles)
        else:
            file.problem(titles, "a column that holds values has no name")


def _read_yaml(file: _File) -> None:
    text = read_given(file.path).decode("utf-8-sig")
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        file.problem(line, f"this is not YAML: the character U+{error.character:04X} may not be in it")
        return
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        file.problem(mark.line + 1 if mark else 1, f"this is not YAML: {getattr(error, 'problem', None) or error}")
        return
    except RecursionError:
        file.problem(1, "this is nested too deeply for a batch file")
        return
    sections = _mapping(file, root, "a batch file")
    for name, (line, _) in sections.items():
        if name not in KEYS:
            file.problem(line, _no_key(name))
    for name in ("playbook", "run_timeout"):
        if name in sections:
            line, node = sections[name]
            if isinstance(node, yaml.ScalarNode):
                setattr(file, name, Given(node.value, line))
            else:
                file.problem(line, f"{name} takes one value")
    file.sets = _sets(file, sections)


def _no_key(name: str) -> str:
    if name in PlaybookParameters.model_fields:
        return f"{name} is no key of a batch file: parameters stand under defaults, runs or matrix"
    close = difflib.get_close_matches(name, KEYS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"a batch file holds {', '.join(KEYS)}"
    return f"{name} is no key of a batch file: {hint}"


def _sets(file: _File, sections: _Sections) -> list[tuple[int, dict[str, Given]]]:
    """Combine every set of `runs` with every combination of `matrix`."""
    defaults = _parameters(file, sections["defaults"][1], "defaults") if "defaults" in sections else {}
    combinations: list[dict[str, Given]] = [{}]
    runs: list[tuple[int, dict[str, Given]]] = []
    if "matrix" in sections:
        combinations = list(_combinations(file, sections["matrix"][1]))
        runs = [(sections["matrix"][0], {})]
    if "runs" in sections:
        runs = list(_runs(file, sections["runs"][1]))
    if len(runs) * len(combinations) > MAX_SETS:
        file.problem(sections["matrix"][0], f"this makes more than {MAX_SETS:,} runs")
        return []
    for (_, given), chosen in itertools.product(runs, combinations[:1]):
        for name in given.keys() & chosen.keys():
            file.problem(given[name].line, f"{name} is in matrix too: leave it out of one")
    return [(line, defaults | given | chosen) for (line, given), chosen in itertools.product(runs, combinations)]


def _runs(file: _File, node: yaml.Node) -> Iterator[tuple[int, dict[str, Given]]]:
    if not isinstance(node, yaml.SequenceNode):
        file.problem(_line(node), "runs is not a list of parameter sets: begin each with '- '")
        return
    for one in node.value:
        yield _line(one), _parameters(file, one, "a set of runs")


def _combinations(file: _File, node: yaml.Node) -> Iterator[dict[str, Given]]:
    """Yield every combination of the values that `matrix` lists for each parameter."""
    choices: dict[str, list[Given]] = {}
    total = 1
    for name, (line, values) in _mapping(file, node, "matrix").items():
        if not isinstance(values, yaml.SequenceNode) or not values.value:
            file.problem(line, f"{name} in matrix is not a list of the values to combine")
            continue
        choices[name] = [_given(file, name, value, _line(value)) for value in values.value]
        total *= len(choices[name])
    if total > MAX_SETS:
        file.problem(_line(node), f"matrix makes {total:,} combinations, more than {MAX_SETS:,}")
        return
    for chosen in itertools.product(*choices.values()):
        yield dict(zip(choices, chosen, strict=True))


def _parameters(file: _File, node: yaml.Node, what: str) -> dict[str, Given]:
    pairs = _mapping(file, node, what).items()
    return {name: _given(file, name, value, line) for name, (line, value) in pairs}


def _given(file: _File, name: str, node: yaml.Node, line: int) -> Given:
    if isinstance(node, yaml.ScalarNode):
        return Given(node.value, line)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(one, yaml.ScalarNode) for one in node.value):
        return Given([one.value for one in node.value], line)
    file.problem(line, f"{name} is neither a value nor a list of values")
    return Given("", line)


def _mapping(file: _File, node: yaml.Node | None, what: str) -> dict[str, tuple[int, yaml.Node]]:
    """Return the values of a mapping with the lines of their keys; a key that is there twice is a problem."""
    if not isinstance(node, yaml.MappingNode):
        if node is not None and node.value:
            file.problem(_line(node), f"{what} must hold one `name: value` a line")
        return {}
    for name, first, second in repeated_names(node):
        file.problem(second, f"{name} is in lines {first} and {second}: remove one")
    found: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            file.problem(_line(key), f"a name in {what} is no text")
            continue
        found[str(key.value)] = _line(key), value
    return found


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
