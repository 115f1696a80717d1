"""A pool that means harm, or is broken beyond belief: its miners stay, and those of others notice nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.options import Limits, PoolOptions
from services.proxy.server import Proxy
from services.tests.proxy.conftest import miner_port, proxy_options
from services.tests.proxy.scripted_pool import EASIEST, Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.proxy.test_strangers import counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.tests.proxy.conftest import Started
    from services.tests.proxy.scripted_pool import PoolConnection


def notice(method: str, *params: Any) -> bytes:
    return json.dumps({"id": None, "method": method, "params": list(params)}).encode() + b"\n"


def notify(**changed: Any) -> bytes:
    params = make_job("evil").notify_params()
    for position, value in changed.values():
        params[position] = value
    return notice("mining.notify", *params)


DEEP = b'{"id":null,"method":"mining.notify","params":' + b"[" * 50_000 + b"]" * 50_000 + b"}\n"
LEFT = {
    "no newline": b"x" * 5_000_000,
    "junk": b"\x00\xff{]\n" * 200,
    "deep JSON": DEEP * 101,
    "merkle branch of thousands": notify(branch=(4, ["11" * 32] * 5000)) * 101,
    "coinbase of a megabyte": notify(coinbase=(3, "ff" * 1_000_000)) * 101,
    "difficulties that are none": b"".join(
        b'{"id":null,"method":"mining.set_difficulty","params":[%s]}\n' % value
        for value in (b"-1", b"0", b"NaN", b'"nan"', b"1e400", b"1e300", b"true", b"{}", b"-1e-300") * 12
    ),
    "extranonces that are none": b"".join(
        notice("mining.set_extranonce", *params)
        for params in (["aa", 0], ["aa", -1], ["aa", 10**9], ["aa" * 1000, 4], ["zz", 4], [7, 4], []) * 16
    ),
}
"""After so much of it, a pool is left."""


@pytest.fixture
async def two_pools(tmp_path: Path) -> AsyncIterator[tuple[Proxy, ScriptedPool]]:
    """A proxy with pool "normal", for the evil, and pool "good", which serves honest miners."""
    async with ScriptedPool() as evil, ScriptedPool() as good:
        options = proxy_options(tmp_path / "spool", evil.port)
        both = (*options.pools, PoolOptions("good", 0, "127.0.0.1", good.port, "wallet"))
        async with Proxy(replace(options, pools=both)) as proxy:
            yield proxy, evil


@pytest.mark.parametrize("what", LEFT)
async def test_what_a_pool_sends_makes_it_left_and_no_miner(two_pools: tuple[Proxy, ScriptedPool], what: str) -> None:
    proxy, evil = two_pools
    async with TalkingMiner(miner_port(proxy)) as miner, TalkingMiner(miner_port(proxy, "good")) as other:
        await miner.start()
        others_job = await other.start()
        lost = counted(proxy, "upstreams_lost_total")
        (await evil.connection()).send(LEFT[what])
        assert (await other.submit(others_job))["result"] is True
        await evil.connection(1)
        assert counted(proxy, "upstreams_lost_total") > lost
        assert (await miner.submit(await miner.job()))["result"] is True
        told = [message["params"] for message in miner.log if message.get("method") == "mining.set_difficulty"]
        assert all(params == [EASIEST] for params in told)


@pytest.mark.parametrize(("extranonce1", "size"), [("aa" * 40, 8), ("aa", 0), ("aa", 17), ("aa", 10**30), ("zz", 8)])
async def test_an_absurd_extranonce_at_the_start(
    two_pools: tuple[Proxy, ScriptedPool], extranonce1: str, size: int
) -> None:
    proxy, evil = two_pools
    evil.script.extranonce1, evil.script.extranonce2_size = extranonce1, size
    async with TalkingMiner(miner_port(proxy)) as miner:
        asked = miner.send("mining.subscribe", [])
        await evil.connection(1)
        evil.script.extranonce1, evil.script.extranonce2_size = "aabbccdd", 8
        assert (await miner.answer(asked))["result"][2] == 4


async def test_endless_jobs_are_slowed_down(two_pools: tuple[Proxy, ScriptedPool]) -> None:
    proxy, evil = two_pools
    async with TalkingMiner(miner_port(proxy)) as miner, TalkingMiner(miner_port(proxy, "good")) as other:
        await miner.start()
        others_job = await other.start()
        upstream = await evil.connection()
        began = time.monotonic()
        flood(upstream, 20_000)
        assert (await other.submit(others_job))["result"] is True
        async with asyncio.timeout(30):
            while not counted(proxy, "pool_floods_total"):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        told = 0
        while True:
            try:
                async with asyncio.timeout(0.3):
                    await miner.reader.readline()
            except TimeoutError:
                break
            told += 1
            if told > 5000:
                break
        # A thousand at once, then 100 a second; each with at most one line of another kind.
        assert told <= 2 * (1000 + 256 + 100 * (time.monotonic() - began))
        assert (await other.ask("mining.ping", []))["result"] == "pong"
        assert (await miner.ask("mining.ping", []))["result"] == "pong"


def flood(upstream: PoolConnection, jobs: int) -> None:
    for number in range(jobs):
        upstream.notify(make_job(f"j{number}", ntime=1_700_000_000 + number))


@pytest.mark.parametrize(
    "error",
    [["x" * 1_000_000], [10**40, "no", None], [20, ["deep"] * 10_000, None], {"message": "y" * 100_000}, "z" * 100_000],
)
async def test_an_answer_of_absurd_size_is_handed_on_in_short(tmp_path: Path, error: Any) -> None:
    script = Script(submit=lambda _: {"result": None, "error": error})
    async with ScriptedPool(script) as pool, Proxy(proxy_options(tmp_path / "spool", pool.port)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            answer = await miner.submit(job)
            assert answer["error"]
            assert len(json.dumps(answer)) < 17_000


async def test_verdicts_that_came_with_the_end_are_handed_on(tmp_path: Path) -> None:
    script = Script(submit=lambda _: None)
    async with ScriptedPool(script) as pool, Proxy(proxy_options(tmp_path / "spool", pool.port)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            share = miner.share(job)
            asked = [miner.send("mining.submit", [*share[:4], f"{nonce:08x}"]) for nonce in range(600)]
            upstream = await pool.connection()
            await upstream.called("mining.submit", 590)
            requests = [request for request in upstream.requests if request["method"] == "mining.submit"]
            upstream.send(*({"id": request["id"], "result": True, "error": None} for request in requests))
            upstream.close()
            answers = [await miner.answer(request_id) for request_id in asked]
            assert sum(answer["result"] is True for answer in answers) == len(requests)


async def test_a_pool_that_does_not_read_is_left(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.proxy.upstream._MAX_QUEUED_BYTES", 10_000)
    limits = Limits(messages_per_second=1e9)
    async with ScriptedPool() as pool, started(pool.port, limits=limits) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            (await pool.connection()).stop_reading()
            (upstream,) = proxy.listeners["normal"].pool.upstreams
            assert upstream._transport is not None
            upstream._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            wish = 0
            # Until the kernel takes no more on the pool's behalf.
            while len(pool.connections) == 1:
                for _ in range(1000):
                    wish += 1
                    miner.send("mining.suggest_difficulty", [wish], "wish")
                await miner.ask("mining.ping", [])
                miner.log = [message for message in miner.log if "method" in message]
            while not (job := await miner.job()).clean_jobs:
                pass
            assert (await miner.submit(job))["result"] is True
