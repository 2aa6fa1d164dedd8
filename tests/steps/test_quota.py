"""The budget of a key: never more than a minute and a day grant, and hardly less."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from misp_playbook_lib.errors import SettingsError
from misp_playbook_lib.model.modules import MODULE_TABLE, Quota
from misp_playbook_lib.report.archive import state_folder
from misp_playbook_lib.steps.quota import DAY, MINUTE, Booking, Later, Left, QuotaLedger, UsedUp

FREE_TIER = Quota(per_minute=4, per_day=500)
START = 1_700_000_000.0
Open = Callable[..., QuotaLedger]


@pytest.fixture
def ledger(tmp_path: Path) -> Open:
    def made(quota: Quota = FREE_TIER, key: str = "key") -> QuotaLedger:
        return QuotaLedger(key, quota, tmp_path / "state" / "quota.sqlite")

    return made


class Run:
    """Works off lookups of given prices under a clock of its own, and logs every call as it is accounted."""

    def __init__(self, ledger: QuotaLedger, costs: list[int], now: float) -> None:
        self.ledger, self.left, self.now = ledger, costs, now
        self.debits: list[tuple[float, int]] = []
        self.used_up: UsedUp | None = None

    def step(self) -> bool:
        """Put one question or let time pass; False when there is nothing to do any more."""
        if not self.left:
            return False
        outcome = self.ledger.reserve(set(self.left), self.now)
        if isinstance(outcome, UsedUp):
            self.used_up = outcome
            return False
        if isinstance(outcome, Later):
            assert outcome.at > self.now
            self.now = outcome.at
            return True
        self.left.remove(outcome.calls)
        portions = range(0, outcome.calls, 4)
        self.debits += [(self.now + part * 15, min(4, outcome.calls - part)) for part in portions]
        return True


def most_in(window: float, debits: list[tuple[float, int]]) -> int:
    """The most calls that any window of this length holds."""
    return max(sum(calls for at, calls in debits if start <= at < start + window) for start, _ in debits)


@pytest.mark.parametrize("seed", range(3))
def test_seed_defect_18_500_lookups_never_exceed_a_window_and_use_95_percent_of_it(ledger: Open, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same lookups in every run
    calls = MODULE_TABLE["virustotal_public"].calls
    costs = [calls[kind] for kind in chance.choices(("md5", "hostname", "ip-dst"), k=500)]
    debits: list[tuple[float, int]] = []
    now, days, busy = START, 0, 0.0
    while costs:
        run = Run(ledger(), costs, now)
        while run.step():
            pass
        debits += run.debits
        busy += run.debits[-1][0] + MINUTE - run.debits[0][0]
        days += 1
        if run.used_up:
            spent = sum(each for at, each in debits if at > run.now - DAY)
            assert spent >= 0.95 * 500
            assert run.used_up.at is not None
            now = run.used_up.at + DAY / 2  # a run a day at most, as its scheduler has it
    assert days >= 3
    assert most_in(MINUTE, debits) == 4
    assert most_in(DAY, debits) <= 500
    assert sum(each for _, each in debits) >= 0.95 * 4 * busy / MINUTE


def test_a_lookup_dearer_than_a_minute_goes_when_the_window_is_empty_and_debits_the_next(ledger: Open) -> None:
    book = ledger()
    assert isinstance(book.reserve([2], START), Booking)
    assert book.reserve([6], START + 1) == Later(START + 60)
    assert isinstance(book.reserve([6], START + 60), Booking)
    assert book.reserve([4], START + 61) == Later(START + 180)
    assert isinstance(book.reserve([2], START + 120), Booking)


def test_a_minute_holds_its_calls_and_not_one_more(ledger: Open) -> None:
    book = ledger()
    assert all(isinstance(book.reserve([1], START + second), Booking) for second in range(4))
    assert book.reserve([1], START + 4) == Later(START + 60)


def test_what_fills_the_window_goes_first(ledger: Open) -> None:
    book = ledger()
    first = book.reserve([2, 4, 6], START)
    second = book.reserve([2, 4, 6], START + 60)
    assert isinstance(first, Booking)
    assert first.calls == 6
    assert isinstance(second, Booking)
    assert second.calls == 2


def test_a_lookup_counts_from_when_it_was_over_and_with_the_calls_it_made(ledger: Open) -> None:
    book = ledger()
    booking = book.reserve([4], START)
    assert isinstance(booking, Booking)
    book.settle(booking, 1, START + 5)
    assert isinstance(book.reserve([2], START + 6), Booking)
    assert book.reserve([4], START + 7) == Later(START + 66)


def test_a_used_up_day_says_when_there_is_room_again(ledger: Open) -> None:
    book = ledger(Quota(per_minute=0, per_day=10))
    assert isinstance(book.reserve([6], START), Booking)
    assert isinstance(book.reserve([4], START + 100), Booking)
    assert book.reserve([2, 6], START + 200) == UsedUp(START + DAY)
    assert book.reserve([11], START + 200) == UsedUp(None)
    assert isinstance(book.reserve([6], START + DAY), Booking)


def test_what_fits_the_day_goes_although_something_dearer_does_not(ledger: Open) -> None:
    book = ledger(Quota(per_minute=0, per_day=10))
    assert isinstance(book.reserve([6], START), Booking)
    outcome = book.reserve([2, 6], START)
    assert isinstance(outcome, Booking)
    assert outcome.calls == 2


def test_two_runs_share_the_budget_of_a_key_and_other_keys_have_their_own(ledger: Open) -> None:
    assert isinstance(ledger().reserve([4], START), Booking)
    assert ledger().reserve([4], START + 1) == Later(START + 60)
    assert isinstance(ledger(key="another").reserve([4], START + 1), Booking)


def test_runs_at_the_same_moment_get_no_more_than_one_budget_together(ledger: Open) -> None:
    granted: list[int] = []
    together = threading.Barrier(4)

    def run() -> None:
        book = ledger(Quota(per_minute=0, per_day=60))
        together.wait()
        outcomes = [book.reserve([2, 4], START) for _ in range(10)]
        granted.extend(outcome.calls for outcome in outcomes if isinstance(outcome, Booking))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 60


def test_a_refusal_holds_every_run_with_the_key(ledger: Open) -> None:
    ledger().hold_until(START + 90)
    assert ledger().reserve([4], START) == Later(START + 90)
    assert isinstance(ledger(key="another").reserve([4], START), Booking)


def test_a_clock_that_was_put_back_blocks_nothing_for_long(ledger: Open) -> None:
    book = ledger(Quota(per_minute=4, per_day=4))
    assert isinstance(book.reserve([4], START + 365 * DAY), Booking)
    book.hold_until(START + 365 * DAY)
    assert isinstance(book.reserve([4], START), Booking)


def test_the_file_is_closed_to_others_and_holds_no_key(ledger: Open, tmp_path: Path) -> None:
    book = ledger(key="a-very-secret-key")
    book.reserve([1], START)
    file = tmp_path / "state" / "quota.sqlite"
    assert b"a-very-secret-key" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_cannot_be_used_is_said_in_one_line(ledger: Open, tmp_path: Path) -> None:
    file = tmp_path / "state" / "quota.sqlite"
    file.parent.mkdir()
    file.write_text("this is no database, it is a text of some length")
    with pytest.raises(SettingsError, match=r"quota.sqlite cannot be used \(file is not a database\): .* or delete it"):
        ledger()


def test_the_file_lies_where_state_belongs(tmp_path: Path) -> None:
    assert state_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "misp-playbook"
    assert state_folder({}) == Path.home() / ".local/state/misp-playbook"
    assert state_folder({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local/state/misp-playbook"


def test_what_is_left_follows_the_windows_and_looking_costs_nothing(ledger: Open) -> None:
    one = ledger()
    assert one.left(START) == Left(4, 500, None)
    assert isinstance(one.reserve({3}, START), Booking)
    assert one.left(START) == one.left(START) == Left(1, 497, None)
    assert one.left(START + MINUTE) == Left(4, 497, None)
    assert one.left(START + DAY) == Left(4, 500, None)


def test_a_lookup_dearer_than_a_minute_leaves_none_of_it_and_a_refusal_says_until_when(ledger: Open) -> None:
    one = ledger()
    one.reserve({6}, START)
    assert one.left(START) == Left(0, 494, None)
    assert one.left(START + MINUTE) == Left(2, 494, None)
    one.hold_until(START + 2 * MINUTE)
    assert one.left(START + MINUTE).until == START + 2 * MINUTE
    assert one.left(START + 2 * MINUTE).until is None
    assert ledger(Quota(per_day=10)).left(START).per_minute == 0
