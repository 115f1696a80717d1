"""The mining loop: one pass over the nonces for three chains."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from services.miner.block_file import DEFAULT_BLOCK_FILE, save_blocks_to_file
from services.miner.chain import Chain
from services.miner.found_block import FoundBlock
from services.miner.kernels.plain import HashlibKernel
from services.miner.kernels.scan import NONCES, Hit
from services.stratum.difficulty import hash_value
from services.stratum.header import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.miner.client import AsyncStratumClient
    from services.miner.mining_job import MiningJob, Work

log = logging.getLogger(__name__)

# A pass this short lets a new job in at once, and costs little to begin.
_PASS_SECONDS = 0.02
_FIRST_PASS_TRIALS = 1024
_LAST_VERDICTS_SECONDS = 10.0
_MAX_LOGGED_MESSAGE_BYTES = 200


class AsyncMergeMiner:
    """Mines a client's jobs for BTC, RollPoW and Tetra-PoW.

    ``message`` is logged as the payload; a real header has no room for it. Every block found is counted, goes to
    ``block_file`` and to ``on_block``, which is called in the event loop.
    """

    def __init__(
        self,
        stratum_client: AsyncStratumClient,
        message: bytes,
        *,
        block_file: Path = DEFAULT_BLOCK_FILE,
        on_block: Callable[[FoundBlock], None] | None = None,
    ) -> None:
        self.stratum_client = stratum_client
        self.message = message
        self.start_time = time.time()
        self.trials = 0
        self._blocks = dict.fromkeys(Chain, 0)
        self._block_file = block_file
        self._on_block = on_block
        self._tasks: set[asyncio.Task[bool]] = set()

    @property
    def blocks_mined_btc(self) -> int:
        return self._blocks[Chain.BTC]

    @property
    def blocks_mined_rollpow(self) -> int:
        return self._blocks[Chain.ROLLPOW]

    @property
    def blocks_mined_tetrapow(self) -> int:
        return self._blocks[Chain.TETRAPOW]

    async def mine(self, iterations: int = 100000, log_interval: int = 500) -> None:
        """Tries exactly that many headers on every chain, logs progress every ``log_interval`` of them, then closes
        the client.

        Waits where there is no job. Raises ValueError for an interval below 1.
        """
        if log_interval < 1:
            raise ValueError(f"log_interval is at least 1, not {log_interval}")
        await self._mine(iterations, log_interval, None)

    async def mine_forever(self, progress_seconds: float) -> None:
        """Mines until the task is cancelled or the client is closed; logs progress by time."""
        await self._mine(None, None, progress_seconds)

    def log_progress(self, nonce: int) -> None:
        """Logs time, nonce and the blocks found so far."""
        log.info("[Progress] Elapsed Time: %.2fs, Nonce: %d", time.time() - self.start_time, nonce)
        log.info(
            "BTC Blocks Found: %d, RollPoW Blocks Found: %d, Tetra-PoW Blocks Found: %d",
            self.blocks_mined_btc,
            self.blocks_mined_rollpow,
            self.blocks_mined_tetrapow,
        )

    async def _mine(self, iterations: int | None, log_interval: int | None, progress_seconds: float | None) -> None:
        log.info("Merge mining; payload (not part of any header): %r", self.message[:_MAX_LOGGED_MESSAGE_BYTES])
        self.start_time = time.time()
        progress = _Progress(self.trials, log_interval, progress_seconds)
        end = None if iterations is None else self.trials + iterations
        try:
            # One thread for passes and block files: the event loop never waits for either.
            with ThreadPoolExecutor(1, thread_name_prefix="miner") as thread:
                while end is None or self.trials < end:
                    mining_job = await self.stratum_client.wait_for_job()
                    if mining_job is None:
                        break
                    await self._mine_work(self.stratum_client.next_work(mining_job), end, progress, thread)
                await self._last_verdicts()
        finally:
            await self.stratum_client.close()

    async def _mine_work(self, work: Work, end: int | None, progress: _Progress, thread: ThreadPoolExecutor) -> None:
        """Goes on with the nonces, which never start over before 2^32, until there is another job."""
        loop = asyncio.get_running_loop()
        kernel = HashlibKernel(work.prefix(), work.mining_job.targets())
        pass_trials = _FIRST_PASS_TRIALS
        while self.stratum_client.job is work.mining_job and (end is None or self.trials < end):
            nonce = self.trials % NONCES
            count = min(pass_trials, NONCES - nonce, progress.trials_left(self.trials))
            if end is not None:
                count = min(count, end - self.trials)
            began = time.perf_counter()
            scan = await loop.run_in_executor(thread, kernel.scan, nonce, count)
            seconds = time.perf_counter() - began
            self.trials += scan.nonces
            if scan.hits:
                await self._take_hits(work, scan.hits, thread)
            if progress.due(self.trials):
                self.log_progress(self.trials)
            if self.trials % NONCES == 0:
                return
            pass_trials = max(_FIRST_PASS_TRIALS, int(scan.nonces * min(_PASS_SECONDS / max(seconds, 1e-6), 2.0)))

    async def _take_hits(self, work: Work, hits: tuple[Hit, ...], thread: ThreadPoolExecutor) -> None:
        mining_job = work.mining_job
        blocks = []
        for hit in hits:
            is_block = hash_value(hit.hash) <= hit.chain.target(mining_job.network_target)
            if hit.chain is Chain.BTC and (is_block or not self._is_stale(mining_job)):
                self._submit(work, hit)
            if is_block:
                blocks.append(self._block(work, hit))
        if blocks:
            await self._keep(blocks, thread)

    async def _keep(self, blocks: list[FoundBlock], thread: ThreadPoolExecutor) -> None:
        """Neither a full disk nor a failing receiver ends the mining: the log has the blocks, too."""
        entries = [{"type": b.chain, "nonce": b.nonce, "height": b.height, "hash": b.hash} for b in blocks]
        try:
            await asyncio.get_running_loop().run_in_executor(thread, save_blocks_to_file, entries, self._block_file)
        except OSError as error:
            log.error("%d found blocks could not be written to %s: %s", len(blocks), self._block_file, error)
        if self._on_block is not None:
            for block in blocks:
                try:
                    self._on_block(block)
                except Exception:
                    log.exception("A found block could not be handed on: %s %s", block.chain, block.hash)

    def _is_stale(self, mining_job: MiningJob) -> bool:
        """Whether the chain went on during the pass."""
        current = self.stratum_client.job
        return current is not None and current.job.prevhash != mining_job.job.prevhash

    def _submit(self, work: Work, hit: Hit) -> None:
        task = asyncio.get_running_loop().create_task(self.stratum_client.submit_work(work, hit.nonce))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _block(self, work: Work, hit: Hit) -> FoundBlock:
        client = self.stratum_client
        block = FoundBlock(
            ts_ms=time.time_ns() // 1_000_000,
            chain=hit.chain.label,
            height=work.mining_job.height,
            nonce=hit.nonce,
            hash=display(hit.hash),
            header=work.header(hit.nonce),
            worker=client.username,
            pool=f"{client.host}:{client.port}",
        )
        self._blocks[hit.chain] += 1
        log.info(
            "%s Block Mined! Nonce: %d, Height: %d, Hash: %s", hit.chain.title, block.nonce, block.height, block.hash
        )
        return block

    async def _last_verdicts(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_VERDICTS_SECONDS)


class _Progress:
    """When the next progress line is due: by trials or by time."""

    def __init__(self, trials: int, interval_trials: int | None, interval_seconds: float | None) -> None:
        self._interval_trials = interval_trials
        self._interval_seconds = interval_seconds
        self._next_trials = trials + (interval_trials or 0)
        self._next_seconds = time.monotonic() + (interval_seconds or 0.0)

    def trials_left(self, trials: int) -> int:
        """How many trials may pass before the next line."""
        return self._next_trials - trials if self._interval_trials is not None else NONCES

    def due(self, trials: int) -> bool:
        """Whether a line is due now; if so, the next one is set."""
        if self._interval_trials is not None and trials >= self._next_trials:
            self._next_trials = trials + self._interval_trials
            return True
        if self._interval_seconds is not None and time.monotonic() >= self._next_seconds:
            self._next_seconds = time.monotonic() + self._interval_seconds
            return True
        return False
