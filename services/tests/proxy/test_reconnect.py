"""How the proxy dials a pool again, and how a miner is asked to come back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from services.proxy.endpoint import PoolEndpoint
from services.proxy.options import PoolOptions
from services.proxy.patience import Patience
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started

QUICK = Patience(first_pause_seconds=0.05, longest_pause_seconds=0.4)


def counted(proxy: Proxy, name: str, **labels: str) -> float:
    return proxy.registry.get_sample_value(name, {"pool_label": "normal", **labels}) or 0.0


async def test_the_pause_before_dialling_again_grows_up_to_a_bound_with_jitter(started: Started) -> None:
    tries: list[float] = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(time.monotonic())
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, started(port, patience=QUICK) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        miner.send("mining.subscribe", [])
        async with asyncio.timeout(30):
            while len(tries) < 9:
                await asyncio.sleep(0.05)
    pauses = [after - before for before, after in zip(tries, tries[1:], strict=False)]

    # The n-th pause is at least half of 0.05 s doubled n times, and at least half of the longest in the end.
    assert all(pause > 0.9 * min(0.025 * 2**number, 0.2) for number, pause in enumerate(pauses))
    # Five draws from [0.2, 0.4] that lie within 1 ms of each other: less than one in a million.
    assert max(pauses[3:]) - min(pauses[3:]) > 0.001


async def test_a_pool_that_is_back_is_dialled_without_delay_the_next_time(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    patience = replace(QUICK, steady_seconds=0.1)
    async with ScriptedPool() as pool, started(pool.port, patience=patience) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            for number in range(4):
                await asyncio.sleep(0.15)
                (await pool.connection(number)).drop()
                assert (await miner.job()).clean_jobs is True
    # The pause grows with the failures in a row, and each of these was the first.
    losses = [line for line in capsys.readouterr().out.splitlines() if "upstream_lost" in line]
    assert len(losses) == 4
    assert all("failures=1 " in line for line in losses)


async def test_a_pool_may_send_us_to_another_port_of_its_own(started: Started) -> None:
    async with ScriptedPool(Script(job=make_job("other port"))) as other, ScriptedPool() as pool:
        async with started(pool.port, patience=QUICK) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            (await pool.connection()).call("client.reconnect", ["127.0.0.1", str(other.port), 0])
            assert (await miner.submit(await miner.job()))["result"] is True
            assert len((await other.connection()).params("mining.submit")) == 1

            # That was for once: from there the way leads back to what the operator configured.
            (await other.connection()).drop()
            assert (await miner.submit(await miner.job()))["result"] is True
            assert len((await pool.connection(1)).params("mining.submit")) == 1


async def test_a_pool_can_not_send_us_to_another_host(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    async with ScriptedPool() as elsewhere, ScriptedPool() as pool:
        async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            upstream = await pool.connection()
            upstream.call("client.reconnect", ["127.0.0.2", elsewhere.port, 0])
            assert (await miner.submit(job))["result"] is True
        assert (len(pool.connections), elsewhere.connections) == (1, [])
    assert "pool_redirect_refused" in capsys.readouterr().out


@pytest.mark.parametrize("allowed", ["127.0.0.2", "LocalHost", "*.0.0.2"])
async def test_a_pool_may_send_us_to_a_host_that_the_operator_allows(started: Started, allowed: str) -> None:
    host = "127.0.0.2" if allowed != "LocalHost" else "localhost"
    async with ScriptedPool(Script(job=make_job("elsewhere")), host=host) as elsewhere, ScriptedPool() as pool:
        options = PoolOptions("normal", 0, "127.0.0.1", pool.port, "pool-wallet", "x", reconnect_hosts=(allowed,))
        async with started(0, pools=(options,), patience=QUICK) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            (await pool.connection()).call("client.reconnect", [host, elsewhere.port, 0])
            assert (await miner.submit(await miner.job()))["result"] is True
            assert len((await elsewhere.connection()).params("mining.submit")) == 1


def test_hosts_that_a_pool_may_send_us_to() -> None:
    options = PoolOptions(
        "normal",
        0,
        "One.test",
        1,
        "w",
        fallbacks=(PoolEndpoint("two.test", 1, "w"),),
        reconnect_hosts=("three.test", "*.four.test"),
    )
    allowed = ["one.test", "TWO.test", "three.test", "a.four.test", "b.a.Four.test"]
    refused = ["", "four.test", "afour.test", "x.one.test", "three.test.evil", "a.four.test.evil"]
    assert [host for host in allowed + refused if options.may_lead_to(host)] == allowed


async def test_the_wait_that_the_pool_asks_for_is_kept(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        asked_at = time.monotonic()
        (await pool.connection()).call("client.reconnect", ["", 0, 1])
        await miner.job()
        assert time.monotonic() - asked_at >= 1


@pytest.mark.parametrize("wait", [100_000, -1, "soon", None, [7]])
async def test_a_wait_without_end_is_not_kept(started: Started, wait: object) -> None:
    patience = replace(QUICK, longest_wait_seconds=0.1)
    async with ScriptedPool() as pool, started(pool.port, patience=patience) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            (await pool.connection()).call("client.reconnect", ["", 0, wait])
            assert (await miner.submit(await miner.job()))["result"] is True
            assert len(pool.connections) == 2


async def test_a_miner_without_set_extranonce_comes_back_to_a_pool_that_gives_less(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, patience=QUICK) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            pool.script.extranonce1, pool.script.extranonce2_size = "0011", 3
            (await pool.connection()).drop()
            assert await miner.told("client.reconnect") == []
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (miner.extranonce1, miner.extranonce2_size) == (b"\x00\x11", 3)
            assert (await miner.submit(job))["result"] is True
        assert counted(proxy, "sharehouse_miner_extranonce_changes_total", way="reconnect") == 1


async def test_a_miner_that_does_not_follow_is_closed_and_each_way_is_counted(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.proxy.miner.RECONNECT_GRACE_SECONDS", 0.2)
    async with ScriptedPool() as pool, started(pool.port, patience=QUICK) as proxy:
        async with TalkingMiner(miner_port(proxy)) as deaf, TalkingMiner(miner_port(proxy)) as able:
            await able.ask("mining.extranonce.subscribe", [])
            await able.start()
            await deaf.start()
            pool.script.extranonce1, pool.script.extranonce2_size = "0011", 3
            for number in (0, 1):
                (await pool.connection(number)).drop()
            assert await able.told("mining.set_extranonce") == ["0011", 3]
            await deaf.closed()
            able.extranonce1, able.extranonce2_size = b"\x00\x11", 3
            assert (await able.submit(await able.job()))["result"] is True
        changes = "sharehouse_miner_extranonce_changes_total"
        assert [counted(proxy, changes, way=way) for way in ("set_extranonce", "reconnect")] == [1, 1]
        closed = "sharehouse_miner_connections_closed_total"
        async with asyncio.timeout(30):
            while not counted(proxy, closed, reason="extranonce does not fit"):
                await asyncio.sleep(0.01)
