"""Shares on their way to the pool, and what became of the others."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.miner.connection import PoolConnection

log = logging.getLogger(__name__)

_DUPLICATE = 22
_STALE = 21
_MAX_UNANSWERED = 10_000


def _new_future() -> asyncio.Future[bool]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class PendingShare:
    """A share without a verdict; ``connection`` is the one whose job it belongs to."""

    job_id: str
    extranonce2: bytes
    ntime: int
    nonce: int
    version_bits: int | None
    connection: PoolConnection
    submit_id: int = 0
    resubmitted: bool = False
    accepted: asyncio.Future[bool] = field(default_factory=_new_future)


class ShareLedger:
    """Counts: ``accepted``, ``rejected`` (``stale`` among them) and ``lost``: the pool's verdict was never heard."""

    def __init__(self) -> None:
        self.accepted = 0
        self.rejected = 0
        self.stale = 0
        self.lost = 0
        self._in_flight: dict[int, PendingShare] = {}
        self._waiting: list[PendingShare] = []
        self._ended = False

    def submit(self, share: PendingShare, connection: PoolConnection | None, username: str) -> None:
        """Sends a share, or keeps it until the pool is back."""
        if connection is None and not self._ended and len(self._waiting) < _MAX_UNANSWERED:
            self._waiting.append(share)
        elif connection is None or not _belongs(share, connection) or len(self._in_flight) >= _MAX_UNANSWERED:
            self._lose(share)
        else:
            self._send(share, connection, username)

    def verdict(self, submit_id: int, error: tuple[int, str] | None) -> None:
        """Takes the pool's answer."""
        share = self._in_flight.pop(submit_id, None)
        if share is None:
            return
        # The pool had taken it before the connection broke, and only its answer was lost.
        counted_before = share.resubmitted and error is not None and error[0] == _DUPLICATE
        if error is None or counted_before:
            self.accepted += 1
            _settle(share, accepted=True)
            return
        self.rejected += 1
        self.stale += error[0] == _STALE
        log.warning("Share rejected by the pool: [%d] %s (job %s, nonce %d)", *error, share.job_id, share.nonce)
        _settle(share, accepted=False)

    def connection_lost(self) -> None:
        """What was in flight waits for the next connection."""
        for share in self._in_flight.values():
            share.resubmitted = True
            self._waiting.append(share)
        self._in_flight.clear()

    def resubmit(self, connection: PoolConnection, username: str) -> None:
        """Sends what waits, if the new connection goes on where the old one broke; else it is lost."""
        waiting, self._waiting = self._waiting, []
        for share in waiting:
            if _belongs(share, connection):
                self._send(share, connection, username)
            else:
                self._lose(share)

    def give_up(self, share: PendingShare) -> None:
        """Waits for that share's verdict no longer."""
        if share in self._waiting:
            self._waiting.remove(share)
        elif self._in_flight.pop(share.submit_id, None) is not None:
            share.connection.forget(share.submit_id)
        self._lose(share)

    def end(self) -> None:
        """Waits for no verdict any longer: there will be no connection again."""
        self._ended = True
        for share in (*self._waiting, *self._in_flight.values()):
            self._lose(share)
        self._waiting.clear()
        self._in_flight.clear()

    def _send(self, share: PendingShare, connection: PoolConnection, username: str) -> None:
        share.connection = connection
        share.submit_id = connection.submit(
            username, share.job_id, share.extranonce2, share.ntime, share.nonce, share.version_bits
        )
        self._in_flight[share.submit_id] = share

    def _lose(self, share: PendingShare) -> None:
        self.lost += 1
        log.warning("Share lost with its connection: job %s, nonce %d", share.job_id, share.nonce)
        _settle(share, accepted=False)


def _belongs(share: PendingShare, connection: PoolConnection) -> bool:
    """Whether a share can count on this connection: it is the job's own, or resumes its session."""
    old = share.connection
    same_session = bool(old.session_id) and old.session_id == connection.session_id
    return old is connection or (same_session and old.extranonce1 == connection.extranonce1)


def _settle(share: PendingShare, *, accepted: bool) -> None:
    if not share.accepted.done():
        share.accepted.set_result(accepted)
