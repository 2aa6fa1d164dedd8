"""No shape of a secret leaves in any way, and nothing from outside moves a terminal: everybody asked answers with both.

One list is worked on three times: by `run`, by `batch`, and by an analyst who steps through the notebook.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner, Result
from conftest import PLAYBOOK
from nbclient import NotebookClient
from secret_shapes import SHAPES

from misp_playbook_lib.cli import main
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.modules import Modules
from misp_playbook_lib.sandbox.server import Request, Response

KEY = "vt-K3y/with+signs=and&<more>.of@ours!"
HOST = "evil-host.net"
ADDRESS = "8.8.8.8"
MOVES = "\x1b]0;title\x07\x1b[2J\x9b2J"
NAME = f"Mine {MOVES}\nsuccess: all is well"


class Leaky(Modules):
    """Answers 400 for Shodan, naming what it should not."""

    words: dict[str, Any]

    def handle(self, request: Request) -> Response:
        if request.method == "POST" and request.json["module"] == "shodan":
            return Response(400, self.words)
        return super().handle(request)


@dataclass(frozen=True)
class Left:
    """What the runs left: their archive, the user's own folders, the receivers, and the terminal."""

    secrets: tuple[str, ...]
    archive: Path
    own: Path
    inbox: dict[str, list[Any]]
    results: tuple[Result, ...]
    outputs: str

    def files(self, pattern: str) -> str:
        folder = self.own if pattern.startswith(("cache", "state")) else self.archive
        found = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
        return "\n".join(path.read_bytes().decode("utf-8", "surrogateescape") for path in found)

    def mark(self, shape: str) -> str:
        """A text by which a shape is known wherever it got to."""
        return f"mark{list(SHAPES).index(shape):02}"

    def text(self, shape: str) -> str:
        """What is said by everybody asked: a mark, and every secret in that shape."""
        return f"{self.mark(shape)} {' '.join(SHAPES[shape](secret) for secret in self.secrets)}"


