"""How long a miner's jobs are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.proxy.options import Limits
from services.proxy.work import KEPT_SECONDS, MOST_KEPT, SentJob, SentJobs, Work
from services.stratum.extranonce import handed_through
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.proxy.upstream import Upstream
    from services.stratum.job import Job
    from services.tests.proxy.conftest import Started

KEPT = 2
EASY_BLOCK = 0x203FFFFF
"""A quarter of all hashes meet this network target."""


@pytest.fixture(params=["dedicated", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


async def received(miner: TalkingMiner, pool: ScriptedPool, jobs: int, prevhash: int = 1) -> list[Job]:
    """Jobs of one block, as the miner got them."""
    upstream = await pool.connection()
    taken = []
    for number in range(jobs):
        upstream.notify(make_job(f"{prevhash}-{number}", prevhash=prevhash, clean=False, version=0x20000001 + number))
        taken.append(await miner.job())
    return taken


async def test_a_job_of_the_current_block_outlives_those_that_are_kept_in_any_case(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, limits=Limits(jobs_kept=KEPT)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            first = await miner.start()
            second, *_ = await received(miner, pool, MOST_KEPT * KEPT - 1)
            assert (await miner.submit(first))["result"] is True

            await received(miner, pool, 1)
            assert (await miner.submit(first, start=1000))["error"] == [21, "Unknown job", None]
            assert (await miner.submit(second))["result"] is True
            assert [params[1] for params in (await pool.connection()).params("mining.submit")] == ["a", "1-0"]


async def test_a_block_candidate_of_an_old_job_reaches_the_pool(started: Started) -> None:
    script = Script(job=make_job(nbits=EASY_BLOCK))
    async with ScriptedPool(script) as pool, started(pool.port, limits=Limits(jobs_kept=KEPT)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            first = await miner.start()
            await received(miner, pool, KEPT)
            assert (await miner.submit(first, at_least=2.0**-30))["result"] is True
            assert len((await pool.connection()).params("mining.submit")) == 1


async def test_jobs_of_an_older_block_go_as_ever(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, limits=Limits(jobs_kept=KEPT)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start()
            *_, withdrawn, last = await received(miner, pool, 2 * KEPT)
            await received(miner, pool, 1, prevhash=2)
            assert (await miner.submit(last))["error"] == [21, "Stale job", None]
            assert (await miner.submit(withdrawn))["error"] == [21, "Unknown job", None]


def most_kept(upstream: Upstream, seconds: float) -> int:
    """How many jobs are known at most where its pool sends one every ``seconds``."""
    jobs, layout, most = SentJobs(Limits().jobs_kept), handed_through(b"", 4), 0
    job = make_job()
    for number in range(200):
        now = number * seconds
        work = Work(job, upstream, (b"", 4), 0, now)
        jobs.add(SentJob(f"{number}", work, layout, job.ntime, 1.0, 1.0, 0), now)
        most = max(most, len(jobs))
    return most


async def test_a_pool_at_an_ordinary_pace_makes_nobody_keep_more(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        (upstream,) = proxy.listeners["normal"].pool.upstreams
        assert most_kept(upstream, 30.0) == Limits().jobs_kept
        assert most_kept(upstream, KEPT_SECONDS / 40) == 40
        assert most_kept(upstream, 1.0) == MOST_KEPT * Limits().jobs_kept
