"""What a pool says beside its work, for the log: so much of each connection's, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from services.proxy.upstream import Upstream

log = structlog.get_logger()

_MAX_TOLD: Final = 20
_MAX_UNREADABLE: Final = 100


class PoolRemarks:
    """One connection's."""

    __slots__ = ("_facts", "_told", "_unreadable")

    def __init__(self, upstream: Upstream) -> None:
        self._facts = {"pool_label": upstream.pool.name, "pool": upstream.endpoint.address}
        self._told = self._unreadable = 0

    def message(self, text: str) -> None:
        """A sentence for whoever runs the miners."""
        if self._may_tell():
            log.info("pool_message", text=text, **self._facts)

    def redirect_refused(self, host: str, port: int) -> None:
        """The pool wants us elsewhere, where the operator does not let us go."""
        if self._may_tell():
            log.warning("pool_redirect_refused", host=host, port=port, **self._facts)

    def unreadable(self, why: str) -> bool:
        """A message that made no sense; False where that is too much of it to be Stratum."""
        self._unreadable += 1
        if self._unreadable == 1:
            log.warning("pool_unreadable", why=why, **self._facts)
        return self._unreadable <= _MAX_UNREADABLE

    def _may_tell(self) -> bool:
        self._told += 1
        return self._told <= _MAX_TOLD
