"""The miner's extranonce stays; the pool's may be anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.tests.proxy.conftest import Started


@pytest.mark.parametrize(
    ("extranonce1", "size", "own_bytes", "left"),
    [("aabbccdd", 8, 2, 4), ("00", 6, 2, 4), ("aabbccddeeff00", 16, 2, 4), ("", 7, 2, 4)],
)
async def test_a_pool_that_gives_enough_is_divided(
    started: Started, extranonce1: str, size: int, own_bytes: int, left: int
) -> None:
    script = Script(extranonce1=extranonce1, extranonce2_size=size)
    async with ScriptedPool(script) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (len(miner.extranonce1), miner.extranonce2_size) == (own_bytes, left)
            assert job.coinbase1.startswith(make_job().coinbase1 + bytes.fromhex(extranonce1))
            assert (await miner.submit(job))["result"] is True
            ((_, _, extranonce2, *_),) = (await pool.connection()).params("mining.submit")
    assert len(bytes.fromhex(extranonce2)) == size


@pytest.mark.parametrize(("extranonce1", "size"), [("aabbccdd", 4), ("0102030405060708", 3), ("01", 5), ("0102", 2)])
async def test_a_pool_that_gives_too_little_is_handed_through(started: Started, extranonce1: str, size: int) -> None:
    script = Script(extranonce1=extranonce1, extranonce2_size=size)
    async with ScriptedPool(script) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (miner.extranonce1.hex(), miner.extranonce2_size) == (extranonce1, size)
            assert job.coinbase1 == make_job().coinbase1
            assert (await miner.submit(job))["result"] is True


async def test_the_pools_set_extranonce_costs_a_miner_only_a_clean_job(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            old = await miner.start()
            upstream = await pool.connection()
            upstream.call("mining.set_extranonce", ["0011223344", 7])
            upstream.notify(make_job("next", clean=False))
            new = await miner.job()

            assert new.clean_jobs is True
            assert new.coinbase1.startswith(make_job().coinbase1 + bytes.fromhex("0011223344"))
            assert (await miner.submit(new))["result"] is True
            assert (await miner.submit(old))["result"] is True
            newer, older = upstream.params("mining.submit")
            assert (len(newer[2]), len(older[2])) == (14, 16)
            assert not [message for message in miner.log if message.get("method") == "mining.set_extranonce"]


async def test_a_new_extranonce_holds_from_the_next_job_on(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, silence_seconds=0.3) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            old = await miner.start()
            upstream = await pool.connection()
            upstream.call("mining.set_extranonce", ["0011223344", 7])
            again = await miner.job()
    assert again.coinbase1 == old.coinbase1


@pytest.mark.parametrize(
    ("method", "params"), [("mining.extranonce.subscribe", []), ("mining.configure", [["subscribe-extranonce"], {}])]
)
async def test_a_shape_that_does_not_fit_reaches_those_who_subscribed_to_it(
    started: Started, method: str, params: list[Any]
) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.ask(method, params)
            await miner.start()
            upstream = await pool.connection()
            upstream.call("mining.set_extranonce", ["0011", 4])
            upstream.notify(make_job("next"))

            assert await miner.told("mining.set_extranonce") == ["0011", 4]
            miner.extranonce1, miner.extranonce2_size = b"\x00\x11", 4
            job = await miner.job()
            assert job.clean_jobs is True
            assert (await miner.submit(job))["result"] is True
            assert upstream.params("mining.submit")[0][2] == "00000000"


async def test_a_shape_that_does_not_fit_sends_others_round_again(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.proxy.miner.RECONNECT_GRACE_SECONDS", 0.2)
    async with ScriptedPool() as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            upstream = await pool.connection()
            upstream.call("mining.set_extranonce", ["0011", 4])
            upstream.notify(make_job("next"))

            assert await miner.told("client.reconnect") == []
            await miner.closed()
