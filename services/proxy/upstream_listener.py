"""What an upstream tells those who work on its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from services.proxy.upstream import Upstream
    from services.proxy.work import Work


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a connection ended, and the pause that the pool asked for before the next one, or 0.

    ``conclusive``: there is no point in trying the same address again at once. ``host`` and ``port``: where the pool
    wants the next connection, "" and 0 for the configured ones.
    """

    why: str
    pause_seconds: float = 0.0
    conclusive: bool = False
    host: str = ""
    port: int = 0


class UpstreamListener(Protocol):
    """Who works on an upstream's jobs. Nothing is told before ``upstream_ready`` or after ``upstream_lost``."""

    def upstream_ready(self, upstream: Upstream) -> None:
        """Extranonce and version mask are known; difficulty and ``current`` job may be."""

    def upstream_changed(self, upstream: Upstream) -> None:
        """The pool changed its difficulty or its version mask."""

    def job_received(self, work: Work) -> None:
        """A new job; difficulty and extranonce that the pool set before it hold for it."""

    def upstream_lost(self, upstream: Upstream, loss: Loss) -> None:
        """The connection is gone."""
