"""What difficulty a miner is told, when, and what its shares are credited with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.proxy.difficulty_policy import DedicatedDifficulty, SharedDifficulty
from services.proxy.vardiff import VardiffOptions
from services.stratum.password import parse_password
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import EASIEST, Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.tests.proxy.conftest import Started


async def methods_until_answered(miner: TalkingMiner, pool: ScriptedPool) -> list[str]:
    """Reads until what the pool said has come, and a ping is answered; the notifications in between."""
    await (await pool.connection()).settled()
    await miner.ask("mining.ping", [])
    told = [message["method"] for message in miner.log if "method" in message]
    miner.log.clear()
    return told


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("x", 8),
        ("x;md=10000;", 10000),
        ("md=10000", 10000),
        ("X,MD=16", 16),
        ("d=32", 32),
        ("md=4", 8),
        ("md=12.5 d=9.75", 12.5),
        ("md=fish", 8),
        ("md=-1;", 8),
        ("md=nan", 8),
        ("", 8),
    ],
)
async def test_the_larger_of_the_pools_and_the_miners_own(started: Started, password: str, told: float) -> None:
    async with ScriptedPool(Script(difficulty=8)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            miner.send("mining.authorize", ["w", password])
            await miner.subscribe()
            assert await miner.told("mining.set_difficulty") == [told]
            assert (await miner.job()).clean_jobs is True


async def test_a_password_that_comes_after_the_pools_difficulty_counts_at_once(started: Started) -> None:
    async with ScriptedPool(Script(difficulty=8)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.subscribe()
            assert await miner.told("mining.set_difficulty") == [8]
            first = await miner.job()
            await miner.ask("mining.authorize", ["w", "x;md=1000;"])

            assert await miner.told("mining.set_difficulty") == [1000]
            again = await miner.job()
    assert again.job_id != first.job_id
    assert again.coinbase1 == first.coinbase1
    assert again.clean_jobs is False
    assert again.ntime > first.ntime


async def test_above_the_minimum_the_proxy_stops_intervening(started: Started) -> None:
    async with ScriptedPool(Script(difficulty=8)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start("w", "md=100")
            assert await miner.told("mining.set_difficulty") == [8]
            assert await miner.told("mining.set_difficulty") == [100]
            upstream = await pool.connection()
            for difficulty in (50, 200, 300, 20):
                upstream.set_difficulty(difficulty)
                upstream.notify(make_job(f"j{difficulty}"))
            told = [await miner.told("mining.set_difficulty") for _ in range(3)]
    assert told == [[200], [300], [100]]


async def test_set_difficulty_goes_out_before_its_notify_and_only_when_it_changes(started: Started) -> None:
    async with ScriptedPool(Script(difficulty=8)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            miner.log.clear()
            upstream = await pool.connection()
            upstream.set_difficulty(16)
            upstream.notify(make_job("b"))
            assert await methods_until_answered(miner, pool) == ["mining.set_difficulty", "mining.notify"]

            upstream.set_difficulty(16)
            upstream.notify(make_job("c"))
            assert await methods_until_answered(miner, pool) == ["mining.notify"]


async def test_after_a_change_without_a_job_the_current_one_is_sent_again(started: Started) -> None:
    async with ScriptedPool(Script(difficulty=8)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            first = await miner.start()
            miner.log.clear()
            (await pool.connection()).set_difficulty(4)

            assert await miner.told("mining.set_difficulty") == [4]
            again = await miner.job()
    assert (again.job_id == first.job_id, again.clean_jobs) == (False, False)


async def test_a_pool_that_says_nothing_means_difficulty_one(started: Started) -> None:
    async with ScriptedPool(Script(difficulty=None)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.subscribe()
            assert await miner.told("mining.set_difficulty") == [1]
            assert await methods_until_answered(miner, pool) == ["mining.notify"]


async def test_a_share_below_the_minimum_is_low_though_the_pool_would_take_it(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start("wallet.rig", f"md={2.0**-24}")
            job = await miner.job()  # the one that the minimum holds for
            low = await miner.submit(job, below=2.0**-24)
            good = await miner.submit(job, at_least=2.0**-24)
            submits = (await pool.connection()).params("mining.submit")

    assert low["error"][0] == 23
    assert good["result"] is True
    assert len(submits) == 1


async def test_a_share_for_an_earlier_job_is_checked_against_the_kinder_difficulty(started: Started) -> None:
    easy, hard = 2.0**-28, 2.0**-24
    async with ScriptedPool(Script(difficulty=easy)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            early = await miner.start()
            upstream = await pool.connection()
            upstream.set_difficulty(hard)
            upstream.notify(make_job("hard", clean=False, version=0x20000001))
            late = await miner.job()
            between = {"at_least": easy, "below": hard}
            assert (await miner.submit(early, **between))["result"] is True
            assert (await miner.submit(late, **between))["error"][0] == 23

            upstream.set_difficulty(EASIEST)
            upstream.notify(make_job("easiest", clean=False))
            await miner.job()
            assert (await miner.submit(late, **between))["result"] is True
            # What counts here counts at the pool, which knows the jobs' difficulties as well.
            assert len(upstream.params("mining.submit")) == 2


def test_of_several_workers_the_most_demanding_decides_until_it_asks_for_less() -> None:
    policy = DedicatedDifficulty()
    policy.asked("a", parse_password("md=100"))
    policy.asked("b", parse_password("md=300"))
    assert policy.wanted is None
    policy.pool = 50
    assert policy.change() == 300
    assert policy.change() is None
    policy.asked("b", parse_password("x"))
    assert policy.change() == 100
    policy.pool = 400
    assert policy.change() == 400


@pytest.mark.parametrize("policy", [DedicatedDifficulty(), SharedDifficulty(VardiffOptions(start=8.0), 0.0)])
def test_a_new_pool_connection_that_has_said_nothing_is_no_news(policy: DedicatedDifficulty) -> None:
    policy.pool = 8.0
    assert (policy.change(), policy.is_news) == (8.0, False)
    policy.pool = None
    assert (policy.change(), policy.is_news, policy.told) == (None, False, 8.0)
    policy.pool = 4.0
    assert (policy.is_news, policy.change()) == (True, 4.0)
