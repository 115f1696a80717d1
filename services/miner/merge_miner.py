"""The merge miner: one pass over the nonces for all chains, shares to the pool, blocks kept."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from services.miner.block_file import DEFAULT_BLOCK_FILE, problem_of, save_blocks_to_file
from services.miner.chain import Chain
from services.miner.client import traffic_log
from services.miner.found_block import FoundBlock
from services.miner.kernel_source import KernelSource
from services.miner.mining_threads import MiningThreads
from services.miner.options import Effort
from services.miner.status_line import LiveLine, StatusLine
from services.stratum.difficulty import actual_difficulty, hash_value
from services.stratum.header import display

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path
    from typing import Any

    from services.miner.client import AsyncStratumClient
    from services.miner.kernels.scan import Hit
    from services.miner.mining_job import MiningJob, Work

log = logging.getLogger(__name__)

_LAST_VERDICTS_SECONDS = 10.0
_MAX_LOGGED_MESSAGE_BYTES = 200
# Where the pool falls behind with its answers, the threads wait for it.
_MOST_UNANSWERED = 1000
_DRAW_SECONDS = 1.0
# Of a terminal that does not say how wide it is.
_COLUMNS = 80


class AsyncMergeMiner:
    """Mines a client's jobs for BTC, RollPoW and Tetra-PoW, or those of them that ``effort`` names.

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
        effort: Effort | None = None,
    ) -> None:
        self.stratum_client = stratum_client
        self.message = message
        self.start_time = time.time()
        self.best_share = 0.0
        self._effort = effort or Effort()
        self._kernels = KernelSource(self.chains, self._effort.kernel_cache)
        self._threads: MiningThreads | None = None
        self._earlier_trials = 0
        self._blocks = dict.fromkeys(Chain, 0)
        self._block_file = block_file
        self._unsaved: list[dict[str, Any]] = []
        self._on_block = on_block
        self._submits: set[asyncio.Task[bool]] = set()
        self._may_go_on = asyncio.Event()

    @property
    def chains(self) -> tuple[Chain, ...]:
        """What is mined."""
        return self._effort.chains

    @property
    def trials(self) -> int:
        """Headers tried so far, each on every chain."""
        return self._earlier_trials + (self._threads.trials if self._threads is not None else 0)

    @property
    def blocks(self) -> Mapping[Chain, int]:
        """How many were found, by chain."""
        return self._blocks

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
        next_line = self.trials + log_interval

        async def after_pass(work: Work, hits: tuple[Hit, ...]) -> None:
            nonlocal next_line
            await self._take_hits(work, hits)
            while next_line <= self.trials:
                self.log_progress(next_line)
                next_line += log_interval

        await self._mine(self._new_threads(after_pass, iterations))

    async def mine_forever(self, progress_seconds: float) -> None:
        """Mines until the task is cancelled or the client is closed.

        How it goes is a line that rewrites itself on a terminal, else one in the log every ``progress_seconds``.
        """
        await self._mine(self._new_threads(self._take_hits, None), self._tell_progress(progress_seconds))

    def log_progress(self, nonce: int) -> None:
        """Logs time, nonce and the blocks found so far."""
        traffic_log.info("[Progress] Elapsed Time: %.2fs, Nonce: %d", time.time() - self.start_time, nonce)
        traffic_log.info(
            "BTC Blocks Found: %d, RollPoW Blocks Found: %d, Tetra-PoW Blocks Found: %d",
            self.blocks_mined_btc,
            self.blocks_mined_rollpow,
            self.blocks_mined_tetrapow,
        )

    def _new_threads(
        self, on_hits: Callable[[Work, tuple[Hit, ...]], Coroutine[Any, Any, None]], trials: int | None
    ) -> MiningThreads:
        self._earlier_trials = self.trials
        effort = self._effort
        self._threads = MiningThreads(
            self._kernels,
            self.stratum_client.next_work,
            on_hits,
            chains=effort.chains,
            threads=effort.threads,
            intensity_percent=effort.intensity_percent,
            in_background=effort.in_background,
            trials=trials,
        )
        return self._threads

    async def _mine(self, threads: MiningThreads, *beside: Coroutine[Any, Any, None]) -> None:
        if (problem := problem_of(self._block_file)) is not None:
            log.warning("Found blocks cannot be written to %s as things are: %s.", self._block_file, problem)
        log.info("Merge mining; payload (not part of any header): %r", self.message[:_MAX_LOGGED_MESSAGE_BYTES])
        self.start_time = time.time()
        tasks = [asyncio.ensure_future(each) for each in (self._kernels.improve(), self._follow_jobs(threads), *beside)]
        try:
            await threads.run()
            await self._last_verdicts()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._save()
            await self.stratum_client.close()

    async def _follow_jobs(self, threads: MiningThreads) -> None:
        client = self.stratum_client
        job = client.job
        threads.mine(job)
        while not client.is_closed:
            job = await client.job_after(job)
            threads.mine(job)
            self._may_go_on.set()
        threads.stop()

    async def _tell_progress(self, progress_seconds: float) -> None:
        status = StatusLine(self)
        if not sys.stderr.isatty():
            while True:
                await asyncio.sleep(progress_seconds)
                self.log_progress(self.trials)
                traffic_log.info("%s", status.text())
        with LiveLine(status) as line:
            while True:
                await asyncio.sleep(_DRAW_SECONDS)
                line.draw(os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS)

    async def _take_hits(self, work: Work, hits: tuple[Hit, ...]) -> None:
        mining_job = work.mining_job
        solved = {hit for hit in hits if hash_value(hit.hash) <= hit.chain.target(mining_job.network_target)}
        # Before the pool is waited for: what is found is kept also where that is cut short.
        for hit in hits:
            if hit in solved:
                self._keep(self._block(work, hit))
        is_solved = False
        for hit in hits:
            if hit.chain is Chain.BTC:
                self.best_share = max(self.best_share, actual_difficulty(hit.hash))
                is_block = hit in solved
                # Shares behind a block of the same job would only be told that they are stale.
                if is_block or not (is_solved or self._is_stale(mining_job)):
                    await self._submit(work, hit, is_block=is_block)
                is_solved = is_solved or is_block
        if solved:
            await self._save()

    def _keep(self, block: FoundBlock) -> None:
        """Neither a full disk nor a failing receiver ends the mining: the log has the blocks, too."""
        self._unsaved.append({"type": block.chain, "nonce": block.nonce, "height": block.height, "hash": block.hash})
        if self._on_block is not None:
            try:
                self._on_block(block)
            except Exception:
                log.exception("A found block could not be handed on: %s %s", block.chain, block.hash)

    async def _save(self) -> None:
        """What cannot be written is tried again with the next block, and at the end."""
        entries, self._unsaved = self._unsaved, []
        if not entries:
            return
        try:
            await asyncio.to_thread(save_blocks_to_file, entries, self._block_file)
        except OSError as error:
            self._unsaved = entries + self._unsaved
            log.error("%d found blocks could not be written to %s: %s", len(entries), self._block_file, error)

    def _is_stale(self, mining_job: MiningJob) -> bool:
        """Whether the chain went on during the pass."""
        current = self.stratum_client.job
        return current is not None and current.job.prevhash != mining_job.job.prevhash

    async def _submit(self, work: Work, hit: Hit, *, is_block: bool) -> None:
        while len(self._submits) >= _MOST_UNANSWERED and not is_block:
            self._may_go_on.clear()
            await self._may_go_on.wait()
            if self._is_stale(work.mining_job):
                return
        submitting = self.stratum_client.submit_work(work, hit.nonce, version_bits=hit.version)
        task = asyncio.get_running_loop().create_task(submitting)
        self._submits.add(task)
        task.add_done_callback(self._submitted)

    def _submitted(self, task: asyncio.Task[bool]) -> None:
        self._submits.discard(task)
        self._may_go_on.set()

    def _block(self, work: Work, hit: Hit) -> FoundBlock:
        client = self.stratum_client
        block = FoundBlock(
            ts_ms=time.time_ns() // 1_000_000,
            chain=hit.chain.label,
            height=work.mining_job.height,
            nonce=hit.nonce,
            hash=display(hit.hash),
            header=work.header(hit.nonce, hit.version),
            worker=client.username,
            pool=f"{client.host}:{client.port}",
        )
        self._blocks[hit.chain] += 1
        log.info(
            "%s Block Mined! Nonce: %d, Height: %d, Hash: %s", hit.chain.title, block.nonce, block.height, block.hash
        )
        return block

    async def _last_verdicts(self) -> None:
        if self._submits:
            await asyncio.wait(self._submits, timeout=_LAST_VERDICTS_SECONDS)