WAYS: dict[str, Callable[[Left], str]] = {
    "report.html": lambda left: left.files("*/*/report.html"),
    "run.json": lambda left: left.files("*/*/run.json"),
    "run.ipynb": lambda left: left.files("*/*/run.ipynb"),
    "summary.md": lambda left: left.files("*/*/summary.md"),
    "matches.csv": lambda left: left.files("*/*/matches.csv"),
    "enrichments.csv": lambda left: left.files("*/*/enrichments.csv"),
    "warninglists.csv": lambda left: left.files("*/*/warninglists.csv"),
    "the list as it was": lambda left: left.files("*/*/warninglist-*.json"),
    "Mattermost's file": lambda left: left.files("*/*/mattermost-*"),
    "Slack's file": lambda left: left.files("*/*/slack-*"),
    "TheHive's file": lambda left: left.files("*/*/thehive-*"),
    "Mattermost": lambda left: json.dumps(left.inbox["mattermost"], ensure_ascii=False),
    "Slack": lambda left: json.dumps(left.inbox["slack"], ensure_ascii=False),
    "TheHive": lambda left: json.dumps(left.inbox["thehive"], ensure_ascii=False),
    "batch.json": lambda left: left.files("batches/*/batch.json"),
    "the batch's page": lambda left: left.files("batches/*/index.html"),
    "the index": lambda left: left.files("index.html"),
    "stdout": lambda left: "".join(result.stdout for result in left.results),
    "stderr": lambda left: "".join(result.stderr for result in left.results),
    "the lookup cache": lambda left: left.files("cache/**/*"),
    "the state folder": lambda left: left.files("state/**/*"),
    "the outputs of an interactive notebook": lambda left: left.outputs,
}
BINARY_OR_LOSSLESS = {name for name in WAYS if name.endswith((".csv", ".json", "cache", "folder", "it was"))}
"""What no terminal shows by itself, and must read back as it was."""
WITHOUT_MARKS = {"batch.json", "the batch's page", "the index"}
"""What says of a run no more than its outcome and its list."""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    folder = tmp_path_factory.mktemp("ways")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stopped, Sandbox() as sandbox:
        sandbox.modules.stop()
        modules = stopped.enter_context(Leaky(sandbox.modules.port))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        vault = folder / "keys.py"
        sandbox.write_vault(vault)
        vault.write_text(vault.read_text().replace("'sandbox-virustotal-key'", repr(KEY)))
        slack = sandbox.slack.hook
        secrets = (KEY, sandbox.misp_key, slack, slack.rpartition("/")[2])
        nothing = Left(secrets, folder / "reports", folder, {}, (), "")
        texts = [nothing.text(shape) for shape in SHAPES]
        modules.words = {"message": f"refused {MOVES}", "errors": {"config": texts}}
        attributes = [{"type": "text", "value": text, "category": "Other"} for text in texts]
        modules.answers["virustotal_public", "domain", HOST] = {"results": {"Attribute": attributes}}
        for text in texts:
            sandbox.misp.add_event(f"{MOVES} {text}", [{"type": "domain", "value": HOST, "comment": text}])
        for shape, secret in itertools.product(SHAPES, secrets):
            sandbox.misp.add_warninglist(f"{MOVES} {nothing.mark(shape)} {SHAPES[shape](secret)}"[:255])
        listed = [(f"{number}.example", text) for number, text in enumerate(texts)]
        list_id = sandbox.misp.add_warninglist(NAME, "string", "known", listed)
        parameters = {
            "misp_modules_wait": 0,
            "warninglist_id": list_id,
            "warninglist_values": [HOST, ADDRESS],
            "send_to_mattermost_option": "via a chat message",
            "send_to_slack": True,
            "send_to_thehive": True,
        }
        file = folder / "parameters.yaml"
        file.write_text(json.dumps(parameters))
        batch = folder / "batch.yaml"
        batch.write_text(json.dumps({"runs": [parameters | {"enrich_all": True}]}))
        common = ["--vault", str(vault), "--archive", str(folder / "reports")]
        commands = [["run", str(PLAYBOOK), "-f", str(file), *common], ["batch", str(batch), *common]]
        results = [CliRunner().invoke(main, command) for command in commands]
        archived = [path.parent.name for path in sorted((folder / "reports").glob("*/*/run.json"))]
        later = [*(["show", run_id] for run_id in archived), ["runs"]]
        results += [CliRunner().invoke(main, [*command, *common[2:]]) for command in later]
        patch.setenv("MISP_PLAYBOOK_VAULT", str(vault))
        outputs = stepped_through(parameters | {"warninglist_values": [HOST, ADDRESS, "another.example"]}, folder)
        yield Left(secrets, folder / "reports", folder, sandbox.inbox(), tuple(results), outputs)


def stepped_through(parameters: dict[str, Any], folder: Path) -> str:
    """Run every cell without a runner, and return what they show."""
    notebook = nbformat.read(PLAYBOOK, as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return json.dumps([outputs, notebook.metadata.get("widgets", {})], ensure_ascii=False)


def test_the_runs_come_to_their_end_and_say_what_failed(left: Left) -> None:
    assert [result.exit_code for result in left.results] == [4, 4, 0, 0, 0], left.results[0].output
    assert {service: len(got) > 0 for service, got in left.inbox.items()} == dict.fromkeys(left.inbox, True)
    assert "[redacted]" in left.results[0].stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_a_secret_leaves(left: Left, shape: str, way: str) -> None:
    text = WAYS[way](left)
    assert text
    for secret in left.secrets:
        written = SHAPES[shape](secret)
        assert written not in text
        assert json.dumps(written)[1:-1] not in text
    for after in text.split(left.mark(shape))[1:]:
        assert "[redacted]" in after[:60] or "… (" in after[:20], after[:200]  # Slack's cells are narrow


@pytest.mark.parametrize("way", [way for way in WAYS if way not in WITHOUT_MARKS])
def test_what_was_said_with_a_secret_is_said_without_it(left: Left, way: str) -> None:
    text = WAYS[way](left)
    assert any(left.mark(shape) in text for shape in SHAPES)


@pytest.mark.parametrize("way", [way for way in WAYS if way not in BINARY_OR_LOSSLESS])
def test_nothing_moves_a_terminal(left: Left, way: str) -> None:
    text = WAYS[way](left)
    assert not set(text) & set("\x1b\x07\x9b")
    assert not any(line.startswith("success: all is well") for line in text.splitlines())
