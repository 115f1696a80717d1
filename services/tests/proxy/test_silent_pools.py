"""Pools that say nothing any more while they owe nothing: noticed, and left."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from services.proxy.endpoint import PoolEndpoint
from services.proxy.options import PoolOptions
from services.proxy.patience import Patience
from services.proxy.vardiff import VardiffOptions
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.tests.proxy.conftest import Started

EASY, HARD = 2.0**-32, 2.0**-20
STEADY = VardiffOptions(target_seconds=1000.0, window_seconds=1000.0, start=EASY, min=EASY, max=EASY)
QUICK = Patience(
    optional_seconds=0.1,
    idle_seconds=0.6,
    steady_seconds=0.2,
    first_pause_seconds=0.02,
    longest_pause_seconds=0.1,
    probe_seconds=60.0,
)
HANDSHAKE = frozenset({"mining.configure", "mining.subscribe", "mining.authorize"})


@pytest.fixture(params=["dedicated", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


def pool_at(*ports: int) -> tuple[PoolOptions, ...]:
    first, *others = (PoolEndpoint("127.0.0.1", port, "wallet") for port in ports)
    return (PoolOptions("normal", 0, first.host, first.port, first.user, "x", fallbacks=tuple(others), vardiff=STEADY),)


async def test_a_pool_that_hangs_while_it_owes_nothing_is_left_for_the_next(started: Started) -> None:
    second = Script(extranonce1="5ec0dd00", job=make_job("second"))
    async with ScriptedPool(Script(difficulty=HARD)) as first, ScriptedPool(second) as other:
        patience = replace(QUICK, handshake_seconds=0.3)
        async with started(0, pools=pool_at(first.port, other.port), patience=patience) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner:
                job = await miner.start()
                # It takes connections, as a hung process does, but not a word comes from it.
                first.script.ignored = HANDSHAKE
                while b"\x5e\xc0\xdd\x00" not in job.coinbase1:
                    job = await miner.job()
                assert job.clean_jobs is True
                assert (await miner.submit(job))["result"] is True
            assert len((await other.connection()).params("mining.submit")) == 1
        assert first.connections[0].params("mining.submit") == []


async def test_a_pool_that_has_nothing_to_say_is_dialled_anew_and_kept(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ScriptedPool(Script(difficulty=HARD)) as first, ScriptedPool() as other:
        async with started(0, pools=pool_at(first.port, other.port), patience=QUICK) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner:
                await miner.start()
                await first.connection(2)
        assert other.connections == []
    assert "the pool is silent" in capsys.readouterr().out


async def test_a_pool_that_says_something_now_and_then_is_left_alone(started: Started) -> None:
    patience = replace(QUICK, idle_seconds=3.0)
    async with (
        ScriptedPool(Script(difficulty=HARD)) as pool,
        started(0, pools=pool_at(pool.port), patience=patience) as p,
    ):
        async with TalkingMiner(miner_port(p)) as miner:
            await miner.start()
            for number in range(16):
                await asyncio.sleep(0.2)
                (await pool.connection()).notify(make_job(f"job {number}"))
                await miner.job()
        assert len(pool.connections) == 1


async def test_who_asked_for_no_work_waits_for_a_pool_that_gives_none(started: Started) -> None:
    async with ScriptedPool(Script(job=None)) as pool:
        pools = tuple(replace(one, user="w.{worker}") for one in pool_at(pool.port))
        async with started(0, pools=pools, patience=QUICK) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            await miner.subscribe()
            await asyncio.sleep(2 * QUICK.idle_seconds)
        assert len(pool.connections) == 1


async def test_who_asked_for_work_late_and_gets_none_goes_to_the_next_pool(started: Started) -> None:
    second = Script(extranonce1="5ec0dd00", job=make_job("second"))
    async with ScriptedPool(Script(job=None)) as first, ScriptedPool(second) as other:
        endpoints = tuple(PoolEndpoint("127.0.0.1", one.port, "w.{worker}") for one in (first, other))
        pools = (replace(pool_at(first.port)[0], user="w.{worker}", fallbacks=endpoints[1:]),)
        patience = replace(QUICK, handshake_seconds=0.3, idle_seconds=60.0)
        async with started(0, pools=pools, patience=patience) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            # The pool's handshake is through before anybody is there whom it could send a job.
            await miner.subscribe()
            assert (await miner.ask("mining.authorize", ["wallet.rig"]))["result"] is True
            job = await miner.job()
            assert b"\x5e\xc0\xdd\x00" in job.coinbase1
            assert (await miner.submit(job))["result"] is True
