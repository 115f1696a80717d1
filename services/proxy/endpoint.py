"""Where a pool is reached, and as whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WORKER_FIELD: Final = "{worker}"


def host_and_port(host: str, port: int) -> str:
    """ "host:port", with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class PoolEndpoint:
    """One address of a pool.

    ``{worker}`` in ``user`` stands for what follows the last "." of the name that a miner authorized, or all of it.
    """

    host: str
    port: int
    user: str
    password: str = field(default="x", repr=False)

    @property
    def address(self) -> str:
        """ "host:port", as it is recorded with each share."""
        return host_and_port(self.host, self.port)

    @property
    def per_worker_users(self) -> bool:
        """Whether each worker goes up under a name of its own."""
        return WORKER_FIELD in self.user

    def users_for(self, workers: Iterable[str]) -> list[str]:
        """The names to authorize before any share goes up."""
        return [self.user_for(worker) for worker in workers] if self.per_worker_users else [self.user]

    def user_for(self, worker: str) -> str:
        """The name under which a worker's shares go up."""
        if WORKER_FIELD not in self.user:
            return self.user
        return self.user.replace(WORKER_FIELD, worker.rpartition(".")[2] or worker)
