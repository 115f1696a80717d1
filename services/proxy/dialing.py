"""One try to connect to a pool."""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

from services.proxy.upstream import Upstream
from services.proxy.upstream_listener import Loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool
    from services.proxy.work import Work


class DialError(Exception):
    """The pool cannot be had; ``loss`` says why."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.why)
        self.loss = loss


async def dial(
    pool: Pool, endpoint: PoolEndpoint, users: Sequence[str], *, with_job: bool = False, host: str = "", port: int = 0
) -> Upstream:
    """An upstream that is ready, and, where that is asked for, has a job. Who takes it sets its ``listener``.

    ``host`` and ``port`` replace the endpoint's for this once. Raises DialError, within the bounds of ``Patience``.
    """
    handshake = _Handshake(with_job=with_job)
    upstream = Upstream(pool, endpoint, handshake, users)
    try:
        seconds = pool.proxy.patience.connect_seconds
        await _connect(upstream, host or endpoint.host, port or endpoint.port, seconds)
        await handshake.done
        if not upstream.is_alive:
            raise DialError(handshake.loss)
    except BaseException:
        upstream.retire()
        raise
    return upstream


async def _connect(upstream: Upstream, host: str, port: int, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().create_connection(
                lambda: upstream, host, port, ssl=_trusting_context() if upstream.endpoint.tls else None
            )
    except TimeoutError:
        raise DialError(Loss("cannot connect: timeout", conclusive=True)) from None
    except (OSError, UnicodeError) as error:
        raise DialError(Loss(f"cannot connect: {error}")) from None


@lru_cache(maxsize=1)
def _trusting_context() -> ssl.SSLContext:
    """Checks a pool's certificate and name against the authorities that this machine trusts."""
    return ssl.create_default_context()


class _Handshake:
    """Listens until somebody takes the upstream over."""

    def __init__(self, *, with_job: bool) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.loss = Loss("the pool closed the connection")
        self._with_job = with_job

    def upstream_ready(self, upstream: Upstream) -> None:
        if upstream.current is not None or not self._with_job:
            self._finish()

    def upstream_changed(self, upstream: Upstream) -> None:
        """Who takes the upstream over reads it there."""

    def job_received(self, work: Work) -> None:
        self._finish()

    def upstream_lost(self, upstream: Upstream, loss: Loss) -> None:
        self.loss = loss
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
