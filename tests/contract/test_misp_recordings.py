"""The sandbox's MISP answers what a real MISP 2.5.1 answered."""

import pytest
from misp_replay import LEFT_OUT, MORE_LEFT_OUT, Replay, exchanges

from misp_playbook_lib.sandbox.misp import Misp


@pytest.mark.parametrize("seed", [None, 1, 2026])
def test_every_recorded_exchange_is_answered_alike(seed: int | None) -> None:
    recorded = exchanges()
    with Misp(demo=False) as misp:
        replay = Replay(misp, seed)
        replay.set_up(recorded)
        replay.run(recorded)
    assert replay.differing == {}
    assert replay.left_out == list(LEFT_OUT)
    assert len(replay.equal) == len(recorded) - len(LEFT_OUT)


def test_every_further_recorded_exchange_is_answered_alike() -> None:
    recorded = exchanges("more")
    with Misp(demo=False) as misp:
        replay = Replay(misp)
        replay.set_up_more()
        replay.run(recorded)
    assert replay.differing == {}
    assert replay.left_out == [exchange["name"] for exchange in recorded if exchange["name"] in MORE_LEFT_OUT]
