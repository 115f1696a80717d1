"""Starts each service once those before it are ready, starts one that dies again, and stops all in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from services.command.mistake import EXIT_MISTAKE
from services.command.service import Service, ServiceProcess, outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.command.console import Console

STOP_SECONDS = 14.0
# Kept back for each service that is still to be stopped.
_STOP_RESERVE_SECONDS = 0.5
_BACKOFF_FIRST_SECONDS = 0.5
_BACKOFF_LAST_SECONDS = 30.0
# A run of this length was a good one: the next back-off starts from the first step.
_STEADY_SECONDS = 30.0
_ATTEMPTS_BEFORE_READY = 3
_PROBE_INTERVAL_SECONDS = 0.1


class Supervisor:
    """Runs `services`, each `after` those it names, and stops them from last to first. `request_stop` ends it.

    Each of them inherits the file descriptors `inherited`.
    """

    def __init__(self, services: Sequence[Service], console: Console, inherited: Sequence[int] = ()) -> None:
        self._services = services
        self._console = console
        self._inherited = inherited
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._running: dict[str, ServiceProcess] = {}
        self._answering: set[str] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._exit_code = 0
        self._done: set[str] = set()

    @property
    def waiting(self) -> list[str]:
        """Services that the others run without, by name, because they wait for what somebody must mend."""
        return [service.name for service in self._services if service.name not in self._done]

    def request_stop(self) -> None:
        """Stop everything in order; asked for a second time: at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def request_reload(self) -> None:
        """Let those services that can read their configuration anew."""
        for service in self._services:
            if not service.reloads_on_hangup:
                continue
            if service.name in self._answering:
                self._running[service.name].hang_up()
            else:
                # The signal would end it before it listens to signals.
                self._console.say(f"{service.name} is not ready; it reads its configuration when it starts")

    async def run(self, when_ready: Callable[[], Awaitable[None]]) -> int:
        """Run until asked to stop, or until a service cannot be started; returns the exit code.

        `when_ready` runs beside the services once all of them are ready, and is cancelled when they stop.
        """
        beside: asyncio.Task[None] | None = None
        try:
            if await self._start_all():
                beside = asyncio.create_task(_logged(when_ready, self._console))
                await self._stop.wait()
        finally:
            if beside is not None:
                beside.cancel()
            await self._stop_all()
        return self._exit_code

    async def _start_all(self) -> bool:
        """Whether every service became ready."""
        ready = {service.name: asyncio.Event() for service in self._services}
        for service in self._services:
            before = [ready[name] for name in service.after]
            self._keepers.append(asyncio.create_task(self._keep(service, before, ready[service.name])))
        for event in ready.values():
            await _first_of(event, self._stop)
        return not self._stop.is_set()

    async def _keep(self, service: Service, before: Sequence[asyncio.Event], ready: asyncio.Event) -> None:
        """Run the service again and again until stopped; `ready` is set when it first is, or waits."""
        for event in before:
            await _first_of(event, self._stop)
        failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            code = await self._run_once(service, ready)
            if self._stop.is_set():
                return
            failures = failures + 1 if time.monotonic() - started < _STEADY_SECONDS else 1
            if not ready.is_set() and (code == EXIT_MISTAKE or failures >= _ATTEMPTS_BEFORE_READY):
                self._give_up(f"{service.name} {outcome(code)} before it was ready; its last lines say why", code)
                return
            pause_seconds = min(_BACKOFF_FIRST_SECONDS * 2 ** (failures - 1), _BACKOFF_LAST_SECONDS)
            self._console.say(f"{service.name} {outcome(code)}; starting it again in {pause_seconds:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._stop.wait()

    async def _run_once(self, service: Service, ready: asyncio.Event) -> int:
        """Start it, see it ready, and wait for its end; returns how it ended."""
        try:
            process = await ServiceProcess.start(
                service, lambda line: self._console.line(service.name, line), self._inherited
            )
        except OSError as error:
            self._console.say(f"{service.name} cannot be started: {error}")
            return 1
        self._running[service.name] = process
        if self._stop.is_set():
            # Stopping passed it by while it was being started; it has done nothing yet.
            process.kill()
        observing = asyncio.create_task(self._observe(service, ready))
        try:
            return await process.wait()
        finally:
            self._answering.discard(service.name)
            observing.cancel()

    async def _observe(self, service: Service, ready: asyncio.Event) -> None:
        """Say when the service is ready; the first time, do what must be done then."""
        again = service.name in self._done
        started = time.monotonic()
        while not await service.ready():
            if not ready.is_set() and await self._waits(service):
                ready.set()
            if not ready.is_set() and time.monotonic() - started > service.ready_within_seconds:
                waited = f"{service.ready_within_seconds:g} s"
                self._give_up(f"{service.name} was not ready within {waited}; its last lines may say why", 1)
                return
            await asyncio.sleep(_PROBE_INTERVAL_SECONDS)
        self._answering.add(service.name)
        seconds = time.monotonic() - started
        self._console.say(f"{service.name} is ready{' again' if again else ''} after {seconds:.1f} s")
        if again or not await self._done_once(service, may_fail=ready.is_set()):
            return
        self._done.add(service.name)
        ready.set()

    async def _waits(self, service: Service) -> bool:
        if service.waits is None or not await service.waits():
            return False
        self._console.say(f"{service.name} waits, its last lines say for what; the others start without it")
        return True

    async def _done_once(self, service: Service, *, may_fail: bool) -> bool:
        """Do what must be done once the service is ready; again and again where others run without it already."""
        while service.once_ready is not None:
            try:
                await service.once_ready()
            except Exception as error:
                failure = f"{service.name} is ready, but what follows failed: {_sentence(error)}"
                if not may_fail:
                    self._give_up(failure, 1)
                    return False
                self._console.say(f"{failure}; trying again in {_BACKOFF_LAST_SECONDS:g} s")
                await asyncio.sleep(_BACKOFF_LAST_SECONDS)
            else:
                break
        return True

    def _give_up(self, reason: str, code: int) -> None:
        self._console.say(reason)
        self._exit_code = EXIT_MISTAKE if code == EXIT_MISTAKE else 1
        self._stop.set()

    async def _stop_all(self) -> None:
        self._stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        remaining = [self._running[service.name] for service in self._services if service.name in self._running]
        names = [service.name for service in self._services if service.name in self._running]
        most_seconds = {service.name: service.stop_within_seconds for service in self._services}
        while remaining:
            process, name = remaining.pop(), names.pop()
            allowed_seconds = deadline - time.monotonic() - _STOP_RESERVE_SECONDS * len(remaining)
            await self._stop_one(name, process, max(0.1, min(most_seconds[name], allowed_seconds)))
        await asyncio.gather(*self._keepers)

    async def _stop_one(self, name: str, process: ServiceProcess, within_seconds: float) -> None:
        waiting = asyncio.create_task(process.wait())
        process.terminate()
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({waiting, hurry}, timeout=within_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not waiting.done():
            why = "as asked" if self._hurry.is_set() else f"it did not end within {within_seconds:.0f} s"
            self._console.say(f"{name}: killed, {why}")
            process.kill()
        code = await waiting
        if code > 0:
            self._console.say(f"{name} {outcome(code)} while stopping")


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _logged(work: Callable[[], Awaitable[None]], console: Console) -> None:
    """Work beside the services must not end them."""
    try:
        await work()
    except Exception as error:
        console.say(f"the status line ended: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
