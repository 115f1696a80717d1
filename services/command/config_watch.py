"""Sees that the config file has changed, however: edited in place, replaced, or a link that points elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Final

import structlog
import watchfiles

from services.command.config_file import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = structlog.get_logger()

LOOK_SECONDS: Final = 10.0
"""Some file systems (network mounts, a single file mounted into a container) tell of no change: so often one looks."""
_SETTLE_SECONDS: Final = 0.4
_STEP_MS: Final = 100


async def watch(path: Path, on_change: Callable[[], None]) -> None:
    """Call `on_change` each time that the content of the file is another one and has come to rest; until cancelled.

    A file that is gone is a change too. Never raises.
    """
    seen = await _digest(path)
    while True:
        try:
            # The folder, because a file that is replaced would be watched no more.
            async for _ in watchfiles.awatch(
                path.parent,
                watch_filter=lambda _, changed: _concerns(path, changed),
                step=_STEP_MS,
                rust_timeout=int(LOOK_SECONDS * 1000),
                yield_on_timeout=True,
                recursive=False,
                ignore_permission_denied=True,
            ):
                seen = await _look(path, seen, on_change)
        except Exception as error:
            # The folder is gone, or the system has no watches left; looking is still possible.
            log.warning("config_watch_failed", file=path.name, error=str(error))
            await asyncio.sleep(LOOK_SECONDS)
            seen = await _look(path, seen, on_change)


def _concerns(path: Path, changed: str) -> bool:
    """Whether a change in the folder may be one of the file; Kubernetes swaps a link named ..data beside it."""
    name = os.path.basename(changed)
    return name == path.name or name.startswith("..")


async def _look(path: Path, seen: bytes, on_change: Callable[[], None]) -> bytes:
    """The digest of the content, once that is the same for a while: half a file can be a whole, and wrong, one."""
    digest = await _digest(path)
    if digest == seen:
        return seen
    while True:
        await asyncio.sleep(_SETTLE_SECONDS)
        later = await _digest(path)
        if later == digest:
            break
        digest = later
    if digest != seen:
        on_change()
    return digest


async def _digest(path: Path) -> bytes:
    return await asyncio.to_thread(_digest_now, path)


def _digest_now(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_BYTES + 1)).digest()
    except OSError:
        return b""
