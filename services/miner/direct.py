"""``python3 async_merge_miner.py``: mining with four environment variables and nothing installed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from services.miner.client import AsyncStratumClient
from services.miner.merge_miner import AsyncMergeMiner
from services.miner.options import Effort
from services.miner.priority import affordable_intensity, available_cpus
from services.miner.server import log_summary

DEFAULT_HOST = "solo.ckpool.org"
DEFAULT_PORT = "3333"
# The address of Bitcoin's first block: a block found without MINING_ADDRESS would be a gift that nobody can spend.
DEFAULT_ADDRESS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa.demo"
DEFAULT_PASSWORD = "x"  # noqa: S105 (what pools expect where there is none)
_PROGRESS_SECONDS = 10.0
_MESSAGE = b"sharehouse merge miner"

log = logging.getLogger(__name__)


def main() -> int:
    """Mines until Ctrl-C; gives the exit code: 0, or 2 where the settings or the pool are wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s [%(levelname)s] %(message)s")
    host = os.environ.get("MINING_POOL_HOST") or DEFAULT_HOST
    port = os.environ.get("MINING_POOL_PORT") or DEFAULT_PORT
    address = os.environ.get("MINING_ADDRESS")
    password = os.environ.get("MINING_PASSWORD") or DEFAULT_PASSWORD
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        log.error("MINING_POOL_PORT is a port between 1 and 65535, not %r.", port)
        return 2
    if not address:
        warn_of_missing_address()
    return asyncio.run(_mine(host, int(port), address or DEFAULT_ADDRESS, password))


def warn_of_missing_address() -> None:
    """Says for whom blocks are mined where nobody is named."""
    log.warning("MINING_ADDRESS is not set: mining for %s, for demonstration only.", DEFAULT_ADDRESS)


def _everything() -> Effort:
    threads = available_cpus()
    return Effort(threads=threads, intensity_percent=affordable_intensity(threads))


async def _mine(host: str, port: int, address: str, password: str) -> int:
    client = AsyncStratumClient(host, port, address, password)
    miner = AsyncMergeMiner(client, _MESSAGE, effort=_everything())
    task = asyncio.ensure_future(_until_stopped(client, miner))
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("Stopped.")
    except OSError as error:
        log.error("%s", error)
        return 2
    finally:
        log_summary(client, miner)
    return 0


async def _until_stopped(client: AsyncStratumClient, miner: AsyncMergeMiner) -> None:
    await client.connect()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.receive_jobs())
        tasks.create_task(miner.mine_forever(_PROGRESS_SECONDS))
