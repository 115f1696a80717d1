"""A block candidate whose miner has read the answer survives SIGKILL of the proxy, whatever the answer was."""

from __future__ import annotations

import asyncio
import multiprocessing
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from services.proxy.server import Proxy, serve
from services.stratum.header import sha256d
from services.tests.conftest import unused_port
from services.tests.proxy.conftest import proxy_options
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.proxy.test_block_candidates import BLOCK, candidates
from services.tests.proxy.test_submit import EASY_BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from services.proxy.options import ProxyOptions
    from services.stratum.job import Job
    from services.warehouse.address import ClickHouseAddress

ROOM = 1 << 30
FULL = 1
"""A spool with room for no share at all."""


def run_proxy(options: ProxyOptions) -> None:
    """The proxy as a process of its own."""
    uvloop.run(serve(options))


@contextmanager
def proxy_process(options: ProxyOptions) -> Iterator[Callable[[], None]]:
    """Gives what kills it by SIGKILL."""
    process = multiprocessing.get_context("spawn").Process(target=run_proxy, args=(options,), daemon=True)
    process.start()

    def kill() -> None:
        process.kill()
        process.join(30)

    yield kill
    kill()


async def connected(port: int) -> TalkingMiner:
    """A miner, as soon as the proxy listens."""
    async with asyncio.timeout(60):
        while True:
            miner = TalkingMiner(port)
            try:
                return await miner.__aenter__()
            except OSError:
                await asyncio.sleep(0.05)


def mined(miner: TalkingMiner, job: Job, start: int) -> tuple[list[Any], str]:
    """A share that is a block, and its hash as people write it."""
    share = miner.share(job, worker="farm.rig", at_least=BLOCK, start=start)
    header = job.header(
        extranonce=miner.extranonce1 + bytes(miner.extranonce2_size),
        version=job.version,
        ntime=int(share[3], 16),
        nonce=int(share[4], 16),
    )
    return share, sha256d(header)[::-1].hex()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("room", [ROOM, FULL])
async def test_killed_as_soon_as_the_miner_was_answered(tmp_path: Path, database: ClickHouseAddress, room: int) -> None:
    script = Script(job=make_job(nbits=EASY_BLOCK))
    async with ScriptedPool(script) as pool:
        options = proxy_options(tmp_path / "spool", pool.port, spool_max_bytes=room)
        port = unused_port()
        listening = replace(options, pools=(replace(options.pools[0], listen_port=port),))
        with proxy_process(listening) as kill:
            miner = await connected(port)
            job = await miner.start("farm.rig")
            hashes, answers = [], []

            async def submit(start: int) -> None:
                share, block_hash = mined(miner, job, start)
                hashes.append(block_hash)
                answers.append((await miner.ask("mining.submit", share))["result"])

            await submit(0)
            script.submit = lambda _: {"result": None, "error": [20, "inconclusive", None]}
            await submit(100_000)
            (await pool.connection()).notify(make_job("next", prevhash=2, nbits=EASY_BLOCK))
            await miner.job()
            await submit(200_000)
            pool.close()
            await asyncio.sleep(0.2)
            await submit(300_000)
            kill()
            await miner.__aexit__()
    assert answers == [True, None, None, None]
    async with Proxy(proxy_options(tmp_path / "spool", 1, database)):
        async with asyncio.timeout(60):
            while len(found := await asyncio.to_thread(stored, database)) < len(hashes):
                await asyncio.sleep(0.1)
    fates = {row["block_hash"]: (row["refusal"], row["pool_verdict"]) for row in found}
    accepted, refused, stale, gone = (fates[block_hash] for block_hash in hashes)
    assert (accepted, refused, stale) == (("", "accepted"), ("", "pool_other"), ("stale", "pool_other"))
    # A proxy that has not noticed the pool's end forwards it, in vain.
    assert gone in (("stale", ""), ("stale", "no_verdict"))


def stored(database: ClickHouseAddress) -> list[dict[str, Any]]:
    """The candidates in ClickHouse; none while the table is missing."""
    try:
        return candidates(database)
    except OSError:
        return []
