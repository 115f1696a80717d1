"""Pools that die, hang, refuse or talk nonsense: miners go on at the next address, and return."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.endpoint import PoolEndpoint
from services.proxy.options import PoolOptions
from services.proxy.patience import Patience
from services.proxy.server import Proxy
from services.tests.conftest import unused_port
from services.tests.proxy.conftest import miner_port, proxy_options
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from services.stratum.job import Job
    from services.warehouse.records import Share

    Chained = Callable[..., AbstractAsyncContextManager[Proxy]]

QUICK = Patience(
    connect_seconds=1.0,
    handshake_seconds=0.3,
    optional_seconds=0.1,
    silent_seconds=0.3,
    steady_seconds=0.2,
    first_pause_seconds=0.02,
    longest_pause_seconds=0.2,
    probe_seconds=0.2,
    late_seconds=0.5,
    move_seconds=0.01,
)
SECOND = Script(extranonce1="5ec0dd00", job=make_job("second"))


@pytest.fixture(params=["dedicated", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both: a miner cannot tell them apart."""
    mode: str = request.param
    return mode


@pytest.fixture
def chained(tmp_path: Path, mode: str) -> Chained:
    """Starts a proxy in front of several addresses of one pool; a context manager."""

    @asynccontextmanager
    async def start(*ports: int, user: str = "wallet", **more: Any) -> AsyncIterator[Proxy]:
        first, *others = (PoolEndpoint("127.0.0.1", port, f"{user}-{number}") for number, port in enumerate(ports))
        pool = PoolOptions("normal", 0, first.host, first.port, first.user, "x", fallbacks=tuple(others))
        options = proxy_options(tmp_path / "spool", 1, pools=(pool,), **{"patience": QUICK, "mode": mode, **more})
        async with Proxy(options) as proxy:
            yield proxy

    return start


@pytest.fixture
async def second() -> AsyncIterator[ScriptedPool]:
    async with ScriptedPool(SECOND) as scripted:
        yield scripted


def is_seconds(job: Job) -> bool:
    return b"\x5e\xc0\xdd\x00" in job.coinbase1


async def told_of(event: str, capsys: pytest.CaptureFixture[str], seen: list[str]) -> str:
    """Waits for a log line."""
    async with asyncio.timeout(30):
        while True:
            seen += capsys.readouterr().out.splitlines()
            for line in seen:
                if event in line:
                    return line
            await asyncio.sleep(0.02)


async def job_of(miner: TalkingMiner, wanted: Callable[[Job], bool]) -> Job:
    while not wanted(job := await miner.job()):
        pass
    return job


async def silent(pool: ScriptedPool) -> None:
    pool.script.ignored = frozenset({"mining.configure", "mining.subscribe", "mining.authorize"})
    pool.connections[0].drop()


async def dead(pool: ScriptedPool) -> None:
    pool.close()


async def refuses(pool: ScriptedPool) -> None:
    pool.script.refused = frozenset({"mining.authorize"})
    pool.connections[0].drop()


async def without_work(pool: ScriptedPool) -> None:
    pool.script.job = None
    pool.connections[0].drop()


async def garbage(pool: ScriptedPool) -> None:
    pool.connections[0].send(b"garbage\n" * 200)


async def one_endless_line(pool: ScriptedPool) -> None:
    pool.connections[0].send(b"x" * (4 * 1024 * 1024 + 2))


@pytest.mark.parametrize("fate", [dead, silent, refuses, without_work, garbage, one_endless_line])
async def test_the_next_address_takes_over_and_the_miner_stays(
    chained: Chained, second: ScriptedPool, fate: Callable[[ScriptedPool], Awaitable[None]]
) -> None:
    patience = replace(QUICK, probe_seconds=60.0)
    async with ScriptedPool() as first, chained(first.port, second.port, patience=patience) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            old = await miner.start()
            assert (await miner.submit(old))["result"] is True
            await asyncio.sleep(QUICK.steady_seconds)
            await fate(first)
            new = await job_of(miner, is_seconds)

            assert new.clean_jobs is True
            assert (await miner.submit(new))["result"] is True
            late = await miner.submit(old, start=9_999)
            assert late["error"] == [21, "The pool connection of this job is gone", None]
        upstream = await second.connection()
        assert upstream.params("mining.authorize") == [["wallet-1", "x"]]
        assert [params[0] for params in upstream.params("mining.submit")] == ["wallet-1"]


