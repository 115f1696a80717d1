"""The threads that try headers."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from services.miner.kernels.scan import NONCES
from services.miner.priority import step_back

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from services.miner.chain import Chain
    from services.miner.kernel_source import KernelSource
    from services.miner.kernels.scan import Hit, Kernel
    from services.miner.mining_job import MiningJob, Work

PASS_SECONDS = 0.005
"""Of processor time: so short that a new job is begun at once. Python's share is then 1.6 percent, with twice as long
passes 1.3, with half as long ones 2.8.
"""
_FIRST_PASS_NONCES = 1024
_LAST_PASS_SECONDS = 0.4
_STEP_SECONDS = 0.2
_LOADING_STEP_SECONDS = 0.01


class MiningThreads:
    """Mines the current job with so many threads, each on headers of its own.

    ``intensity_percent`` is the part of the time that each works. ``in_background`` takes only the processor time that
    others leave, once there is something to mine. With a number of ``trials``, the threads share it evenly, try one
    version of each header, and end.

    ``on_hits`` is called in the event loop with what a pass found, and the thread waits until it is done; with a number
    of trials after each pass, also without hits.
    """

    def __init__(
        self,
        source: KernelSource,
        next_work: Callable[[MiningJob], Work],
        on_hits: Callable[[Work, tuple[Hit, ...]], Coroutine[Any, Any, None]],
        *,
        chains: Sequence[Chain],
        threads: int = 1,
        intensity_percent: float = 100.0,
        in_background: bool = False,
        trials: int | None = None,
    ) -> None:
        self._source = source
        self._next_work = next_work
        self._on_hits = on_hits
        self._chains = tuple(chains)
        self._intensity = intensity_percent / 100
        self._in_background = in_background
        self._is_bounded = trials is not None
        whole, rest = divmod(trials or 0, threads)
        self._shares = [whole + (index < rest) for index in range(threads)]
        self._done = [0] * threads
        self._job: MiningJob | None = None
        self._begun: list[MiningJob | None] = [None] * threads
        self._taking: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._abandoned = False
        self._changed = threading.Condition()

    @property
    def trials(self) -> int:
        """Headers tried so far, each on every chain."""
        return sum(self._done)

    def has_begun(self, mining_job: MiningJob) -> bool:
        """Whether every thread works on that job."""
        return all(begun is mining_job for begun in self._begun)

    @property
    def is_idle(self) -> bool:
        """Whether no thread works on a job."""
        return not any(self._begun)

    def mine(self, mining_job: MiningJob | None) -> None:
        """Leaves the job before at once; None is nothing to mine."""
        with self._changed:
            self._job = mining_job
            self._changed.notify_all()

    def stop(self) -> None:
        """Lets the threads end after their current pass."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    async def run(self) -> None:
        """Returns when all threads have ended; raises what one of them raised."""
        self._loop = asyncio.get_running_loop()
        count = len(self._shares)
        pool = ThreadPoolExecutor(count, thread_name_prefix="miner")
        running = [self._loop.run_in_executor(pool, self._run, index) for index in range(count)]
        try:
            # Not gather: it would give up the threads when it is cancelled, and they wait for this loop.
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            for thread in done:
                thread.result()
        finally:
            self.stop()
            try:
                # What the last pass found is still taken, unless that waits for a pool that does not answer.
                await asyncio.wait(running, timeout=_LAST_PASS_SECONDS)
            finally:
                self._abandoned = True
                for task in tuple(self._taking):
                    task.cancel()
                pool.shutdown(wait=False)

    def _run(self, index: int) -> None:
        has_stepped_back = False
        while (mining_job := self._wait_for_job(index)) is not None:
            if self._in_background and not has_stepped_back:
                step_back()
                has_stepped_back = True
            self._mine(index, mining_job)
            self._begun[index] = None

    def _wait_for_job(self, index: int) -> MiningJob | None:
        with self._changed:
            while not self._stopped and not self._is_done(index):
                # Where the interpreter does the hashing, a second thread would only disturb the first.
                if self._job is not None and (index == 0 or self._is_bounded or self._source.is_compiled):
                    return self._job
                self._changed.wait(_STEP_SECONDS)
        return None

    def _mine(self, index: int, mining_job: MiningJob) -> None:
        """One header's nonces, until there is another job."""
        work = self._next_work(mining_job)
        factory, kernel = self._kernel(work)
        nonce = 0
        count = _FIRST_PASS_NONCES
        self._begun[index] = mining_job
        while self._job is mining_job and not self._stopped and not self._is_done(index) and nonce < NONCES:
            if self._source.is_loading:
                self._rest(mining_job, _LOADING_STEP_SECONDS)
                continue
            if factory is not self._source.current:
                factory, kernel = self._kernel(work)
                count = _FIRST_PASS_NONCES
            if self._is_bounded:
                count = min(count, self._shares[index] - self._done[index])
            began = time.thread_time()
            scan = kernel.scan(nonce, min(count, NONCES - nonce))
            worked_seconds = time.thread_time() - began
            nonce += scan.nonces
            self._done[index] += scan.nonces * len(kernel.versions)
            if scan.hits or self._is_bounded:
                self._deliver(work, scan.hits)
            count = max(_FIRST_PASS_NONCES, int(scan.nonces * min(PASS_SECONDS / max(worked_seconds, 1e-6), 2.0)))
            if self._intensity < 1:
                self._rest(mining_job, worked_seconds * (1 / self._intensity - 1))

    def _kernel(self, work: Work) -> tuple[object, Kernel]:
        factory = self._source.current
        versions = work.versions[:1] if self._is_bounded else work.versions
        return factory, factory.kernel(work.prefix(), work.mining_job.targets(self._chains), versions)

    def _deliver(self, work: Work, hits: tuple[Hit, ...]) -> None:
        """Waits until the event loop has dealt with it: a target that very many hashes meet must not flood it."""
        taken: Future[None] = Future()
        try:
            self._loop.call_soon_threadsafe(self._take, work, hits, taken)
        except RuntimeError:  # the loop is closed: nobody waited for this thread
            return
        while not self._abandoned:
            try:
                return taken.result(_STEP_SECONDS)
            except TimeoutError:
                continue

    def _take(self, work: Work, hits: tuple[Hit, ...], taken: Future[None]) -> None:
        task = self._loop.create_task(self._on_hits(work, hits))
        self._taking.add(task)

        def tell(done: asyncio.Task[None]) -> None:
            self._taking.discard(done)
            error = None if done.cancelled() else done.exception()
            if error is None:
                taken.set_result(None)
            else:
                taken.set_exception(error)

        task.add_done_callback(tell)

    def _rest(self, mining_job: MiningJob, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._job is not mining_job, seconds)

    def _is_done(self, index: int) -> bool:
        return self._is_bounded and self._done[index] >= self._shares[index]
