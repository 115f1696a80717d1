"""The merge miner with what it lacks by itself: settings, and a way for its blocks into ClickHouse."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from services.command import options
from services.miner import direct, server
from services.miner.options import MinerOptions
from services.warehouse import records
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from services.command.configuration import Configuration
    from services.miner.found_block import FoundBlock

_DRAIN_SECONDS = 4.0


async def mine(configuration: Configuration, block_file: Path) -> None:
    """Mine until cancelled. Each found block goes to `block_file` and, by the spool, to table `found_blocks`."""
    settings = configuration.settings
    if settings.mining_address is None:
        direct.warn_of_missing_address()
    folder = configuration.data.spool
    spool = Spool.open(folder, max_bytes=settings.spool_max_bytes)
    shipper = Shipper(folder, spool, options.address(configuration))
    shipping = asyncio.create_task(shipper.run())
    chosen = MinerOptions(
        host=settings.mining_pool_host,
        port=settings.mining_pool_port,
        username=settings.mining_address or direct.DEFAULT_ADDRESS,
        password=settings.mining_password.get_secret_value(),
        block_file=block_file,
        on_block=lambda block: spool.append_found_block(_record(block)),
    )
    try:
        await server.serve(chosen)
    finally:
        await spool.close()
        await shipper.drain(_DRAIN_SECONDS)
        shipping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await shipping


def _record(block: FoundBlock) -> records.FoundBlock:
    return records.FoundBlock(
        ts_ms=block.ts_ms,
        chain=cast("records.Chain", block.chain),
        height=block.height,
        nonce=block.nonce,
        hash=block.hash,
        header=block.header,
        worker=block.worker,
        pool=block.pool,
    )
