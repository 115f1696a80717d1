"""A miner at work on a demo pool, directly or through the proxy, to which all happens that happens to miners."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.miner import AsyncMergeMiner, AsyncStratumClient, Effort, share_ledger
from services.proxy.server import Proxy
from services.tests.proxy.conftest import miner_port, proxy_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

DIFFICULTY = 2.0**-18
"""Of the rig's pool; a share in 16,384 headers."""


_REFUSED = "Share rejected by the pool: "
_STALE = "[21] "
# What the proxy answers for shares that were on their way to a pool whose connection broke.
_NO_VERDICT = "[20] No verdict from the pool"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The miner's counts, why shares were refused, and the hashes in the pool's own log."""

    accepted: int
    rejected: int
    lost: int
    refusals: tuple[str, ...]
    logged: tuple[str, ...]

    @property
    def stale(self) -> int:
        """The chain or the connection had gone on."""
        return sum(one.startswith(_STALE) for one in self.refusals)

    @property
    def without_verdict(self) -> int:
        """The proxy's pool went away before it answered."""
        return sum(one.startswith(_NO_VERDICT) for one in self.refusals)

    @property
    def faults(self) -> tuple[str, ...]:
        """Refusals that should not be."""
        return tuple(one for one in self.refusals if not one.startswith((_STALE, _NO_VERDICT)))

    @property
    def agrees(self) -> bool:
        """Whether the pool's log has each accepted share, none twice, and no more than may have lost its answer."""
        most = self.accepted + self.lost + self.stale + self.without_verdict
        is_whole = len(self.refusals) == self.rejected and len(set(self.logged)) == len(self.logged)
        return is_whole and self.accepted <= len(self.logged) <= most


class _Refusals(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(_REFUSED):
            self.texts.append(text.removeprefix(_REFUSED))


class MiningRig:
    """A miner on compiled code with two threads, and the pool that it mines on. ``async with`` starts and ends it."""

    def __init__(
        self,
        folder: Path,
        *,
        through_proxy: bool,
        version_mask: int = 0x1FFFE000,
        options: DemoPoolOptions | None = None,
    ) -> None:
        """``options`` are the pool's, if not the usual ones."""
        self._folder = folder
        self._through_proxy = through_proxy
        self._options = options or DemoPoolOptions(
            data=folder / "pool",
            port=0,
            fixed_difficulty=DIFFICULTY,
            network_difficulty=1.0,
            version_mask=version_mask,
        )
        self._stack = AsyncExitStack()
        self._refusals = _Refusals()

    async def __aenter__(self) -> MiningRig:
        share_ledger.log.addHandler(self._refusals)
        self._stack.callback(share_ledger.log.removeHandler, self._refusals)
        await self._open_pool(0)
        port = self.pool.port
        if self._through_proxy:
            proxy = await self._stack.enter_async_context(Proxy(proxy_options(self._folder / "spool", port)))
            port = miner_port(proxy)
        self.client = AsyncStratumClient("127.0.0.1", port, "wallet.rig", "x")
        await self.client.connect()
        blocks = self._folder / "blocks.json"
        self.miner = AsyncMergeMiner(self.client, b"", block_file=blocks, effort=Effort(threads=2))
        self._mining = asyncio.gather(self.client.receive_jobs(), self.miner.mine_forever(60))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        await self._mining
        await self.pool.__aexit__()
        await self._stack.aclose()

    async def everything(self, shares: int) -> None:
        """So many shares at least, with each kind of event at an even part of the way."""
        part = -(-shares // 7)
        await self.more(part)
        self.pool.pool.announce(clean_jobs=True)
        await self.more(part)
        self.pool.pool.change_difficulty(DIFFICULTY / 2)
        await self.more(part)
        await self._pool_changes_extranonce()
        await self.more(part)
        self.pool.pool.change_difficulty(DIFFICULTY * 2)
        await self.more(part)
        self.pool.drop_connections()
        await self.more(part)
        await self._restart_pool()
        await self.more(part)

    async def more(self, shares: int) -> None:
        """Returns when so many more were accepted."""
        wanted = self.client.shares.accepted + shares
        await self.until(lambda: self.client.shares.accepted >= wanted)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits, as long as the miner works."""
        while not condition():
            assert not self._mining.done()
            await asyncio.sleep(0.02)

    def outcome(self) -> Outcome:
        """To be asked when the rig has ended."""
        shares = self.client.shares
        lines = (self._folder / "pool" / "accepted.log").read_text().splitlines()
        logged = tuple(line.split("\t")[0] for line in lines)
        return Outcome(shares.accepted, shares.rejected, shares.lost, tuple(self._refusals.texts), logged)

    async def _pool_changes_extranonce(self) -> None:
        """Returns once the miner works there; the proxy may go on to show what it did."""
        job = self.client.job
        self.pool.pool.change_extranonces()
        if job is not None and not self._through_proxy:
            await self.until(lambda: self.client.job is not None and self.client.job.extranonce1 != job.extranonce1)

    async def _restart_pool(self) -> None:
        port = self.pool.port
        await self.pool.__aexit__()
        await self._open_pool(port)

    async def _open_pool(self, port: int) -> None:
        self.pool = DemoPoolServer(replace(self._options, port=port))
        await self.pool.__aenter__()
