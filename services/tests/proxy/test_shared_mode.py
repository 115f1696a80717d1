"""Many miners on one upstream: a place, a difficulty and verdicts for each."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.options import PoolOptions
from services.proxy.vardiff import BURST_SHARES, VardiffOptions
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until

if TYPE_CHECKING:
    from services.stratum.job import Job
    from services.tests.proxy.conftest import Started
    from services.warehouse.records import Share

EASY, HARD = 2.0**-32, 2.0**-20
"""Every miner starts at EASY; the pool takes nothing below HARD, which one hash in 4096 meets."""
STEADY = VardiffOptions(target_seconds=1000.0, window_seconds=1000.0, start=EASY, min=EASY, max=EASY)
# A quarter of all hashes meet this network target.
EASY_BLOCK = 0x203FFFFF


@pytest.fixture
def mode() -> str:
    return "shared"


def pools_of(port: int, vardiff: VardiffOptions = STEADY, user: str = "pool-wallet") -> dict[str, Any]:
    return {"pools": (PoolOptions("normal", 0, "127.0.0.1", port, user, "x", vardiff=vardiff),)}


async def test_two_miners_share_an_upstream_and_never_a_coinbase(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as one, TalkingMiner(miner_port(proxy)) as other:
            jobs = await one.start("farm.one"), await other.start("farm.other")
            upstream = await pool.connection()
            for miner, job, worker in ((one, jobs[0], "farm.one"), (other, jobs[1], "farm.other")):
                assert (await miner.submit(job, worker=worker))["result"] is True
            submitted = [params[2] for params in upstream.params("mining.submit")]

    assert len(pool.connections) == 1
    assert (len(one.extranonce1), one.extranonce2_size) == (len(other.extranonce1), other.extranonce2_size) == (2, 4)
    assert one.extranonce1 != other.extranonce1
    assert jobs[0].coinbase1 == jobs[1].coinbase1
    assert submitted == [
        (
            jobs[0].coinbase1.removeprefix(make_job().coinbase1 + b"\xaa\xbb\xcc\xdd") + miner.extranonce1 + bytes(4)
        ).hex()
        for miner in (one, other)
    ]


async def test_what_falls_short_of_the_pools_difficulty_is_accepted_here_and_credited(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Share] = []
    async with ScriptedPool(Script(difficulty=HARD)) as pool, started(**_arguments(pool)) as proxy:
        append = proxy.spool.append_share

        def noted(share: Share, on_durable: Any) -> None:
            rows.append(share)
            append(share, on_durable)

        monkeypatch.setattr(proxy.spool, "append_share", noted)
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert await miner.told("mining.set_difficulty") == [EASY]
            here = await miner.submit(job, at_least=EASY, below=HARD)
            assert (await pool.connection()).params("mining.submit") == []
            there = await miner.submit(job, at_least=HARD)
            low = await miner.ask("mining.submit", miner.share(job, at_least=0.0, below=EASY))
            upstream = await pool.connection()
            assert len(upstream.params("mining.submit")) == 1

    assert (here["result"], there["result"], low["error"][0]) == (True, True, 23)
    assert [(row.accepted, row.reason, row.pool_difficulty, row.pool_requested_difficulty) for row in rows] == [
        (True, "", EASY, HARD),
        (True, "", EASY, HARD),
        (False, "low_difficulty", EASY, HARD),
    ]
    assert EASY <= rows[0].actual_difficulty < HARD <= rows[1].actual_difficulty
    assert proxy.registry.get_sample_value("sharehouse_shares_below_pool_total", {"pool_label": "normal"}) == 1


async def test_a_share_that_falls_short_is_judged_here_as_any_other(started: Started) -> None:
    async with ScriptedPool(Script(difficulty=HARD)) as pool, started(**_arguments(pool)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            share = miner.share(job, below=HARD, at_least=EASY)
            assert (await miner.ask("mining.submit", share))["result"] is True
            assert (await miner.ask("mining.submit", share))["error"][0] == 22
            stranger = ["somebody.else", *share[1:]]
            assert (await miner.ask("mining.submit", stranger))["error"][0] == 24
            (await pool.connection()).notify(make_job("next", prevhash=2))
            await miner.job()
            stale = miner.share(job, below=HARD, at_least=EASY, start=5000)
            assert (await miner.ask("mining.submit", stale))["error"][0] == 21


async def test_the_pools_refusal_is_handed_on_unchanged(started: Started) -> None:
    verdict = {"result": False, "error": [23, "its own words", None]}
    async with ScriptedPool(Script(difficulty=HARD)) as pool, started(**_arguments(pool)) as proxy:
        pool.script.submit = lambda _: verdict
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert await miner.submit(job, "mine", at_least=HARD) == {"id": "mine", **verdict}


async def test_a_block_goes_up_however_hard_the_pool_is(started: Started) -> None:
    script = Script(difficulty=2.0**40, job=make_job(nbits=EASY_BLOCK))
    async with ScriptedPool(script) as pool, started(**_arguments(pool)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (await miner.submit(job, at_least=2.0**-30))["result"] is True  # a quarter is 2^-30
            assert len((await pool.connection()).params("mining.submit")) == 1


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("x", EASY),
        ("x;md=0.00001;", 0.00001),
        ("d=0.0000005", 0.0000005),
        ("d=100", HARD),
        ("D=0.0000001,MD=0.0000003", 0.0000003),
        ("md=3", 3),
    ],
)
async def test_a_password_sets_the_least_or_the_only_difficulty(started: Started, password: str, told: float) -> None:
    async with ScriptedPool(Script(difficulty=HARD)) as pool, started(**_arguments(pool)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start("w", password)
            last = await miner.told("mining.set_difficulty")
            if told != EASY:
                last = await miner.told("mining.set_difficulty")
                await miner.job()
    assert last == [told]


async def test_a_suggestion_is_where_vardiff_starts_and_never_above_the_pools(started: Started) -> None:
    options = VardiffOptions(min=EASY)
    async with ScriptedPool(Script(difficulty=HARD)) as pool, started(**_arguments(pool, options)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            assert await miner.told("mining.set_difficulty") == [HARD]
            for suggested, told in ((3 * 2.0**-26, 2.0**-25), (2.0**-40, EASY), (1000.0, HARD)):
                await miner.ask("mining.suggest_difficulty", [suggested])
                assert await miner.told("mining.set_difficulty") == [told]
                await miner.job()
            assert "mining.suggest_difficulty" not in (await pool.connection()).methods


async def test_a_strong_miner_is_raised_within_a_burst_and_earlier_jobs_count_as_they_were(started: Started) -> None:
    options = VardiffOptions(target_seconds=1.0, window_seconds=1000.0, start=EASY, min=EASY)
    async with ScriptedPool(Script(difficulty=HARD)) as pool, started(**_arguments(pool, options)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert await miner.told("mining.set_difficulty") == [EASY]
            start = 0
            for _ in range(BURST_SHARES):
                share = miner.share(job, below=HARD, start=start)
                start = int(share[4], 16) + 1
                miner.send("mining.submit", share)
            (raised,) = await miner.told("mining.set_difficulty")
            harder = await miner.job()
            assert 4 * EASY < raised <= HARD
            assert (harder.clean_jobs, harder.coinbase1) == (False, job.coinbase1)

            late = await miner.submit(job, below=raised, at_least=EASY, start=start)
            early = await miner.submit(harder, below=raised)
            good = await miner.submit(harder, at_least=raised)
    assert (late["result"], early["error"][0], good["result"]) == (True, 23, True)


async def test_a_pool_that_becomes_easier_takes_its_miners_along(started: Started) -> None:
    async with (
        ScriptedPool(Script(difficulty=HARD)) as pool,
        started(**_arguments(pool, VardiffOptions(min=EASY))) as proxy,
    ):
        async with TalkingMiner(miner_port(proxy)) as miner:
            first = await miner.start()
            assert await miner.told("mining.set_difficulty") == [HARD]
            upstream = await pool.connection()
            upstream.set_difficulty(3 * 2.0**-31)
            upstream.notify(make_job("easier", clean=False))
            assert await miner.told("mining.set_difficulty") == [2.0**-30]  # rounded down
            await miner.job()
            # The kinder one holds for the earlier job, too; and the pool hears of what it asked for.
            assert (await miner.submit(first, at_least=3 * 2.0**-31, below=HARD))["result"] is True
            assert len(upstream.params("mining.submit")) == 1


async def test_a_miner_without_shares_is_lowered_step_by_step(started: Started) -> None:
    options = VardiffOptions(target_seconds=0.1, window_seconds=0.5, min=2.0**-25)
    async with ScriptedPool(Script(difficulty=HARD)) as pool, started(**_arguments(pool, options)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            told = [(await miner.told("mining.set_difficulty"))[0] for _ in range(3)]
            await miner.job()
    assert told == [HARD, HARD / 8, 2.0**-25]


async def test_each_workers_name_is_authorized_before_its_first_share(started: Started, pool: ScriptedPool) -> None:
    async with started(**_arguments(pool, user="wallet.{worker}")) as proxy:
        async with AsyncExitStack() as stack:
            miners = [await stack.enter_async_context(TalkingMiner(miner_port(proxy))) for _ in range(3)]
            jobs = [await miner.start(f"farm.{number}") for number, miner in enumerate(miners)]
            for number, (miner, job) in enumerate(zip(miners, jobs, strict=True)):
                assert (await miner.submit(job, worker=f"farm.{number}"))["result"] is True
            # On a new upstream, too.
            (await pool.connection()).drop()
            jobs = [await miner.job() for miner in miners]
            for number, (miner, job) in enumerate(zip(miners, jobs, strict=True)):
                assert (await miner.submit(job, worker=f"farm.{number}", start=5))["result"] is True
    assert len(pool.connections) == 2
    for connection in pool.connections:
        calls = [(request["method"], request["params"][0]) for request in connection.requests if request["params"]]
        for number in range(3):
            name = f"wallet.{number}"
            assert calls.index(("mining.authorize", name)) < calls.index(("mining.submit", name))
            assert calls.count(("mining.authorize", name)) == 1


@pytest.mark.parametrize(("size", "upstreams", "own", "left"), [(8, 1, 2, 4), (6, 1, 2, 4), (5, 1, 1, 4), (4, 3, 4, 4)])
async def test_where_a_pool_gives_too_little_there_are_more_upstreams(
    started: Started, size: int, upstreams: int, own: int, left: int
) -> None:
    async with ScriptedPool(Script(extranonce2_size=size)) as pool, started(pool.port) as proxy:
        async with AsyncExitStack() as stack:
            miners = [await stack.enter_async_context(TalkingMiner(miner_port(proxy))) for _ in range(3)]
            jobs = await asyncio.gather(*(miner.start() for miner in miners))
            for number, (miner, job) in enumerate(zip(miners, jobs, strict=True)):
                assert (len(miner.extranonce1), miner.extranonce2_size) == (own, left)
                assert (await miner.submit(job, start=1000 * number))["result"] is True
        assert len(pool.connections) == upstreams


async def test_a_line_whose_places_are_gone_takes_a_miner_again_once_one_has_left(started: Started) -> None:
    # Of 256 places the pool's sizes promise, two are this process' own: no other one of 128 may use them.
    async with ScriptedPool(Script(extranonce2_size=5)) as pool, started(pool.port, workers=128) as proxy:
        async with AsyncExitStack() as stack:
            miners = [await stack.enter_async_context(TalkingMiner(miner_port(proxy))) for _ in range(3)]
            for number, miner in enumerate(miners):
                assert (await miner.submit(await miner.start(), start=1000 * number))["result"] is True
            assert len(pool.connections) == 2
            miners[0].writer.transport.abort()
            await until(lambda: len(proxy.listeners["normal"].connections) == 2)
            for number in (3, 4):
                newcomer = await stack.enter_async_context(TalkingMiner(miner_port(proxy)))
                assert (await newcomer.submit(await newcomer.start(), start=1000 * number))["result"] is True
            assert len(pool.connections) == 2
        shares = [len((await pool.connection(number)).params("mining.submit")) for number in (0, 1)]
        assert shares == [3, 2]


async def test_miners_that_find_no_place_after_a_change_get_upstreams_of_their_own(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy:
        async with AsyncExitStack() as stack:
            miners = [await stack.enter_async_context(TalkingMiner(miner_port(proxy))) for _ in range(3)]
            for miner in miners:
                await miner.ask("mining.extranonce.subscribe", [])
                await miner.start()
            pool.script.extranonce1, pool.script.extranonce2_size = "0011223344", 4
            upstream = await pool.connection()
            upstream.call("mining.set_extranonce", ["0011223344", 4])
            upstream.notify(make_job("next"))
            for miner in miners:
                assert await miner.told("mining.set_extranonce") == ["0011223344", 4]
                miner.extranonce1 = bytes.fromhex("0011223344")
            jobs = [await miner.job() for miner in miners]
            assert len(pool.connections) == 3
            for number, (miner, job) in enumerate(zip(miners, jobs, strict=True)):
                assert job.clean_jobs is True
                assert (await miner.submit(job, start=1000 * number))["result"] is True


async def test_who_missed_a_clean_job_is_told_to_drop_what_it_has(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where news overtake a fan-out, those who had not had the older ones get the newest alone."""
    monkeypatch.setattr("services.proxy.line.PORTION", 1)
    async with ScriptedPool() as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as one, TalkingMiner(miner_port(proxy)) as other:
            await one.start("farm.one")
            await other.start("farm.other")
            jobs = make_job("clean", prevhash=2), make_job("more", prevhash=2, clean=False, version=0x20000004)
            news = [{"id": None, "method": "mining.notify", "params": job.notify_params()} for job in jobs]
            (await pool.connection()).send(b"".join(json.dumps(each).encode() + b"\n" for each in news))
            for miner in (one, other):
                told = await miner.job()
                assert (told.prevhash, told.clean_jobs) == (jobs[0].prevhash, True)
                while told.version != jobs[1].version:
                    told = await miner.job()
                assert (await miner.submit(told, worker="farm.one" if miner is one else "farm.other"))["result"] is True


