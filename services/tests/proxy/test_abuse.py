"""Miners that waste everybody's time: told, counted, slowed down or shut out, while the others mine on."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from services.proxy.options import Limits
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    import pytest

    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started


def limit_hits(proxy: Proxy, limit: str) -> float:
    labels = {"pool_label": "normal", "limit": limit}
    return proxy.registry.get_sample_value("sharehouse_miner_limits_hit_total", labels) or 0.0


async def test_too_many_connections_of_one_address(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, limits=Limits(connections_per_address=2)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as first, TalkingMiner(miner_port(proxy)) as second:
            job = await first.start()
            async with TalkingMiner(miner_port(proxy)) as third:
                assert (await third.read())["error"] == [20, "too many connections from 127.0.0.1", None]
                await third.closed()
            async with TalkingMiner(miner_port(proxy), local="127.0.0.2") as elsewhere:
                await elsewhere.start()
            assert (await first.submit(job))["result"] is True
            assert limit_hits(proxy, "connections_per_address") == 1
            refused = {"pool_label": "normal", "reason": "connections_per_address"}
            assert proxy.registry.get_sample_value("sharehouse_miner_connections_refused_total", refused) == 1
            await second.start()
        while proxy.listeners["normal"].connections:
            await asyncio.sleep(0.01)
        async with TalkingMiner(miner_port(proxy)) as later:
            await later.start()


async def test_who_speaks_before_it_is_told_why_it_may_not_come_in_can_read_it(
    started: Started, pool: ScriptedPool
) -> None:
    """To close on what was not read is a reset, with which many a miner throws away what it was told before."""
    async with started(pool.port, limits=Limits(connections_per_address=1)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as first:
            job = await first.start()
            with socket.create_connection(("127.0.0.1", miner_port(proxy)), timeout=30) as second:
                # There before the proxy can look at the connection.
                second.sendall(b'{"id":1,"method":"mining.subscribe","params":[]}\n' * 100)
                with second.makefile("rb") as answers:
                    told = await asyncio.to_thread(answers.read)  # a reset would raise here
            assert b"too many connections from 127.0.0.1" in told
            assert (await first.submit(job))["result"] is True


async def test_mostly_invalid_shares_end_in_a_ban(
    started: Started, pool: ScriptedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = Limits(invalid_shares=5, ban_seconds=0.6)
    async with started(pool.port, limits=limits) as proxy, TalkingMiner(miner_port(proxy), local="127.0.0.2") as other:
        job = await other.start()
        async with TalkingMiner(miner_port(proxy)) as hostile:
            share = hostile.share(await hostile.start())
            assert (await hostile.ask("mining.submit", share))["result"] is True
            for _ in range(5):
                assert (await hostile.ask("mining.submit", share))["error"][0] == 22
            assert (await hostile.answer(None))["error"][1].startswith("mostly invalid shares; banned for")
            await hostile.closed()
        async with TalkingMiner(miner_port(proxy)) as hostile:
            assert "banned for" in (await hostile.read())["error"][1]
            await hostile.closed()
        assert proxy.registry.get_sample_value("sharehouse_miner_bans_total") == 1
        assert proxy.registry.get_sample_value("sharehouse_miner_addresses_banned") == 1
        assert limit_hits(proxy, "banned") == 1
        assert len([line for line in capsys.readouterr().out.splitlines() if " ban " in line]) == 1
        assert (await other.submit(job))["result"] is True
        await asyncio.sleep(0.7)
        async with TalkingMiner(miner_port(proxy)) as reformed:
            assert (await reformed.submit(await reformed.start(), start=1000))["result"] is True


async def test_shares_of_firmware_that_rounds_down_are_no_reason_for_a_ban(
    started: Started, pool: ScriptedPool
) -> None:
    md = 1.5 * 2.0**-20
    async with started(pool.port, limits=Limits(invalid_shares=3)) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start(password=f"md={md}")
        job = await miner.job()
        nonce = 0
        for _ in range(6):
            share = miner.share(job, at_least=2.0**-20, below=md, start=nonce)
            assert (await miner.ask("mining.submit", share))["error"][0] == 23
            nonce = int(share[4], 16) + 1
        assert (await miner.submit(job, at_least=md, start=nonce))["result"] is True
        for _ in range(3):
            share = miner.share(job, below=2.0**-20, start=nonce)
            assert (await miner.ask("mining.submit", share))["error"][0] == 23
            nonce = int(share[4], 16) + 1
        await miner.closed()


async def test_what_the_pool_refuses_is_no_reason_for_a_ban(started: Started) -> None:
    refusal = {"result": None, "error": [23, "no", None]}
    async with (
        ScriptedPool(Script(submit=lambda _: refusal)) as pool,
        started(pool.port, limits=Limits(invalid_shares=3)) as proxy,
        TalkingMiner(miner_port(proxy)) as miner,
    ):
        job = await miner.start()
        for number in range(8):
            assert (await miner.submit(job, start=1000 * number))["error"][0] == 23


async def test_to_send_a_share_again_that_the_pool_never_answered_is_no_reason_for_a_ban(started: Started) -> None:
    script = Script(submit=lambda _: None)
    async with (
        ScriptedPool(script) as pool,
        started(pool.port, limits=Limits(invalid_shares=3)) as proxy,
        TalkingMiner(miner_port(proxy)) as miner,
    ):
        share = miner.share(await miner.start())
        asked = miner.send("mining.submit", share)
        silent = await pool.connection()
        await silent.called("mining.submit")
        silent.drop()
        assert (await miner.answer(asked))["error"][1] == "No verdict from the pool"
        for _ in range(8):
            assert (await miner.ask("mining.submit", share))["error"][0] == 22
        assert len(silent.params("mining.submit")) == 1

        script.submit = lambda _: {"result": True, "error": None}
        share = miner.share(await miner.job(), start=1000)
        assert (await miner.ask("mining.submit", share))["result"] is True
        for _ in range(3):  # the first one that the pool did answer
            assert (await miner.ask("mining.submit", share))["error"][0] == 22
        await miner.closed()


async def test_to_send_a_share_again_whose_pool_is_gone_is_no_reason_for_a_ban(started: Started) -> None:
    limits = Limits(invalid_shares=3)
    async with ScriptedPool() as pool, started(pool.port, limits=limits) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            pool.close()
            while any(one.is_alive for one in proxy.listeners["normal"].pool.upstreams):
                await asyncio.sleep(0.01)
            share = miner.share(job)
            codes = [(await miner.ask("mining.submit", share))["error"][0] for _ in range(8)]
            assert codes == [21] + 7 * [22]


async def test_shares_in_the_names_of_others(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, limits=Limits(invalid_shares=4)) as proxy:
        async with TalkingMiner(miner_port(proxy), local="127.0.0.2") as victim, TalkingMiner(miner_port(proxy)) as foe:
            job = await victim.start("victim.rig")
            foes_job = await foe.start("foe.rig")
            for number in range(4):
                share = foe.share(foes_job, worker="victim.rig", start=1000 * number)
                assert (await foe.ask("mining.submit", share))["error"][0] == 24
            await foe.closed()
            assert (await victim.submit(job, worker="victim.rig"))["result"] is True


async def test_a_flood_of_messages_is_read_at_the_rate_that_is_allowed(started: Started, pool: ScriptedPool) -> None:
    limits = Limits(messages_per_second=100.0)
    async with started(pool.port, limits=limits) as proxy, TalkingMiner(miner_port(proxy)) as other:
        await other.start()
        async with TalkingMiner(miner_port(proxy)) as flood:
            await flood.start()
            began = time.monotonic()
            for number in range(20_000):
                flood.send("mining.ping", [], f"p{number}")
            for _ in range(20):
                await other.ask("mining.ping", [])
            # Ten seconds' worth at once, then as many as are allowed; the other one was served long before its end.
            assert (await flood.answer("p1200"))["result"] == "pong"
            assert time.monotonic() - began > 1.0
            assert "100 a second" in (await flood.told("client.show_message"))[0]
        assert limit_hits(proxy, "messages_per_second") >= 1


async def test_endless_worker_names(started: Started, pool: ScriptedPool) -> None:
    limits = Limits(workers=2, new_workers_a_day=5)
    async with started(pool.port, limits=limits) as proxy:
        for connection in range(3):
            async with TalkingMiner(miner_port(proxy)) as miner:
                answers = [await miner.ask("mining.authorize", [f"w{connection}.{n}"]) for n in range(3)]
                told = [answer["error"] and answer["error"][0] for answer in answers]
                assert told == ([None, None, 24] if connection < 2 else [None, 24, 24])
        async with TalkingMiner(miner_port(proxy)) as known:
            assert (await known.submit(await known.start("w0.1"), worker="w0.1"))["result"] is True
        assert limit_hits(proxy, "workers") == 2
        assert limit_hits(proxy, "new_workers_a_day") == 2
