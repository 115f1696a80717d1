"""The mining threads: how soon they take a new job, how they share work, and that they hold back."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from async_merge_miner import AsyncMergeMiner, AsyncStratumClient
from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.miner import Effort
from services.miner.chain import Chain
from services.miner.kernel_source import KernelSource
from services.miner.mining_threads import MiningThreads
from services.tests.miner.scripted_pool import ScriptedPool, notify, set_difficulty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from services.miner.kernels.scan import Hit
    from services.miner.mining_job import Work


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def client() -> AsyncIterator[AsyncStratumClient]:
    """With a job that no hash meets."""
    async with ScriptedPool() as pool:
        pool.after_subscribe = [set_difficulty(2.0**100), notify("j1", nbits="03000001")]
        client = AsyncStratumClient("127.0.0.1", pool.port, "wallet.rig", "x")
        await client.connect()
        yield client
        await client.close()


async def nothing(work: Work, hits: tuple[Hit, ...]) -> None:
    """Takes hits, and does nothing."""


@pytest.fixture(scope="module")
def source() -> KernelSource:
    """With compiled code, so that all threads work."""
    source = KernelSource(tuple(Chain), Effort().kernel_cache)
    asyncio.run(source.improve())
    assert source.is_compiled
    return source


async def test_every_thread_takes_a_new_job_and_lets_go_where_there_is_none(
    client: AsyncStratumClient, source: KernelSource
) -> None:
    threads = MiningThreads(source, client.next_work, nothing, chains=tuple(Chain), threads=3)
    running = asyncio.create_task(threads.run())
    connection = client._connection
    assert connection is not None
    for number in range(5):
        connection._new_job(client._job.job)  # type: ignore[union-attr]
        job = client.job
        threads.mine(job)
        await until(lambda job=job: threads.has_begun(job))  # type: ignore[misc]
        assert number < 5
    threads.mine(None)
    await until(lambda: threads.is_idle)
    before = threads.trials
    await asyncio.sleep(0.05)
    assert threads.trials == before > 0
    threads.stop()
    await running


@pytest.mark.parametrize("trials", [0, 1, 1000, 1001, 50_000])
async def test_threads_share_the_trials_to_the_last_one(
    client: AsyncStratumClient, source: KernelSource, trials: int
) -> None:
    threads = MiningThreads(source, client.next_work, nothing, chains=(Chain.BTC,), threads=3, trials=trials)
    threads.mine(client.job)
    await threads.run()
    assert threads.trials == trials


async def test_held_back_a_thread_works_a_part_of_the_time(client: AsyncStratumClient, source: KernelSource) -> None:
    threads = MiningThreads(source, client.next_work, nothing, chains=(Chain.BTC,), intensity_percent=5)
    running = asyncio.create_task(threads.run())
    began, began_working = time.monotonic(), time.process_time()
    threads.mine(client.job)
    await asyncio.sleep(2)
    worked = (time.process_time() - began_working) / (time.monotonic() - began)
    threads.stop()
    await running
    assert threads.trials > 0
    # 5 percent, and this test's own waiting; a thread that does not hold back takes what it gets, 20 and more on a
    # machine that five others keep busy.
    assert worked < 0.15


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
async def test_in_the_background_only_what_mines_steps_back_and_only_once_it_mines(
    client: AsyncStratumClient, source: KernelSource
) -> None:
    threads = MiningThreads(source, client.next_work, nothing, chains=(Chain.BTC,), in_background=True)
    running = asyncio.create_task(threads.run())

    def niceness() -> set[int]:
        mining = [thread.native_id for thread in threading.enumerate() if thread.name.startswith("miner")]
        return {os.getpriority(os.PRIO_PROCESS, number) for number in mining if number is not None}

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    await until(lambda: niceness() == {own})
    threads.mine(client.job)
    await until(lambda: threads.trials > 0)
    await until(lambda: niceness() == {19})
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
    threads.stop()
    await running


async def test_what_a_thread_raises_ends_the_mining(client: AsyncStratumClient, source: KernelSource) -> None:
    def broken(job: object) -> Work:
        raise ZeroDivisionError(f"no work of {job}")

    threads = MiningThreads(source, broken, nothing, chains=(Chain.BTC,), threads=2)
    threads.mine(client.job)
    with pytest.raises(ZeroDivisionError):
        await threads.run()


async def test_cancelled_again_and_again_it_leaves_no_thread_behind(tmp_path: Path) -> None:
    options = DemoPoolOptions(data=tmp_path / "pool", port=0, fixed_difficulty=2.0**-24, network_difficulty=1.0)
    async with DemoPoolServer(options) as server:
        client = AsyncStratumClient("127.0.0.1", server.port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"", block_file=tmp_path / "blocks.json", effort=Effort(threads=2))
        await client.connect()
        mining = asyncio.gather(client.receive_jobs(), miner.mine_forever(60))
        await until(lambda: client.shares.accepted > 20)
        for _ in range(3):
            mining.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await mining
        await client.close()
    await until(lambda: not any(thread.name.startswith("miner") for thread in threading.enumerate()))


async def test_without_compiled_code_one_thread_works(client: AsyncStratumClient) -> None:
    plain = KernelSource(tuple(Chain), None)
    threads = MiningThreads(plain, client.next_work, nothing, chains=tuple(Chain), threads=4)
    threads.mine(client.job)
    running = asyncio.create_task(threads.run())
    await until(lambda: threads.trials > 10_000)
    assert not threads.has_begun(client.job)  # type: ignore[arg-type]
    threads.stop()
    await running
