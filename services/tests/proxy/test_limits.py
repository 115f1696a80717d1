"""Bounds on what one peer can cost, and that others do not pay for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from services.proxy.options import Limits
from services.tests.conftest import unused_port
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.tests.proxy.conftest import Started


async def test_a_line_without_end(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as other:
        job = await other.start()
        async with TalkingMiner(miner_port(proxy)) as hostile:
            hostile.write(b"x" * 10_000_000)
            assert "longer than" in (await hostile.read())["error"][1]
            await hostile.closed()
        assert (await other.submit(job))["result"] is True


async def test_a_connection_that_never_subscribes(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, limits=Limits(handshake_seconds=1.5)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as subscribed, TalkingMiner(miner_port(proxy)) as other:
            await subscribed.start()
            await other.ask("mining.authorize", ["w"])
            assert "no mining.subscribe came" in (await other.read())["error"][1]
            await other.closed()
            hits = {"pool_label": "normal", "limit": "handshake_seconds"}
            assert proxy.registry.get_sample_value("sharehouse_miner_limits_hit_total", hits) == 1
            assert (await subscribed.ask("mining.ping", []))["result"] == "pong"


async def test_while_the_pool_is_away_the_handshake_takes_as_long_as_it_takes(started: Started) -> None:
    port = unused_port()
    async with started(port, limits=Limits(handshake_seconds=0.6)) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        configure = miner.send("mining.configure", [["version-rolling"], {}])
        await asyncio.sleep(1.0)
        async with ScriptedPool(port=port):
            assert (await miner.answer(configure))["result"]["version-rolling"] is True
            assert (await miner.submit(await miner.start()))["result"] is True


async def test_an_idle_connection(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, limits=Limits(idle_seconds=1.5)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as talks, TalkingMiner(miner_port(proxy)) as idle:
            await talks.start()
            await idle.start()
            silence = asyncio.create_task(idle.closed())
            while not silence.done():
                assert (await talks.ask("mining.ping", []))["result"] == "pong"
                await asyncio.sleep(0.05)
            assert (await talks.ask("mining.ping", []))["result"] == "pong"
            assert idle.log[-1]["error"][1] == "idle for too long"
            hits = {"pool_label": "normal", "limit": "idle_seconds"}
            assert proxy.registry.get_sample_value("sharehouse_miner_limits_hit_total", hits) == 1


async def test_too_many_connections(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, limits=Limits(connections=1)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as first, TalkingMiner(miner_port(proxy)) as second:
            assert (await second.read())["error"][1] == "too many connections"
            await second.closed()
            assert (await first.submit(await first.start()))["result"] is True


@pytest.mark.parametrize(
    "junk", [b"{'id': 1}\n", b'{"id":1}\n', b"[]\n", b'{"method":7}\n', b"\xff\xfe\n", b"[" * 9000 + b"\n"]
)
async def test_some_junk_is_borne_and_much_is_not(started: Started, pool: ScriptedPool, junk: bytes) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start()
        miner.write(junk * (Limits().junk_lines - 1))
        assert (await miner.submit(job))["result"] is True
        miner.write(junk)
        await miner.closed()
        lines = proxy.registry.get_sample_value("sharehouse_miner_junk_lines_total", {"pool_label": "normal"})
        assert lines == Limits().junk_lines


async def test_a_slow_reader_is_cut_off_and_others_are_not(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, limits=Limits(queued_bytes=20_000)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as slow, TalkingMiner(miner_port(proxy)) as other:
            await slow.subscribe()
            await other.start()
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            upstream = await pool.connection()
            big = make_job("big", coinbase2=b"\xee" * 100_000)
            listener = proxy.listeners["normal"]
            for number in range(100):
                upstream.notify(make_job(f"big{number}", coinbase2=big.coinbase2))
                await asyncio.sleep(0.01)
                if len(listener.connections) == 1:
                    break
            assert len(listener.connections) == 1
            assert (await other.ask("mining.ping", []))["result"] == "pong"


async def test_with_too_many_unanswered_submits_nothing_more_is_read(started: Started) -> None:
    script = Script(submit=lambda _: None)
    limits = Limits(unanswered_requests=50)
    async with ScriptedPool(script) as pool, started(pool.port, limits=limits) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            share = miner.share(job)
            for nonce in range(3000):
                miner.send("mining.submit", [*share[:4], f"{nonce:08x}"])
                if nonce % 100 == 0:
                    await asyncio.sleep(0.005)
            upstream = await pool.connection()
            await asyncio.sleep(0.3)
            unanswered = upstream.params("mining.submit")
            assert 50 <= len(unanswered) < 2500
            script.submit = lambda _: {"result": True, "error": None}
            for request in list(upstream.requests):
                if request["method"] == "mining.submit":
                    upstream.send({"id": request["id"], "result": True, "error": None})
            await upstream.called("mining.submit", 2990)


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_slow_sender_is_understood(started: Started, pool: ScriptedPool, size: int) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        data = b'\r\n\n{"id": 1, "method": "mining.subscribe", "params": []}\r\n'
        for start in range(0, len(data), size):
            miner.write(data[start : start + size])
            await asyncio.sleep(0.001)
        assert (await miner.answer(1))["result"][2] == 4
