"""One handshake is kept ahead of the miners."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from services.proxy.endpoint import PoolEndpoint
from services.proxy.patience import Patience
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until

if TYPE_CHECKING:
    from typing import Any

    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started

PATIENCE = Patience(longest_pause_seconds=0.1)


def ready(proxy: Proxy) -> int:
    return sum(
        upstream.is_alive and upstream.current is not None for upstream in proxy.listeners["normal"].pool.upstreams
    )


async def until_ready(proxy: Proxy, wanted: int) -> None:
    async with asyncio.timeout(30):
        while ready(proxy) != wanted:
            await asyncio.sleep(0.01)


async def test_the_next_miner_is_served_though_the_pool_answers_no_handshake(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True) as proxy:
        async with TalkingMiner(miner_port(proxy)) as first, TalkingMiner(miner_port(proxy)) as second:
            await first.start()
            await until_ready(proxy, 2)
            pool.script.ignored = frozenset({"mining.subscribe", "mining.configure", "mining.authorize"})
            # As a miner probes that looks whether its first pool is back: one look at what comes first.
            second.send("mining.subscribe", ["bitaxe/BM1370/v2"])
            second.send("mining.authorize", ["wallet.rig", "x"])
            told = await second.read()
            assert told["id"] == 1
            assert "mining.notify" in str(told["result"][0])
            second.extranonce1, second.extranonce2_size = bytes.fromhex(told["result"][1]), told["result"][2]
            assert (await second.submit(await second.job()))["result"] is True
        assert len((await pool.connection(1)).params("mining.submit")) == 1


async def test_nothing_is_dialled_before_a_miner_speaks_stratum(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True) as proxy:
        async with TalkingMiner(miner_port(proxy)) as check:
            check.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await check.reader.read()).startswith(b"HTTP/1.1 400")
        await asyncio.sleep(0.1)
        assert pool.connections == []


async def test_a_worker_of_its_own_is_authorized_on_the_spare(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True, user="w.{worker}") as proxy:
        async with TalkingMiner(miner_port(proxy)) as first, TalkingMiner(miner_port(proxy)) as second:
            await first.start("farm.one")
            await until_ready(proxy, 2)
            assert (await second.submit(await second.start("farm.two"), worker="farm.two"))["result"] is True
        spare = await pool.connection(1)
        assert [user for user, _ in spare.params("mining.authorize")] == ["w.two"]


async def test_a_spare_that_is_lost_is_replaced_and_costs_nobody_anything(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True, patience=PATIENCE) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            await until_ready(proxy, 2)
            (await pool.connection(1)).drop()
            await pool.connection(2)
            await until_ready(proxy, 2)
            assert (await miner.submit(job))["result"] is True
            assert not [line for line in miner.log if line["method"] == "mining.notify"]


async def test_a_job_that_waited_on_the_spare_has_its_ntime_advanced(started: Started) -> None:
    async with ScriptedPool(Script(job=make_job(ntime=1_700_000_000))) as pool:
        async with started(pool.port, keeps_spare=True) as proxy, TalkingMiner(miner_port(proxy)) as first:
            await first.start()
            await until_ready(proxy, 2)
            await asyncio.sleep(1.1)
            async with TalkingMiner(miner_port(proxy)) as second:
                job = await second.start()
                assert job.ntime >= 1_700_000_001
                assert (await second.submit(job))["result"] is True


async def test_a_spare_on_which_the_pool_fell_silent_is_not_used(started: Started) -> None:
    patience = replace(PATIENCE, silent_seconds=0.1)
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True, patience=patience) as proxy:
        async with TalkingMiner(miner_port(proxy)) as first, TalkingMiner(miner_port(proxy)) as second:
            await first.start()
            await until_ready(proxy, 2)
            await asyncio.sleep(0.3)
            assert (await second.submit(await second.start()))["result"] is True
        assert (await pool.connection(1)).params("mining.submit") == []


def reconfigure(proxy: Proxy, **changes: Any) -> None:
    pool = proxy.listeners["normal"].pool
    pool.reconfigure(replace(pool.options, **changes), pool.proxy)


async def next_is_served_by(proxy: Proxy, pool: ScriptedPool, number: int) -> None:
    """One more miner, which is to get the pool's connection of that number."""
    async with TalkingMiner(miner_port(proxy)) as miner:
        assert (await miner.submit(await miner.start(), start=5_000))["result"] is True
        assert len((await pool.connection(number)).params("mining.submit")) == 1


async def test_at_a_reload_it_moves_to_the_new_address_before_a_miner_asks(started: Started) -> None:
    patience = replace(PATIENCE, move_seconds=0.01, late_seconds=0.1)
    async with ScriptedPool() as old, ScriptedPool(Script(job=make_job("new"))) as new:
        async with started(old.port, keeps_spare=True, patience=patience) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner:
                await miner.start()
                await until_ready(proxy, 2)
                reconfigure(proxy, port=new.port)
                assert (await miner.submit(await miner.job()))["result"] is True
                await until(lambda: len(new.connections) == 2)
                upstreams = proxy.listeners["normal"].pool.upstreams
                await until(lambda: [one.endpoint.port for one in upstreams] == 2 * [new.port])
                await until_ready(proxy, 2)
                mined = [len(one.params("mining.submit")) for one in new.connections]
                await next_is_served_by(proxy, new, mined.index(0))
        assert len(old.connections) == 2


async def test_a_reload_that_does_not_concern_its_address_leaves_it_alone(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            await until_ready(proxy, 2)
            reconfigure(proxy, fallbacks=(PoolEndpoint("127.0.0.1", 1, "wallet"),))
            await next_is_served_by(proxy, pool, 1)


async def test_it_goes_with_its_pool(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            await until_ready(proxy, 2)
            removed = proxy.listeners["normal"].pool
            removed.stop()
            await until(lambda: len(removed.upstreams) == 1)
            # The miner's own connection ends with the miner.
            assert (await miner.submit(job))["result"] is True
            assert len(pool.connections) == 2


async def test_a_miner_that_works_elsewhere_for_a_while_costs_no_spare(started: Started) -> None:
    patience = replace(PATIENCE, longest_wait_seconds=3600.0)
    async with ScriptedPool() as pool, ScriptedPool(Script(extranonce1="5ec0dd00")) as fallback:
        async with started(pool.port, keeps_spare=True, patience=patience) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner:
                reconfigure(proxy, fallbacks=(PoolEndpoint("127.0.0.1", fallback.port, "wallet"),))
                await miner.start()
                await until_ready(proxy, 2)
                (await pool.connection()).call("client.reconnect", ["", 0, 3600])
                assert (await miner.submit(await miner.job()))["result"] is True
                await next_is_served_by(proxy, pool, 1)


async def test_the_wait_that_the_pool_asks_for_on_it_is_kept(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, keeps_spare=True, patience=PATIENCE) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            await until_ready(proxy, 2)
            asked_at = time.monotonic()
            (await pool.connection(1)).call("client.reconnect", ["", 0, 1])
            await pool.connection(2)
            assert time.monotonic() - asked_at >= 1
