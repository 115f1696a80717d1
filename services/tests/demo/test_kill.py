"""kill -9 under load: what a miner has read as accepted is in the log, once, and the chain goes on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING

from services.demo.chain import FIRST_HEIGHT
from services.stratum.job import Job
from services.tests.demo.wire import WireMiner

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = """
import asyncio, pathlib, sys
from services.demo.options import DemoPoolOptions
from services.demo.server import serve
options = DemoPoolOptions(
    data=pathlib.Path(sys.argv[1]), port=int(sys.argv[2]), fixed_difficulty=2.0**-24, network_difficulty=2.0**-18
)
asyncio.run(serve(options))
"""


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def start(data: Path, port: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, str(data), str(port), stdout=asyncio.subprocess.DEVNULL
    )
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return process
        assert process.returncode is None
        await asyncio.sleep(0.02)


async def mine_until_the_pool_dies(port: int, read_as_accepted: list[str]) -> int:
    """Gives the height of the last job."""
    miner = await WireMiner.ready(port)
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = miner.jobs[-1]
            share = miner.find(job, job.share_target)
            if (await miner.submit(job, share))["result"] is True:
                read_as_accepted.append(share.hash)
    await miner.close()
    return Job.from_notify(miner.jobs[-1].params).height() or 0


async def test_nothing_that_was_accepted_is_lost(tmp_path: Path) -> None:
    port = unused_port()
    read_as_accepted: list[str] = []
    heights = [FIRST_HEIGHT]
    for _ in range(4):
        process = await start(tmp_path, port)
        mining = asyncio.create_task(mine_until_the_pool_dies(port, read_as_accepted))
        await asyncio.sleep(0.7)
        process.kill()
        await process.wait()
        heights.append(await mining)
    logged = [line.split("\t")[0] for line in (tmp_path / "accepted.log").read_text().splitlines()]
    assert len(read_as_accepted) > 50
    assert set(read_as_accepted) <= set(logged)
    assert len(logged) == len(set(logged)) <= len(read_as_accepted) + 4, "besides, at most one in flight at each kill"
    assert heights == sorted(heights)
    assert heights[-1] > FIRST_HEIGHT
