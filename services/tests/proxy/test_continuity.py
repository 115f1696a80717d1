"""A miner's connection outlives what is behind it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.options import Limits
from services.proxy.server import Proxy, serve
from services.tests.conftest import unused_port
from services.tests.proxy.conftest import miner_port, proxy_options
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from services.tests.proxy.conftest import Started


@pytest.fixture(params=["dedicated", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both: a miner cannot tell them apart."""
    mode: str = request.param
    return mode


async def test_a_lost_pool_costs_a_miner_only_a_clean_job(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            old = await miner.start()
            pool.script.extranonce1, pool.script.job = "99887766", make_job("back again", clean=False)
            (await pool.connection()).drop()
            new = await miner.job()

            assert new.clean_jobs is True
            assert new.coinbase1.startswith(make_job().coinbase1 + bytes.fromhex("99887766"))
            assert (await miner.submit(new))["result"] is True
            # The old job's upstream is gone, and its shares go to no other.
            assert (await miner.submit(old))["error"][:1] == [21]
            assert (await miner.submit(old, start=999))["error"][1] == "The pool connection of this job is gone"
            assert len((await pool.connection(1)).params("mining.submit")) == 1


async def test_the_pools_user_is_authorized_again_on_a_new_upstream(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, user="{worker}") as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start("farm.one")
            await miner.ask("mining.authorize", ["farm.two"])
            (await pool.connection()).drop()
            assert (await miner.submit(await miner.job(), worker="farm.two"))["result"] is True
            assert [user for user, _ in (await pool.connection(1)).params("mining.authorize")] == ["one", "two"]


async def test_miners_wait_for_a_pool_that_is_not_there_yet(started: Started) -> None:
    port = unused_port()
    async with started(port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        subscribe = miner.send("mining.subscribe", [])
        authorize = miner.send("mining.authorize", ["wallet.rig"])
        await asyncio.sleep(0.3)
        assert miner.log == []
        async with ScriptedPool(port=port):
            miner.extranonce1 = bytes.fromhex((await miner.answer(subscribe))["result"][1])
            miner.extranonce2_size = 4
            assert (await miner.answer(authorize))["result"] is True
            assert (await miner.submit(await miner.job()))["result"] is True


async def test_a_share_under_way_when_the_pool_is_lost_has_no_verdict(started: Started) -> None:
    async with ScriptedPool(Script(submit=lambda _: None)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            request_id = miner.send("mining.submit", miner.share(await miner.start()))
            upstream = await pool.connection()
            await upstream.called("mining.submit")
            upstream.drop()
            assert (await miner.answer(request_id))["error"] == [20, "No verdict from the pool", None]


async def test_a_silent_pool_is_covered_with_the_current_job_under_new_ids(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, silence_seconds=0.4) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            began = time.monotonic()
            jobs = [await miner.start(), await miner.job(), await miner.job()]
            assert time.monotonic() - began > 0.7
            assert len({job.job_id for job in jobs}) == 3
            assert jobs[0].ntime < jobs[1].ntime < jobs[2].ntime
            assert [job.clean_jobs for job in jobs[1:]] == [False, False]
            for job in jobs:
                assert (await miner.submit(job))["result"] is True
            submits = (await pool.connection()).params("mining.submit")
    assert {params[1] for params in submits} == {"a"}
    assert {int(params[3], 16) for params in submits} == {job.ntime for job in jobs}


async def test_ntime_advances_by_the_time_passed(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, silence_seconds=2.2) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            first = await miner.start()
            assert (await miner.job()).ntime == first.ntime + 2


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\xff\xfe garbage\n" * 50,
        b'{"id":null,"method":"mining.notify","params":["x"]}\n',
        b'{"id":null,"method":"mining.notify","params":[null,null,null,null,null,null,null,null,null]}\n',
        b'{"id":null,"method":"mining.set_difficulty","params":[0]}\n',
        b'{"id":null,"method":"mining.set_difficulty","params":["x"]}\n',
        b'{"id":null,"method":"mining.set_extranonce","params":["zz",99]}\n',
        b'{"id":4242,"result":true,"error":null}\n',
        b'{"id":"5","result":{"a":[]},"error":null}\n',
        b"[" * 5000 + b"\n",
        b'{"id":7,"method":"client.get_version","params":[]}\n',
        b'{"id":7,"method":"client.reconnect","params":["elsewhere.example",3333,0]}\n',
        b'{"id":7,"method":"client.show_message","params":["hello"]}\n',
        b'{"id":7,"method":"unheard.of","params":{}}\n',
    ],
)
async def test_a_hostile_pool_harms_nobody(started: Started, nonsense: bytes) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start()
        upstream = await pool.connection()
        upstream.send(nonsense)
        assert (await miner.submit(job))["result"] is True
        assert len(pool.connections) == 1


@pytest.mark.parametrize("nonsense", [b"garbage\n" * 200, b"x" * (4 * 1024 * 1024 + 2)])
async def test_a_pool_that_speaks_only_nonsense_is_left_and_dialled_again(started: Started, nonsense: bytes) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (await pool.connection()).send(nonsense)
        assert (await miner.submit(await miner.job()))["result"] is True
        assert len(pool.connections) == 2


async def test_how_long_a_pools_line_may_be_is_the_operators_to_say(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, limits=Limits(pool_line_bytes=65_536)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            upstream = await pool.connection()
            upstream.send(b'{"id":null,"method":"client.show_message","params":["' + b"x" * 65_000 + b'"]}\n')
            assert (await miner.submit(job))["result"] is True
            upstream.send(b"x" * 65_538)
            assert (await miner.submit(await miner.job()))["result"] is True
        assert len(pool.connections) == 2


async def test_a_job_with_impossible_nbits_has_no_candidates_and_its_shares_go_on(started: Started) -> None:
    async with ScriptedPool(Script(job=make_job(nbits=0xFFFFFFFF))) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            assert (await miner.submit(await miner.start()))["result"] is True


async def test_the_pool_may_ask_us_to_reconnect_to_itself(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (await pool.connection()).call("client.reconnect", [])
        assert (await miner.job()).clean_jobs is True
        assert len(pool.connections) == 2


async def test_shares_of_a_miner_that_leaves_still_get_their_verdict(started: Started) -> None:
    async with ScriptedPool(Script(submit=lambda _: None)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            miner.send("mining.submit", miner.share(await miner.start()))
            upstream = await pool.connection()
            await upstream.called("mining.submit")
        await asyncio.sleep(0.1)
        listener = proxy.listeners["normal"]
        assert len(listener.pool.upstreams) == 1
        upstream.send({"id": upstream.requests[-1]["id"], "result": True, "error": None})
        while listener.pool.upstreams or listener.connections:
            await asyncio.sleep(0.01)
        while proxy.spool.recorded_shares == 0:
            await asyncio.sleep(0.01)


async def test_a_miner_that_half_closes_reads_its_answers(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        request_id = miner.send("mining.submit", miner.share(await miner.start()))
        miner.writer.write_eof()
        assert (await miner.answer(request_id))["result"] is True
        await miner.closed()


async def test_a_stop_answers_what_is_under_way_then_closes(tmp_path: Path) -> None:
    held: list[Any] = []
    script = Script(submit=lambda params: held.append(params))
    async with ScriptedPool(script) as pool:
        port = unused_port()
        options = proxy_options(tmp_path, pool.port, drain_seconds=3.0)
        options = replace(options, pools=(replace(options.pools[0], listen_port=port),))
        service = asyncio.create_task(serve(options))
        while True:
            try:
                miner = await TalkingMiner(port).__aenter__()
                break
            except OSError:
                await asyncio.sleep(0.02)
        request_id = miner.send("mining.submit", miner.share(await miner.start()))
        upstream = await pool.connection()
        await upstream.called("mining.submit")
        began = time.monotonic()
        service.cancel()
        await asyncio.sleep(0.2)
        with pytest.raises(OSError):
            await TalkingMiner(port).__aenter__()
        upstream.send({"id": upstream.requests[-1]["id"], "result": True, "error": None})
        assert (await miner.answer(request_id))["result"] is True
        await miner.closed()
        miner.writer.close()
        with pytest.raises(asyncio.CancelledError):
            await service
        assert time.monotonic() - began < 10


async def test_a_miner_that_mines_on_reads_its_answers_when_the_proxy_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To close on what was not read is a reset, which overtakes the answers."""
    monkeypatch.setattr("services.proxy.miner_connection._LINGER_SECONDS", 30.0)
    async with ScriptedPool(Script(submit=lambda _: None)) as pool:
        proxy = await Proxy(proxy_options(tmp_path, pool.port, drain_seconds=3.0)).__aenter__()
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            request_id = miner.send("mining.submit", miner.share(job))
            upstream = await pool.connection()
            await upstream.called("mining.submit")
            stop = asyncio.create_task(proxy.__aexit__())
            await until(lambda: not proxy.probes.ready)
            for start in range(1000, 5000, 1000):
                miner.send("mining.submit", miner.share(job, start=start))
            upstream.send({"id": upstream.requests[-1]["id"], "result": True, "error": None})
            assert (await miner.answer(request_id))["result"] is True
            while await asyncio.wait_for(miner.reader.read(1000), 30):  # a reset would raise here
                pass
        await stop
        assert len(upstream.params("mining.submit")) == 1


async def test_a_stop_waits_for_no_silent_pool_and_no_deaf_miner(tmp_path: Path) -> None:
    async with ScriptedPool(Script(submit=lambda _: None)) as pool:
        proxy = await Proxy(proxy_options(tmp_path, pool.port, drain_seconds=0.3)).__aenter__()
        async with TalkingMiner(miner_port(proxy)) as miner, TalkingMiner(miner_port(proxy)) as deaf:
            await deaf.start()
            deaf.reader._transport.pause_reading()  # type: ignore[attr-defined]
            request_id = miner.send("mining.submit", miner.share(await miner.start()))
            await (await pool.connection(1)).called("mining.submit")
            began = time.monotonic()
            await proxy.__aexit__()
            assert time.monotonic() - began < 10
            assert (await miner.answer(request_id))["error"] == [20, "No verdict from the pool", None]
            await miner.closed()
        assert proxy.spool.recorded_shares == 1
