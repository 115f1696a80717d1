"""Shares for a pool's jobs that come once their miner has left for another pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.proxy.endpoint import PoolEndpoint
from services.proxy.options import PoolOptions
from services.proxy.patience import Patience
from services.tests.conftest import unused_port
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import EASIEST, Script, ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.tests.proxy.conftest import Started
    from services.warehouse.records import Share

PATIENCE = Patience(first_pause_seconds=0.02, longest_pause_seconds=0.2, probe_seconds=0.2, move_seconds=0.01)
FALLBACKS = 2.0**-22
"""The fallback's difficulty; a tenth of a second of mining here."""


@pytest.mark.parametrize(("mode", "low_reason"), [("dedicated", "low_difficulty"), ("shared", "")])
@pytest.mark.parametrize("firsts", [EASIEST, 2.0**-20])
async def test_the_pool_that_a_late_share_is_for_says_how_hard_it_has_to_be(
    started: Started, monkeypatch: pytest.MonkeyPatch, firsts: float, low_reason: str
) -> None:
    rows: list[Share] = []
    port = unused_port()
    async with ScriptedPool(Script(difficulty=FALLBACKS, extranonce1="5ec0dd00")) as fallback:
        second = PoolEndpoint("127.0.0.1", fallback.port, "wallet")
        pool = PoolOptions("normal", 0, "127.0.0.1", port, "wallet", "x", fallbacks=(second,))
        async with started(0, pools=(pool,), patience=PATIENCE) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            append = proxy.spool.append_share

            def noted(_: object, share: Share, on_durable: Callable[[bool], None]) -> None:
                rows.append(share)
                append(share, on_durable)

            monkeypatch.setattr(type(proxy.spool), "append_share", noted)
            # In shared mode the miner's own difficulty is this one at either pool, from its first job on.
            await miner.ask("mining.authorize", ["wallet.rig", f"d={EASIEST}"])
            await miner.subscribe()
            old = await miner.job()
            async with ScriptedPool(Script(difficulty=firsts), port=port):
                while b"\x5e\xc0\xdd\x00" in (await miner.job()).coinbase1:
                    pass
                low = await miner.submit(old, below=FALLBACKS)
                assert (low["result"] is True) == (low_reason == "")
                assert (await miner.submit(old, at_least=FALLBACKS))["result"] is True
        assert len((await fallback.connection()).params("mining.submit")) == 1
    assert [(share.reason, share.pool_requested_difficulty) for share in rows] == [
        (low_reason, FALLBACKS),
        ("", FALLBACKS),
    ]
