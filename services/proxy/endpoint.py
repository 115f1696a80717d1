"""Where a pool is reached, and as whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WORKER_FIELD: Final = "{worker}"
_USERS_REMEMBERED: Final = 10_000


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
    tls: bool = False
    """Whether the pool speaks TLS there, with a certificate for ``host`` that this machine trusts."""

    address: str = field(init=False, compare=False)
    """ "host:port", as it is recorded with each share."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", host_and_port(self.host, self.port))

    @property
    def per_worker_users(self) -> bool:
        """Whether each worker goes up under a name of its own."""
        return WORKER_FIELD in self.user

    def users_for(self, workers: Iterable[str]) -> list[str]:
        """The names to authorize before any share goes up."""
        return [self.user_for(worker) for worker in workers] if self.per_worker_users else [self.user]

    def user_for(self, worker: str) -> str:
        """The name under which a worker's shares go up."""
        return _user_for(self.user, worker)


@lru_cache(maxsize=_USERS_REMEMBERED)
def _user_for(user: str, worker: str) -> str:
    return user.replace(WORKER_FIELD, worker.rpartition(".")[2] or worker)
