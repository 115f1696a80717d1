"""The merge miner with what it lacks by itself: settings, and a way for its blocks into ClickHouse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, cast

from services.command import options
from services.command.mistake import Mistake
from services.miner import direct, server
from services.miner.chain import Chain
from services.miner.client import traffic_log
from services.miner.options import Effort, MinerOptions
from services.miner.priority import affordable_intensity, available_cpus
from services.warehouse import records
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from services.command.configuration import Configuration
    from services.miner.found_block import FoundBlock

CHAINS = {"btc": Chain.BTC, "rollpow": Chain.ROLLPOW, "tetra": Chain.TETRAPOW}
# What ClickHouse has not got by then stays in the spool, for the next start.
_DRAIN_SECONDS = 0.5


def effort(chains: str, threads: int | None, intensity_percent: float | None, *, in_background: bool) -> Effort:
    """What the command line asks for. Raises Mistake for a chain that there is not."""
    named = [name.strip().lower() for name in chains.split(",") if name.strip()]
    if not named or (unknown := [name for name in named if name not in CHAINS]):
        told = f"{', '.join(unknown)} is no chain" if named else "no chain is named"
        raise Mistake(f"--chains: {told}; there are {', '.join(CHAINS)}, with commas between them")
    threads = threads or available_cpus()
    return Effort(
        chains=tuple(chain for name, chain in CHAINS.items() if name in named),
        threads=threads,
        intensity_percent=intensity_percent or affordable_intensity(threads),
        in_background=in_background,
    )


def be_calm() -> None:
    """Leave the lines about each job and each share away."""
    traffic_log.setLevel(logging.WARNING)


async def mine(configuration: Configuration, block_file: Path, effort: Effort) -> None:
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
        tls=settings.mining_pool_tls,
        effort=effort,
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
