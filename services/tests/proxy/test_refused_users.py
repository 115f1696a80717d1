"""A worker's own name at the pool, refused: tried again, not at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.patience import Patience
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.tests.proxy.conftest import Started

AUTHORIZE = frozenset({"mining.authorize"})
NOT_KNOWN: dict[str, Any] = {"result": None, "error": [24, "Unauthorized worker", None]}


@pytest.fixture(params=["dedicated", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


async def test_a_name_that_the_pool_refused_is_tried_again_until_it_is_known(started: Started) -> None:
    pause_seconds = 0.1
    script = Script(refused=AUTHORIZE, submit=lambda _: NOT_KNOWN)
    patience = Patience(refused_seconds=pause_seconds)
    async with ScriptedPool(script) as pool, started(pool.port, user="w.{worker}", patience=patience) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (await miner.submit(job))["error"] == NOT_KNOWN["error"]
            upstream = await pool.connection()
            for nonce in (5_000, 10_000, 15_000):
                # The pauses are 0.1, 0.2 and 0.4 s: after so long each share asks anew.
                await asyncio.sleep(nonce / 5_000 * 2 * pause_seconds)
                assert (await miner.submit(job, start=nonce))["error"] == NOT_KNOWN["error"]
            assert upstream.params("mining.authorize") == [["w.rig", "pool-password"]] * 4

            script.refused, script.submit = frozenset(), lambda _: {"result": True, "error": None}
            await asyncio.sleep(10 * pause_seconds)
            for nonce in (20_000, 25_000):
                assert (await miner.submit(job, start=nonce))["result"] is True
                await asyncio.sleep(2 * pause_seconds)
            assert len(upstream.params("mining.authorize")) == 5
        assert len(pool.connections) == 1
        refused = "sharehouse_pool_users_refused_total"
        assert proxy.registry.get_sample_value(refused, {"pool_label": "normal"}) == 4


async def test_a_name_that_the_pool_refused_is_left_alone_for_a_while(started: Started) -> None:
    script = Script(refused=AUTHORIZE, submit=lambda _: NOT_KNOWN)
    async with ScriptedPool(script) as pool, started(pool.port, user="w.{worker}") as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            for nonce in range(0, 50_000, 5_000):
                assert (await miner.submit(job, start=nonce))["error"] == NOT_KNOWN["error"]
            assert len((await pool.connection()).params("mining.authorize")) == 1
