"""Runs one service in this process until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from services.command.mistake import told_plainly
from services.command.parent import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = structlog.get_logger()


def run(service: Coroutine[Any, Any, None], *, on_hangup: Callable[[], None] | None = None) -> None:
    """Run the service to its end on uvloop. A signal cancels it once; it then drains and this returns.

    SIGHUP calls `on_hangup`, on the loop; without one it ends the process, as the system has it.

    Raises Mistake where the machine or the service refuses what it was told (a port in use, a folder, an option).
    """
    end_with_parent()
    with told_plainly(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_signal(service, on_hangup))


async def _until_signal(service: Coroutine[Any, Any, None], on_hangup: Callable[[], None] | None) -> None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(service)
    stopping = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        # A second signal while draining would cut the draining short, and lose what it saves.
        if not stopping.is_set():
            stopping.set()
            log.info("stopping", signal=number.name)
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
    log.info("stopped")
