from __future__ import annotations

import io
import logging

import pytest

from async_merge_miner import AsyncMergeMiner, AsyncStratumClient
from services.miner import wording
from services.miner.rate import Rate
from services.miner.status_line import LiveLine, StatusLine
from services.tests.miner.scripted_pool import ScriptedPool, notify, set_difficulty


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 H/s"), (999, "999 H/s"), (6_150_000, "6.15 MH/s"), (1e12, "1 TH/s"), (1e30, "1e+12 EH/s")],
)
def test_hash_rates(value: float, text: str) -> None:
    assert wording.hash_rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (2.0**-20, "9.5e-07"), (1, "1"), (4294, "4.29 k"), (1.3e14, "130 T")]
)
def test_difficulties(value: float, text: str) -> None:
    assert wording.difficulty(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (42.4, "42 s"), (90, "1.5 min"), (7200, "2 h"), (1e6, "11.6 days"), (float("inf"), "never")],
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_a_rate_is_that_of_the_last_half_minute() -> None:
    rate = Rate(0, 100.0)
    assert rate.note(0, 100.0) == 0
    assert rate.note(1000, 101.0) == 1000
    for second in range(2, 100):
        latest = rate.note(1000 * second if second < 50 else 49_000 + 10 * (second - 49), 100.0 + second)
    assert latest == pytest.approx(10)


async def test_the_line_tells_what_is_expected() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [set_difficulty(0.5), notify("j1")]
        client = AsyncStratumClient("127.0.0.1", pool.port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"")
        status = StatusLine(miner)
        assert status.text().endswith("| pool away")
        await client.connect()
        await client.job_after(None)
        text = status.text()
        assert text.startswith("0 H/s on BTC+RollPoW+Tetra-PoW | shares 0 accepted, 0 rejected (0 stale) | best 0 |")
        assert "difficulty 0.5, a share in unknown time | a block in unknown time" in text
        assert status.text(len(text)) == text
        short = status.text(len(text) - 1)
        assert short == "0 H/s | +0 -0 | best 0 | of 0.5 in unknown time | block unknown time"
        assert status.text(10) == short[:10]
        await client.close()


async def test_on_a_terminal_the_log_goes_on_above_it() -> None:
    terminal = io.StringIO()
    handler = logging.StreamHandler(terminal)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        client = AsyncStratumClient("127.0.0.1", 1, "wallet.rig", "x")
        with LiveLine(StatusLine(AsyncMergeMiner(client, b"")), terminal) as line:
            line.draw(20)
            root.warning("news")
            line.draw(20)
        root.warning("afterwards")
    finally:
        root.removeHandler(handler)
    clear, drawn = "\r\x1b[K", "0 H/s | +0 -0 | bes"
    assert terminal.getvalue() == f"{clear}{drawn}{clear}news\n{drawn}{clear}{drawn}{clear}afterwards\n"
