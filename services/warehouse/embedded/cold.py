"""Opening the engine where old rows lie on S3.

The engine reads a few small files of each part while it opens a table. With S3 away it does not open at all; with S3
there but the objects not (another bucket, another server), it takes the parts for broken, sets them aside for good, and
opens without their rows. So S3 is asked first, wherever parts lie there, and the engine waits until it has them.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from services.warehouse.embedded.engine import ColdStorageAwayError, Engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.warehouse.embedded.options import EmbeddedOptions

log = structlog.get_logger()

ASK_AGAIN_SECONDS = 2.0
COMPLAIN_AGAIN_SECONDS = 300.0


class ColdStorage(Protocol):
    """Where volume `cold` lies. Both questions are answered with '' or with one sentence that names the remedy."""

    @property
    def url(self) -> str:
        """Its address, without secrets."""

    def unreachable(self) -> str:
        """Why what was moved there cannot be read. Blocks for seconds."""

    def unusable(self) -> str:
        """Why the engine cannot move, read and delete there. Blocks for seconds."""


def has_cold_parts(data: Path) -> bool:
    """Whether any part of a table lies on disk `cold`: its files' names are kept here."""
    return any((data / "engine" / "disks" / "cold").rglob("checksums.txt"))


async def open_engine(options: EmbeddedOptions, waits: Callable[[str], None]) -> Engine:
    """The engine; tells `waits` why it is not open yet. Raises what Engine raises, but for S3 that is away."""
    cold = options.cold
    told = ""
    while True:
        problem = ""
        if cold is not None and await asyncio.to_thread(has_cold_parts, options.data):
            problem = await asyncio.to_thread(cold.unreachable)
        if not problem:
            try:
                return await _opened(options)
            except ColdStorageAwayError as error:
                if cold is None:
                    raise
                problem = await asyncio.to_thread(cold.unreachable) or str(error)
        assert cold is not None
        waits(problem)
        if problem != told:
            told = problem
            log.warning(
                "clickhouse_waits_for_s3",
                endpoint=cold.url,
                problem=problem,
                meanwhile="shares wait in the spool; ClickHouse opens by itself once S3 answers",
            )
        await asyncio.sleep(ASK_AGAIN_SECONDS)


async def _opened(options: EmbeddedOptions) -> Engine:
    """In a thread, for it takes a while; where this is cancelled, the engine is closed again."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(
        None, partial(Engine, options.data, options.storage, options.database, options.backups)
    )
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait((opening,))
        if opening.exception() is None:
            opening.result().close()
        raise


async def complain(cold: ColdStorage) -> None:
    """Say that moves to S3 will fail, and why; again when the reason changes. Ends once nothing is wrong."""
    told = ""
    while problem := await asyncio.to_thread(cold.unusable):
        if problem != told:
            told = problem
            log.warning(
                "s3_unusable", endpoint=cold.url, problem=problem, meanwhile="old shares stay on the local disk"
            )
        await asyncio.sleep(COMPLAIN_AGAIN_SECONDS)