async def test_five_hundred_miners_on_one_upstream_outlive_their_pool(started: Started) -> None:
    script = Script(difficulty=HARD)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(ScriptedPool(script))
        proxy = await stack.enter_async_context(started(**_arguments(pool)))
        miners = [await stack.enter_async_context(TalkingMiner(miner_port(proxy))) for _ in range(500)]
        before = await asyncio.gather(*(miner.start() for miner in miners))
        shapes = {(miner.extranonce1, miner.extranonce2_size) for miner in miners}
        assert len(shapes) == 500
        assert len({job.job_id for job in before}) == 500

        (await pool.connection()).notify(make_job("all", clean=False))
        after = await asyncio.gather(*(miner.job() for miner in miners))
        assert {job.clean_jobs for job in after} == {False}
        answers = await asyncio.gather(*(_easy_share(miner, job) for miner, job in zip(miners, after, strict=True)))
        assert all(answer["result"] is True for answer in answers)

        script.extranonce1 = "00112233"
        (await pool.connection()).drop()
        again = await asyncio.gather(*(miner.job() for miner in miners))
        assert {job.clean_jobs for job in again} == {True}
        late = await asyncio.gather(*(_easy_share(miner, job, 500) for miner, job in zip(miners, after, strict=True)))
        good = await asyncio.gather(*(_easy_share(miner, job) for miner, job in zip(miners, again, strict=True)))
        assert {answer["error"][0] for answer in late} == {21}
        assert all(answer["result"] is True for answer in good)
        assert not [message for miner in miners for message in miner.log if message.get("method", "")[:7] == "client."]
        assert len(pool.connections) == 2


async def _easy_share(miner: TalkingMiner, job: Job, start: int = 0) -> dict[str, Any]:
    return await miner.ask("mining.submit", miner.share(job, at_least=EASY, below=HARD, start=start))


def _arguments(pool: ScriptedPool, vardiff: VardiffOptions = STEADY, user: str = "pool-wallet") -> dict[str, Any]:
    return {"pool_port": pool.port, **pools_of(pool.port, vardiff, user)}
