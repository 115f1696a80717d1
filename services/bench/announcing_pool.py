"""The validating pool with a trigger: it announces a job when it is asked to, and says when it did."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.demo.server import DemoPoolServer

if TYPE_CHECKING:
    from services.demo.options import DemoPoolOptions


@dataclass(frozen=True, slots=True)
class AnnouncingPoolOptions:
    """The pool's, and the port where a line asks for a job."""

    pool: DemoPoolOptions
    trigger_port: int


@dataclass(frozen=True, slots=True)
class Announced:
    """Before the first byte of a job was written, and after the last one; by CLOCK_MONOTONIC, one for all processes."""

    began: float
    written: float


async def serve(options: AnnouncingPoolOptions) -> None:
    """Runs the pool until its task is cancelled."""
    async with DemoPoolServer(options.pool) as server:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readline():
                began = time.monotonic()
                server.pool.announce(clean_jobs=False)
                # uvloop writes at the end of the turn.
                await asyncio.sleep(0)
                writer.write(f"{began} {time.monotonic()}\n".encode())
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", options.trigger_port):
            await asyncio.Event().wait()


async def announce(trigger_port: int) -> Announced:
    """Has the pool send a job to everybody."""
    reader, writer = await asyncio.open_connection("127.0.0.1", trigger_port)
    writer.write(b"\n")
    began, written = map(float, (await reader.readline()).split())
    writer.close()
    await writer.wait_closed()
    return Announced(began, written)
