"""What differs between the configuration in force and a new one. Pure: nothing is opened, closed or read here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from services.proxy.reloading import ConfigurationRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.proxy.options import PoolOptions, ProxyOptions

_LIVE: Final = ("pools", "limits", "silence_seconds", "drain_seconds")
_SETTINGS: Final = {
    "name": "the host's name",
    "spool": "--data",
    "spool_max_bytes": "SPOOL_MAX_BYTES",
    "clickhouse": "CLICKHOUSE_*",
    "host": "PROXY_HOST",
    "metrics_host": "METRICS_HOST",
    "metrics_port": "METRICS_PORT",
    "tls": "[tls]",
    "trusted_proxies": "TRUSTED_PROXIES",
}


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """The way from one configuration to the next. ``options`` are those in force after it.

    ``kept`` are all pools that stay, as they will be; ``changed`` those of them in which something differs.
    """

    options: ProxyOptions
    added: tuple[PoolOptions, ...]
    removed: tuple[str, ...]
    kept: tuple[PoolOptions, ...]
    changed: frozenset[str]
    new_ports: Mapping[str, Mapping[bool, int]]
    """For each pool that will listen elsewhere than it does: the ports to open, by whether TLS is spoken there."""
    new_limits: bool
    after_restart: tuple[str, ...]
    """Settings that differ and take effect only at the next start."""

    @property
    def touched_pools(self) -> tuple[str, ...]:
        """The pools that are added, removed or changed, by name."""
        return tuple(sorted({*self.removed, *self.changed, *(pool.name for pool in self.added)}))


def change_between(before: ProxyOptions, after: ProxyOptions) -> ConfigurationChange:
    """What has to be done to go from ``before`` to ``after``. Raises ConfigurationRefused where there is no way."""
    old = {pool.name: pool for pool in before.pools}
    kept = tuple(pool for pool in after.pools if pool.name in old)
    live: dict[str, Any] = {name: getattr(after, name) for name in _LIVE}
    try:
        options = replace(before, **live)
    except ValueError as error:
        # Each stands by itself, but not the new pools with what only a restart changes.
        raise ConfigurationRefused(f"this needs a restart: {error}") from None
    ports = {pool.name: _new_ports(old.get(pool.name), pool) for pool in after.pools}
    return ConfigurationChange(
        options=options,
        added=tuple(pool for pool in after.pools if pool.name not in old),
        removed=tuple(name for name in old if name not in {pool.name for pool in after.pools}),
        kept=kept,
        changed=frozenset(pool.name for pool in kept if pool != old[pool.name]),
        new_ports={name: new for name, new in ports.items() if new is not None},
        new_limits=before.limits != after.limits,
        after_restart=tuple(
            _SETTINGS.get(field.name, field.name)
            for field in fields(before)
            if field.name not in _LIVE and getattr(before, field.name) != getattr(after, field.name)
        ),
    )


def _new_ports(before: PoolOptions | None, after: PoolOptions) -> Mapping[bool, int] | None:
    """None where it listens where it did."""
    old = before.ports if before is not None else {}
    if old == after.ports:
        return None
    return {tls: port for tls, port in after.ports.items() if old.get(tls) != port}
