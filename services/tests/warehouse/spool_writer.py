"""A process that spools shares until it is killed, and prints the hash of each one that it was told is durable.

Arguments: the spool's folder, a seed, and how many shares may wait for their callback at a time.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from services.tests.warehouse.rows import display_hash, make_job, make_share
from services.warehouse.spool import Spool


async def write(folder: Path, seed: int, waiting: int) -> None:
    generator = random.Random(seed)
    spool = Spool.open(folder, max_bytes=1 << 30)
    room = asyncio.Semaphore(waiting)

    def acknowledge(block_hash: str, durable: bool) -> None:
        # One write per line: a pipe keeps what was written when the writer is killed.
        os.write(1, f"{block_hash}\n".encode() if durable else b"refused\n")
        room.release()

    while True:
        job = make_job(generator)
        spool.append_job(job)
        for _ in range(50):
            await room.acquire()
            share = make_share(generator, job=job.job)
            block_hash = display_hash(share.header)
            spool.append_share(share, lambda durable, block_hash=block_hash: acknowledge(block_hash, durable))  # type: ignore[misc]


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
