"""The merge miner as a long-running service."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from services.miner.client import AsyncStratumClient
from services.miner.merge_miner import AsyncMergeMiner

if TYPE_CHECKING:
    from services.miner.options import MinerOptions

log = logging.getLogger(__name__)


async def serve(options: MinerOptions) -> None:
    """Mines until its task is cancelled; waits, with back-off, for a pool that is away."""
    client = AsyncStratumClient(options.host, options.port, options.username, options.password)
    miner = AsyncMergeMiner(client, options.message, block_file=options.block_file, on_block=options.on_block)
    log.info("Mining on hashlib and plain Python: correct, and slow.")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.receive_jobs())
            tasks.create_task(miner.mine_forever(options.progress_seconds))
    finally:
        log_summary(client, miner)


def log_summary(client: AsyncStratumClient, miner: AsyncMergeMiner) -> None:
    """What came of it all."""
    shares = client.shares
    log.info(
        "Headers tried: %d. Shares accepted: %d, rejected: %d (stale: %d), lost: %d.",
        miner.trials,
        shares.accepted,
        shares.rejected,
        shares.stale,
        shares.lost,
    )
