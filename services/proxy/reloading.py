"""How a proxy that runs comes by a new configuration."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.options import ProxyOptions


class ConfigurationRefused(Exception):  # noqa: N818 - it is the operator's, not an error of ours
    """A configuration that cannot stand; the text says why, for the operator."""


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What became of a reload: ``note`` says why it was refused, or what of it waits for a restart."""

    applied: bool
    changed_pools: tuple[str, ...] = ()
    note: str = ""


class Reloading:
    """``load`` reads the configuration anew: it may take its time, and raises ConfigurationRefused.

    ``ask`` is for the event loop's thread, at any time; what is asked for twice before it is done is done once.
    """

    def __init__(self, load: Callable[[], ProxyOptions]) -> None:
        self.load = load
        self._causes: dict[str, None] = {}
        self._asked = asyncio.Event()

    def ask(self, cause: str) -> None:
        """Wants a reload; ``cause`` is a word for logs and metrics, such as "signal"."""
        self._causes[cause] = None
        self._asked.set()

    async def asked(self) -> str:
        """Waits until a reload is wanted; gives its cause."""
        while not self._causes:
            self._asked.clear()
            await self._asked.wait()
        cause = next(iter(self._causes))
        del self._causes[cause]
        return cause
