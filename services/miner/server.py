"""The merge miner as a long-running service."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from services.miner import wording
from services.miner.client import AsyncStratumClient
from services.miner.merge_miner import AsyncMergeMiner

if TYPE_CHECKING:
    from services.miner.options import MinerOptions

log = logging.getLogger(__name__)


async def serve(options: MinerOptions) -> None:
    """Mines until its task is cancelled; waits, with back-off, for a pool that is away."""
    client = AsyncStratumClient(options.host, options.port, options.username, options.password, tls=options.tls)
    miner = AsyncMergeMiner(
        client, options.message, block_file=options.block_file, on_block=options.on_block, effort=options.effort
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.receive_jobs())
            tasks.create_task(miner.mine_forever(options.progress_seconds))
    finally:
        log_summary(client, miner)


def log_summary(client: AsyncStratumClient, miner: AsyncMergeMiner) -> None:
    """What came of it all."""
    shares = client.shares
    seconds = time.time() - miner.start_time
    rate = wording.hash_rate(miner.trials / seconds) if seconds > 0 else "0 H/s"
    blocks = ", ".join(f"{chain.label} {count}" for chain, count in miner.blocks.items() if chain in miner.chains)
    log.info("Mined for %s at %s on each chain. Blocks: %s.", wording.duration(seconds), rate, blocks)
    log.info(
        "Headers tried: %d. Best share: %s. Shares accepted: %d, rejected: %d (stale: %d), lost: %d.",
        miner.trials,
        wording.difficulty(miner.best_share),
        shares.accepted,
        shares.rejected,
        shares.stale,
        shares.lost,
    )
