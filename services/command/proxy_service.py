"""The proxy as a service: it reads its configuration anew on SIGHUP, and when the config file has changed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from services.command import configuration, options
from services.command.config_watch import watch
from services.command.mistake import Mistake
from services.proxy.reloading import ConfigurationRefused, Reloading
from services.proxy.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.proxy.options import ProxyOptions


def reloading(config: Path, data: Path, of_this_process: Callable[[ProxyOptions], ProxyOptions]) -> Reloading:
    """Reads every source again, as the start of `sharehouse proxy` did."""

    def load() -> ProxyOptions:
        try:
            return of_this_process(options.proxy(configuration.load(config, data, need_config=True)))
        except Mistake as mistake:
            # This goes as far as the API's answer, where the way to the files is nobody's business.
            raise ConfigurationRefused("; ".join(mistake.problems).replace(f"{config.parent}/", "")) from mistake

    return Reloading(load)


async def serve_watching(chosen: ProxyOptions, reloads: Reloading, config: Path) -> None:
    """Runs the proxy until the task is cancelled, and watches the file meanwhile."""
    watching = asyncio.create_task(watch(config, lambda: reloads.ask("file")))
    try:
        await serve(chosen, reloads)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
