"""Puts a new configuration into force while miners mine: all of it, or nothing where something cannot be had."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.configuration_change import change_between
from services.proxy.listener import reserve
from services.proxy.reloading import ConfigurationRefused, ReloadOutcome

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from services.proxy.configuration_change import ConfigurationChange
    from services.proxy.gate import Gate
    from services.proxy.listener import Listener
    from services.proxy.metrics import Metrics
    from services.proxy.options import PoolOptions, ProxyOptions
    from services.proxy.reloading import Reloading

log = structlog.get_logger()

_PATIENCE_SECONDS: Final = 1.0
_UNFORESEEN: Final = "internal error; the proxy's log says more"


class Reloader:
    """One reload at a time. ``listeners`` are the proxy's own, by the pool's name: it adds to them and takes away.

    ``make`` gives the listener of a new pool, which is not open yet.
    """

    def __init__(
        self,
        options: ProxyOptions,
        reloading: Reloading,
        listeners: dict[str, Listener],
        make: Callable[[PoolOptions, ProxyOptions], Listener],
        gate: Gate,
        metrics: Metrics,
    ) -> None:
        self._options = options
        self._reloading = reloading
        self._listeners = listeners
        self._make = make
        self._gate = gate
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()
        self._leaving: dict[Listener, asyncio.Task[None]] = {}

    async def run(self, tell: Callable[[ReloadOutcome], None]) -> None:
        """Reloads whenever that is asked for on this machine, and tells what became of it, until it is cancelled."""
        while True:
            tell(await self.reload(await self._reloading.asked()))

    async def reload(self, cause: str) -> ReloadOutcome:
        """Reads the configuration anew and goes over to it. Never raises: the outcome says why it was refused."""
        async with self._one_at_a_time:
            try:
                after = await asyncio.to_thread(self._reloading.load)
                outcome = await self._apply(change_between(self._options, after), cause)
            except (ConfigurationRefused, OSError) as error:
                outcome = ReloadOutcome(False, note=str(error))
            except Exception:
                log.exception("reload_failed", cause=cause)
                outcome = ReloadOutcome(False, note=_UNFORESEEN)
            if not outcome.applied:
                log.error("reload_refused", cause=cause, why=outcome.note)
            self._metrics.reloaded(applied=outcome.applied)
            return outcome

    async def stop(self) -> list[Listener]:
        """Reloads no more; gives the listeners of removed pools that still have miners to part with."""
        with suppress(TimeoutError):
            # A disk that hangs may hold up a reload, but not the end.
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._one_at_a_time.acquire()
        leaving = dict(self._leaving)
        for task in leaving.values():
            task.cancel()
        if leaving:
            await asyncio.wait(leaving.values())
        return list(leaving)

    async def _apply(self, change: ConfigurationChange, cause: str) -> ReloadOutcome:
        reserved = self._reserve(change)
        # From here on nothing is left that could be refused.
        self._options = change.options
        if change.new_limits:
            self._gate.reconfigure(change.options.limits)
        for pool in change.kept:
            listener = self._listeners[pool.name]
            listener.pool.reconfigure(pool, change.options)
            if pool.name in reserved:
                await listener.open(reserved[pool.name])
        for pool in change.added:
            self._listeners[pool.name] = listener = self._make(pool, change.options)
            await listener.open(reserved[pool.name])
        for name in change.removed:
            self._part_with(self._listeners.pop(name))
        note = f"takes effect at the next start: {', '.join(change.after_restart)}" if change.after_restart else ""
        log.info(
            "reload",
            cause=cause,
            added=[pool.name for pool in change.added],
            removed=list(change.removed),
            changed=sorted(change.changed),
            limits_changed=change.new_limits,
            after_restart=list(change.after_restart),
        )
        return ReloadOutcome(True, change.touched_pools, note)

    def _reserve(self, change: ConfigurationChange) -> dict[str, dict[bool, socket.socket]]:
        """The sockets of every pool that will listen elsewhere than it does. Raises OSError, keeping none."""
        # A port may go from one pool to another.
        holders = {port: server for listener in self._listeners.values() for port, server in listener.servers.items()}
        reserved: dict[str, dict[bool, socket.socket]] = {}
        try:
            for name, ports in change.new_ports.items():
                reserved[name] = reserve(change.options, name, ports, holders)
        except OSError:
            for sockets in reserved.values():
                for listening in sockets.values():
                    listening.close()
            raise
        return reserved

    def _part_with(self, listener: Listener) -> None:
        task = asyncio.create_task(listener.dismiss(self._options.drain_seconds))
        self._leaving[listener] = task
        task.add_done_callback(lambda _: self._leaving.pop(listener, None))
