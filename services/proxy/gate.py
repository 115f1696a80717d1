"""Who may come in: connections for each address, and addresses that are banned. One for all pools of a proxy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from services.proxy.conduct import Conduct
from services.proxy.limit_hits import LimitHits
from services.proxy.network import network_of
from services.proxy.row_budget import CONNECTIONS_WORTH, RowBudget
from services.proxy.worker_names import WorkerNames

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from services.proxy.miner import Miner
    from services.proxy.options import Limits

_ADDRESSES_REMEMBERED: Final = 65_536
_FORGIVEN: Final = 1.0


class _Address:
    """What is known of one address."""

    __slots__ = ("banned_until", "conduct", "connections")

    def __init__(self, limits: Limits, now: float) -> None:
        self.connections = 0
        self.banned_until = 0.0
        self.conduct = Conduct(limits, now)


class Gate:
    """Addresses are texts without port; an IPv6 one counts with its whole /64, which one host can have to itself."""

    def __init__(
        self, limits: Limits, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.hits = LimitHits(registry, clock)
        self.strangers_rows = RowBudget(limits.unauthorized_rows * CONNECTIONS_WORTH)
        self._names = WorkerNames(limits.new_workers_a_day)
        self.clock = clock
        self._addresses: dict[str, _Address] = {}
        self.hits.banned.set_function(self._banned)

    def refusal(self, address: str) -> tuple[str, str] | None:
        """The limit that keeps a newcomer out, and a sentence for it; None where it may come in."""
        known = self._addresses.get(network_of(address))
        if known is None:
            return None
        if (left := known.banned_until - self.clock()) > 0:
            return "banned", f"banned for {left:.0f} more seconds, after mostly invalid shares"
        if known.connections >= self.limits.connections_per_address:
            return "connections_per_address", f"too many connections from {address}"
        return None

    def enter(self, address: str) -> Conduct:
        """Counts a connection in; gives the conduct of one that has just come."""
        key, now = network_of(address), self.clock()
        known = self._addresses.get(key)
        if known is None:
            known = self._addresses[key] = _Address(self.limits, now)
            self._make_room()
        known.connections += 1
        return Conduct(self.limits, now, known.conduct)

    def leave(self, address: str) -> None:
        """Counts a connection out; what its address did is remembered a while."""
        key, now = network_of(address), self.clock()
        if (known := self._addresses.get(key)) is None:
            return
        known.connections -= 1
        if known.connections <= 0 and known.banned_until <= now and known.conduct.bad < _FORGIVEN:
            del self._addresses[key]

    def reconfigure(self, limits: Limits) -> None:
        """Takes other limits: they hold from now on, also for addresses that are known."""
        self.limits = limits
        self._names.new_a_day = limits.new_workers_a_day
        self.strangers_rows.a_minute = limits.unauthorized_rows * CONNECTIONS_WORTH
        for known in self._addresses.values():
            known.conduct.limits = limits

    def worker_refusal(self, worker: str, miner: Miner) -> str | None:
        """Why a miner cannot have one more worker, None where it can."""
        if len(miner.workers) >= self.limits.workers:
            limit, why = "workers", f"at most {self.limits.workers} workers on one connection"
        elif not self._names.take(worker):
            limit, why = "new_workers_a_day", "no more new worker names today"
        else:
            return None
        self.hits.hit(limit, miner.pool.options.name, miner.address.rpartition(":")[0].strip("[]"))
        return why

    def condemn(self, address: str) -> bool:
        """After mostly invalid shares on one connection: bans the address, unless most of its other shares are good.

        So one broken machine costs a farm that connection alone.
        """
        now = self.clock()
        known = self._addresses.get(network_of(address))
        if known is None or not known.conduct.is_mostly_invalid(now):
            return False
        known.banned_until = now + self.limits.ban_seconds
        # Whoever comes back after that starts anew.
        known.conduct.good = known.conduct.bad = 0.0
        self.hits.bans.inc()
        return True

    def _banned(self) -> float:
        now = self.clock()
        return float(sum(known.banned_until > now for known in tuple(self._addresses.values())))

    def _make_room(self) -> None:
        if len(self._addresses) <= _ADDRESSES_REMEMBERED:
            return
        for key, known in tuple(self._addresses.items()):
            if not known.connections:
                del self._addresses[key]
                if len(self._addresses) <= _ADDRESSES_REMEMBERED * 3 // 4:
                    return
