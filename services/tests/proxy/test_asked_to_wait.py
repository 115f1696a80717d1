"""A pool that wants its miners back later: meanwhile they work at a fallback."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from services.proxy.endpoint import PoolEndpoint
from services.proxy.options import PoolOptions
from services.proxy.patience import Patience
from services.tests.conftest import unused_port
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from services.proxy.server import Proxy
    from services.stratum.job import Job
    from services.tests.proxy.conftest import Started

    Chained = Callable[..., AbstractAsyncContextManager[Proxy]]

PATIENCE = Patience(
    first_pause_seconds=0.02,
    longest_pause_seconds=0.2,
    wait_seconds=0.5,
    longest_wait_seconds=3600.0,
    move_seconds=0.01,
    silent_seconds=3600.0,
)


@pytest.fixture(params=["dedicated", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both: a miner cannot tell them apart."""
    mode: str = request.param
    return mode


@pytest.fixture
def chained(started: Started) -> Chained:
    """Starts a proxy in front of several addresses of one pool; a context manager."""

    @asynccontextmanager
    async def start(*ports: int, **patience: float) -> AsyncIterator[Proxy]:
        first, *others = (PoolEndpoint("127.0.0.1", port, "wallet") for port in ports)
        pool = PoolOptions("normal", 0, first.host, first.port, first.user, "x", fallbacks=tuple(others))
        async with started(0, pools=(pool,), patience=replace(PATIENCE, **patience)) as proxy:
            yield proxy

    return start


@pytest.fixture
async def pools() -> AsyncIterator[list[ScriptedPool]]:
    """Three, whose jobs tell where they come from."""
    async with AsyncExitStack() as stack:
        scripts = [Script(extranonce1=f"0000000{number}", job=make_job(f"{number}")) for number in range(3)]
        yield [await stack.enter_async_context(ScriptedPool(script)) for script in scripts]


async def job_from(miner: TalkingMiner, number: int) -> Job:
    extranonce1 = bytes([0, 0, 0, number])
    while extranonce1 not in (job := await miner.job()).coinbase1:
        pass
    return job


async def test_miners_mine_on_at_the_fallback_and_return_where_the_pool_wanted_them(
    chained: Chained, pools: list[ScriptedPool]
) -> None:
    first, second, elsewhere = pools
    async with chained(first.port, second.port, longest_wait_seconds=1.5) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            asked_at = time.monotonic()
            (await first.connection()).call("client.reconnect", ["127.0.0.1", elsewhere.port, 3600])
            meanwhile = await job_from(miner, 1)
            assert meanwhile.clean_jobs is True
            assert (await miner.submit(meanwhile))["result"] is True

            back = await job_from(miner, 2)
            assert time.monotonic() - asked_at >= 1.5
            assert (await miner.submit(back))["result"] is True
            assert (await miner.submit(meanwhile, start=500))["result"] is True
        assert [len(pool.connections) for pool in pools] == [1, 1, 1]
        assert len((await elsewhere.connection()).params("mining.submit")) == 1


async def test_others_stay_at_the_pool_that_asked_one_of_them_to_wait(
    chained: Chained, pools: list[ScriptedPool]
) -> None:
    first, second, _ = pools
    async with chained(first.port, second.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (await first.connection()).call("client.reconnect", ["", 0, 3600])
        await job_from(miner, 1)
        # A request to one connection says nothing about the next one.
        assert proxy.listeners["normal"].pool.route.endpoint.port == first.port
        if proxy.listeners["normal"].pool.is_shared:
            return
        async with TalkingMiner(miner_port(proxy)) as newcomer:
            assert (await newcomer.submit(await newcomer.start()))["result"] is True
            assert len((await first.connection(1)).params("mining.submit")) == 1


async def test_of_the_fallbacks_one_that_works_is_found(chained: Chained, pools: list[ScriptedPool]) -> None:
    first, _, third = pools
    async with chained(first.port, unused_port(), third.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (await first.connection()).call("client.reconnect", ["", 0, 3600])
        assert (await miner.submit(await job_from(miner, 2)))["result"] is True
        # That one wants a pause too, and there is none left: the wait is kept, and the dead one tried in between.
        (await third.connection()).call("client.reconnect", ["", 0, 3600])
        async with ScriptedPool(pools[1].script, port=proxy.listeners["normal"].pool.route.endpoints[1].port):
            assert (await miner.submit(await job_from(miner, 1)))["result"] is True
        assert [len(pool.connections) for pool in (first, third)] == [1, 1]


async def test_where_no_fallback_works_the_wait_is_kept(chained: Chained, pools: list[ScriptedPool]) -> None:
    first = pools[0]
    async with chained(first.port, unused_port(), longest_wait_seconds=1.5) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            asked_at = time.monotonic()
            (await first.connection()).call("client.reconnect", ["", 0, 3600])
            await first.connection(1)
            assert time.monotonic() - asked_at >= 1.5
            assert (await miner.submit(await miner.job()))["result"] is True


async def test_a_fallback_that_dies_meanwhile_is_tried_again(chained: Chained, pools: list[ScriptedPool]) -> None:
    first, second, _ = pools
    async with chained(first.port, second.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (await first.connection()).call("client.reconnect", ["", 0, 3600])
        await job_from(miner, 1)
        for number in range(3):
            (await second.connection(number)).drop()
            assert (await miner.submit(await job_from(miner, 1)))["result"] is True
        assert len(first.connections) == 1


async def test_a_short_wait_is_waited_for(chained: Chained, pools: list[ScriptedPool]) -> None:
    first, second, _ = pools
    async with chained(first.port, second.port, wait_seconds=5.0) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (await first.connection()).call("client.reconnect", ["", 0, 1])
        assert (await miner.submit(await job_from(miner, 0)))["result"] is True
        assert second.connections == []


async def test_a_reload_ends_the_wait(chained: Chained, pools: list[ScriptedPool]) -> None:
    first, second, third = pools
    async with chained(first.port, second.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (await first.connection()).call("client.reconnect", ["", 0, 3600])
        await job_from(miner, 1)
        pool = proxy.listeners["normal"].pool
        pool.reconfigure(replace(pool.options, fallbacks=(PoolEndpoint("127.0.0.1", third.port, "w"),)), pool.proxy)
        assert (await miner.submit(await job_from(miner, 0)))["result"] is True
