"""Whatever goes wrong with whichever request, the message says what became of the write, and it is so."""

from pathlib import Path
from typing import get_args

import pytest
import stamina
from writing import Writer, held

from misp_playbook_lib.errors import PlaybookError
from misp_playbook_lib.model.results import Applied
from misp_playbook_lib.model.warninglist import Warninglist
from misp_playbook_lib.report.undo import UndoRecord
from misp_playbook_lib.report.written import Fate, telling, what_became
from misp_playbook_lib.sandbox import Sandbox
from misp_playbook_lib.sandbox.faults import CARRIED_OUT, Kind
from misp_playbook_lib.steps.read_back import set_enabled

KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind not in {"latency", "deadlock"})
READ_TWICE = ("/warninglists/index", "/warninglists/view")
UPDATE = (
    ("/warninglists/index", 0),
    ("/warninglists/edit", 0),
    ("/warninglists/view", 0),
    ("/warninglists/toggleEnable", 0),
    ("/warninglists/index", 1),
)
CREATE = (
    ("/warninglists/index", 0),
    ("/warninglists/add", 0),
    ("/warninglists/index", 1),
    ("/warninglists/view", 0),
    ("/warninglists/toggleEnable", 0),
    ("/warninglists/index", 2),
)
WRITTEN = (["a", "b"], False)
ENABLED = (["a", "b"], True)


@pytest.fixture(autouse=True)
def _no_pauses_between_attempts() -> object:
    with stamina.set_testing(testing=True, attempts=3, cap=True):
        yield


class Case:
    """One fault while a list is written and enabled, and what came of it."""

    def __init__(self, writer: Writer, folder: Path, *, existing: bool) -> None:
        self.sandbox, self.name = writer.sandbox, folder.name
        self.before = (["a"], False) if existing else None
        if existing:
            self.sandbox.misp.add_warninglist(self.name, "string", "known", [("a", "")], ["domain"], enabled=False)
        writer.record = UndoRecord(folder, writer.misp.server.url)
        planned = writer.plan("append", *(["b"] if existing else ["a", "b"]), name=self.name)
        self.run = lambda: self._enable(writer, writer.apply(planned))
        self.record = writer.record

    def _enable(self, writer: Writer, applied: Applied) -> None:
        assert applied.warninglist is not None
        with telling(writer.record, self.name):
            set_enabled(writer.misp, applied.warninglist, writer.record, enabled=True)

    @property
    def there(self) -> tuple[list[str], bool] | None:
        found = self.sandbox.misp.warninglist(self.name)
        return (held(self.sandbox, self.name), bool(found["enabled"])) if found else None

    def fate(self) -> Fate | None:
        """Run, and return the one word that the error says, None without an error."""
        try:
            self.run()
        except PlaybookError as error:
            message = str(error)
        else:
            return None
        words = [fate for fate in Fate if fate in message.lower()]
        assert len(words) == 1, message
        assert what_became(self.record.folder, self.name).fate is words[0]
        return words[0]


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize(
    ("existing", "path", "after"), [*((True, *one) for one in UPDATE), *((False, *one) for one in CREATE)]
)
def test_what_the_message_says_of_the_write_is_so(
    sandbox: Sandbox, tmp_path: Path, existing: bool, path: str, after: int, times: int | None
) -> None:
    writer = Writer(sandbox, tmp_path)
    for kind in KINDS:
        case = Case(writer, tmp_path / kind, existing=existing)
        sandbox.misp.faults.add(path, kind, times=times, after=after)
        fate = case.fate()
        sandbox.misp.faults.clear()
        about = f"{kind}: {fate}, {case.there}"
        assert case.there in (case.before, WRITTEN, ENABLED), about
        if fate is None:
            assert case.there == ENABLED, about
        if fate is Fate.NOT_WRITTEN:
            assert case.there == case.before, about
        if fate is Fate.SEEN:
            assert case.there == WRITTEN, about
        if path not in READ_TWICE:  # what is there can be looked at
            assert fate is not Fate.NOT_SEEN, about
            assert fate is None or kind not in CARRIED_OUT, about


@pytest.mark.parametrize("kind", ["401", "403", "429", "502", "html"])
@pytest.mark.parametrize(("existing", "path"), [(True, "/warninglists/view"), (False, "/warninglists/view")])
def test_a_write_that_cannot_be_read_back_is_not_told_as_a_refusal_alone(
    sandbox: Sandbox, tmp_path: Path, existing: bool, path: str, kind: Kind
) -> None:
    case = Case(Writer(sandbox, tmp_path), tmp_path / "Mine", existing=existing)
    sandbox.misp.faults.add(path, kind)
    with pytest.raises(PlaybookError) as raised:
        case.run()
    assert case.there == WRITTEN
    for words in (
        "MISP said that it carried out the request, and that could not be read back.",
        ": sent, not seen.",
        "Look in MISP whether it is as wanted (2 entries, not enabled), or run again: nothing is written twice.",
    ):
        assert words in str(raised.value)
    sandbox.misp.faults.clear()
    case.run()
    assert case.there == ENABLED
    assert what_became(case.record.folder, "Mine").fate is Fate.SEEN


class StoppingMisp(UndoRecord):
    """A record after whose writing MISP is stopped, before the request is sent."""

    sandbox: Sandbox

    def sending(self, before: Warninglist | None, wanted: Warninglist | None) -> None:
        super().sending(before, wanted)
        self.sandbox.misp.stop()


@pytest.mark.parametrize("existing", [True, False])
def test_a_request_that_no_server_took_wrote_nothing(sandbox: Sandbox, tmp_path: Path, existing: bool) -> None:
    writer = Writer(sandbox, tmp_path)
    case = Case(writer, tmp_path / "Mine", existing=existing)
    case.record = writer.record = StoppingMisp(tmp_path / "Mine", writer.misp.server.url)
    writer.record.sandbox = sandbox
    assert case.fate() is Fate.NOT_WRITTEN


@pytest.mark.parametrize("kind", KINDS)
def test_a_toggle_whose_answer_is_unclear_is_looked_at(sandbox: Sandbox, tmp_path: Path, kind: Kind) -> None:
    case = Case(Writer(sandbox, tmp_path), tmp_path / "Mine", existing=True)
    sandbox.misp.faults.add("/warninglists/toggleEnable", kind)
    fate = case.fate()
    assert (fate, case.there) == ((None, ENABLED) if kind in CARRIED_OUT else (Fate.SEEN, WRITTEN))


def test_a_list_that_is_not_enabled_says_that_it_is_written(sandbox: Sandbox, tmp_path: Path) -> None:
    case = Case(Writer(sandbox, tmp_path), tmp_path / "Mine", existing=True)
    sandbox.misp.faults.add("/warninglists/toggleEnable", "401")
    with pytest.raises(PlaybookError, match=r"key.*written and seen \(2 entries, not enabled\)\.$"):
        case.run()


def test_running_again_what_was_not_seen_keeps_what_undoes_both(sandbox: Sandbox, tmp_path: Path) -> None:
    case = Case(Writer(sandbox, tmp_path), tmp_path / "Mine", existing=True)
    sandbox.misp.faults.add("/warninglists/view", "401", times=1)
    assert case.fate() is Fate.NOT_SEEN
    assert case.fate() is None
    before = case.record.before.read_text()
    assert '"value": "a"' in before
    assert '"value": "b"' not in before