async def test_a_pool_that_falls_silent_while_it_owes_verdicts_is_left(chained: Chained, second: ScriptedPool) -> None:
    async with ScriptedPool() as first, chained(first.port, second.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            first.script.submit = lambda _: None
            first.script.ignored = frozenset({"mining.subscribe"})
            asked = miner.send("mining.submit", miner.share(job))
            assert (await miner.submit(await job_of(miner, is_seconds)))["result"] is True
            assert (await miner.answer(asked))["error"] == [20, "No verdict from the pool", None]


async def test_a_pool_that_answers_late_but_sends_jobs_is_kept(chained: Chained, second: ScriptedPool) -> None:
    async with ScriptedPool() as first, chained(first.port, second.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            first.script.submit = lambda _: None
            asked = miner.send("mining.submit", miner.share(job))
            upstream = await first.connection()
            await upstream.called("mining.submit")
            for number in range(4):
                await asyncio.sleep(0.2)
                upstream.notify(make_job(f"later {number}", clean=False))
            upstream.send({"id": upstream.requests[-1]["id"], "result": True, "error": None})
            assert (await miner.answer(asked))["result"] is True
        assert (len(first.connections), len(second.connections)) == (1, 0)


async def test_a_silent_pool_without_shares_is_left_alone(chained: Chained, second: ScriptedPool) -> None:
    async with ScriptedPool() as first, chained(first.port, second.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (await miner.submit(job))["result"] is True
            await asyncio.sleep(3 * QUICK.silent_seconds)
            assert (await miner.submit(job, start=999))["result"] is True
        assert (len(first.connections), len(second.connections)) == (1, 0)


async def test_miners_return_to_the_first_address_and_late_shares_reach_the_one_they_leave(
    chained: Chained, second: ScriptedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    port = unused_port()
    seen: list[str] = []
    async with chained(port, second.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        old = await miner.start()
        assert is_seconds(old)
        assert f"pool=127.0.0.1:{second.port}" in await told_of("failover ", capsys, seen)
        async with ScriptedPool(port=port) as first:
            new = await job_of(miner, lambda job: not is_seconds(job))
            assert f"pool=127.0.0.1:{port}" in await told_of("pool_return ", capsys, seen)

            assert new.clean_jobs is True
            assert (await miner.submit(new))["result"] is True
            assert (await miner.submit(old))["result"] is True
            left = await second.connection()
            assert len(left.params("mining.submit")) == 1
            # What the left pool calls stale is stale.
            left.notify(make_job("next", prevhash=2))
            await left.settled()
            assert (await miner.submit(old, start=500))["error"] == [21, "Stale job", None]
            await asyncio.sleep(QUICK.late_seconds + 0.1)
            gone = await miner.submit(old, start=9_000)
            assert gone["error"][0] == 21
            assert [one.endpoint.port for one in proxy.listeners["normal"].pool.upstreams] == [port]
            assert [user for user, _ in first.connections[-1].params("mining.authorize")] == ["wallet-0"]


async def test_shares_across_the_change_have_the_difficulty_of_their_own_pool(chained: Chained) -> None:
    port = unused_port()
    hard, easy = 2.0**-22, 2.0**-32
    async with ScriptedPool(Script(difficulty=hard, extranonce1="5ec0dd00")) as second:
        async with chained(port, second.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            old = await miner.start()
            async with ScriptedPool(Script(difficulty=easy), port=port):
                await job_of(miner, lambda job: not is_seconds(job))
                low = await miner.submit(old, below=hard)
                assert low["error"][0] == 23
                assert (await miner.submit(old, at_least=hard))["result"] is True
            assert len((await second.connection()).params("mining.submit")) == 1


async def test_each_row_names_the_pool_that_its_job_came_from(
    chained: Chained, second: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[tuple[str, str]] = []
    port = unused_port()
    async with chained(port, second.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        append = proxy.spool.append_share

        def noted(_: object, share: Share, on_durable: Callable[[bool], None]) -> None:
            rows.append((share.pool, share.reason))
            append(share, on_durable)

        monkeypatch.setattr(type(proxy.spool), "append_share", noted)
        old = await miner.start()
        async with ScriptedPool(port=port):
            new = await job_of(miner, lambda job: not is_seconds(job))
            await miner.submit(old)
            await miner.submit(new)
            await miner.ask("mining.submit", ["wallet.rig", "unheard", "00000000", "00000000", "00000000"])
    first_address, second_address = f"127.0.0.1:{port}", f"127.0.0.1:{second.port}"
    assert rows == [(second_address, ""), (first_address, ""), (first_address, "unknown_job")]


async def test_with_every_address_down_miners_wait_and_the_first_that_comes_back_serves(chained: Chained) -> None:
    ports = unused_port(), unused_port()
    async with chained(*ports) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        subscribe = miner.send("mining.subscribe", [])
        await asyncio.sleep(0.4)
        assert miner.log == []
        async with ScriptedPool(SECOND, port=ports[1]):
            await miner.answer(subscribe)
            assert is_seconds(await miner.job())
            async with ScriptedPool(port=ports[0]):
                await job_of(miner, lambda job: not is_seconds(job))


@pytest.mark.parametrize("mode", ["dedicated"])
async def test_one_miners_bad_luck_moves_no_other(chained: Chained, second: ScriptedPool) -> None:
    patience = replace(QUICK, silent_seconds=60.0, detour_seconds=1.0)
    async with ScriptedPool() as first, chained(first.port, second.port, patience=patience) as proxy:
        async with TalkingMiner(miner_port(proxy)) as lucky, TalkingMiner(miner_port(proxy)) as unlucky:
            job = await lucky.start()
            await asyncio.sleep(QUICK.steady_seconds)
            # As a pool does that takes no more connections from one address.
            first.script.refused = frozenset({"mining.subscribe"})
            elsewhere = await unlucky.start()
            assert is_seconds(elsewhere)
            assert (await unlucky.submit(elsewhere))["result"] is True
            assert (await lucky.submit(job))["result"] is True
            assert proxy.listeners["normal"].pool.route.endpoint.port == first.port

            first.script.refused = frozenset()
            back = await job_of(unlucky, lambda job: not is_seconds(job))
            assert (await unlucky.submit(back))["result"] is True
        assert len(second.connections) == 1
        assert len((await first.connection()).params("mining.submit")) == 1


@pytest.mark.parametrize("mode", ["dedicated"])
async def test_a_miner_that_is_not_served_where_it_went_round_to_tries_the_first_again(chained: Chained) -> None:
    patience = replace(QUICK, silent_seconds=60.0, detour_seconds=60.0)
    nobodys = unused_port()
    async with ScriptedPool() as first, chained(first.port, nobodys, patience=patience) as proxy:
        async with TalkingMiner(miner_port(proxy)) as lucky, TalkingMiner(miner_port(proxy)) as unlucky:
            await lucky.start()
            await asyncio.sleep(QUICK.steady_seconds)
            first.script.refused = frozenset({"mining.subscribe"})
            asked = unlucky.send("mining.subscribe", [])
            await first.connection(3)
            first.script.refused = frozenset()
            assert (await unlucky.answer(asked))["error"] is None


@pytest.mark.parametrize("shape", [("0011", 8), ("00112233445566778899aabb", 16), ("", 6), ("ff", 7)])
async def test_any_extranonce_with_room_costs_only_a_clean_job(chained: Chained, shape: tuple[str, int]) -> None:
    extranonce1, size = shape
    async with ScriptedPool(Script(extranonce1=extranonce1, extranonce2_size=size, job=make_job("b"))) as other:
        async with ScriptedPool() as first, chained(first.port, other.port) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner:
                await miner.start()
                first.close()
                assert (await miner.submit(await miner.job()))["result"] is True
                assert not [line for line in miner.log if line.get("method") == "mining.set_extranonce"]
            upstream = await other.connection()
            assert len(upstream.params("mining.submit")[0][2]) == 2 * size


async def test_a_shrunken_extranonce2_reaches_who_subscribed_to_it(chained: Chained) -> None:
    async with ScriptedPool(Script(extranonce1="0011", extranonce2_size=3, job=make_job("b"))) as other:
        async with ScriptedPool() as first, chained(first.port, other.port) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner:
                await miner.ask("mining.extranonce.subscribe", [])
                await miner.start()
                first.close()
                assert await miner.told("mining.set_extranonce") == ["0011", 3]
                miner.extranonce1, miner.extranonce2_size = b"\x00\x11", 3
                assert (await miner.submit(await miner.job()))["result"] is True


async def test_failovers_are_counted_and_the_address_in_use_is_told(chained: Chained, second: ScriptedPool) -> None:
    def series(proxy: Proxy, name: str, **labels: str) -> float | None:
        return proxy.probes.registry.get_sample_value(f"sharehouse_{name}", {"pool_label": "normal", **labels})

    port = unused_port()
    async with chained(port, second.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        assert series(proxy, "pool_in_use", pool=f"127.0.0.1:{port}") == 1
        await miner.start()
        assert series(proxy, "failovers_total", direction="fallback") == 1
        assert series(proxy, "pool_in_use", pool=f"127.0.0.1:{second.port}") == 1
        assert series(proxy, "pool_in_use", pool=f"127.0.0.1:{port}") is None
        async with ScriptedPool(port=port):
            await job_of(miner, lambda job: not is_seconds(job))
            assert series(proxy, "failovers_total", direction="return") == 1
