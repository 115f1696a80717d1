"""`sharehouse proxy --workers N`: N proxy processes on the same ports, and their parent, which this is.

The kernel spreads new connections over the processes (SO_REUSEPORT). The parent takes no miner: it starts each again
that ends, hands on SIGHUP, stops them all at once, and answers for all on METRICS_PORT.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from services.command.mistake import EXIT_MISTAKE, Mistake
from services.command.parent import VARIABLE
from services.command.service import outcome
from services.proxy.crew_probes import CrewProbes

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

log = structlog.get_logger()

# A worker drains within 10 s.
_STOP_SECONDS: Final = 11.0
_PAUSE_FIRST_SECONDS: Final = 0.2
_PAUSE_LAST_SECONDS: Final = 10.0
# A run of this length was a good one: the next pause is the first again.
_STEADY_SECONDS: Final = 30.0
_ATTEMPTS_BEFORE_READY: Final = 3
_LOOK_SECONDS: Final = 0.1


async def serve(command: Sequence[str], workers: int, metrics_host: str, metrics_port: int) -> None:
    """Runs the processes until cancelled. ``command`` starts one; its number and its socket are appended.

    Raises OSError where METRICS_PORT cannot be had, Mistake where a process cannot be started at all.
    """
    with tempfile.TemporaryDirectory(prefix="sharehouse-") as folder:
        crew = Crew(command, {number: Path(folder) / f"{number}.sock" for number in range(1, workers + 1)})
        await crew.probes.open(metrics_host, metrics_port)
        try:
            await crew.run()
        finally:
            await crew.probes.close()


class Crew:
    """The processes, by number from 1, each with the Unix socket of its probes."""

    def __init__(self, command: Sequence[str], sockets: dict[int, Path]) -> None:
        self.probes = CrewProbes(sockets)
        self._command = command
        self._sockets = sockets
        self._running: dict[int, Process] = {}
        self._was_ready: set[int] = set()
        self._is_ready: set[int] = set()
        self._hangup_due: set[int] = set()

    async def run(self) -> None:
        """Until cancelled; then every process has ended. Raises Mistake where one never becomes ready."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            async with asyncio.TaskGroup() as group:
                for number in self._sockets:
                    group.create_task(self._keep(number))
        except ExceptionGroup as failed:
            if (mistakes := failed.subgroup(Mistake)) is not None:
                raise mistakes.exceptions[0] from None
            raise
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def _keep(self, number: int) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            code = await self._run_once(number)
            failures = failures + 1 if time.monotonic() - began < _STEADY_SECONDS else 1
            if number not in self._was_ready and (code == EXIT_MISTAKE or failures >= _ATTEMPTS_BEFORE_READY):
                raise Mistake(f"proxy process {number} {outcome(code)} before it was ready; its last lines say why")
            pause_seconds = min(_PAUSE_FIRST_SECONDS * 2 ** (failures - 1), _PAUSE_LAST_SECONDS)
            log.error("proxy_process_ended", process=number, how=outcome(code), again_in_seconds=pause_seconds)
            await asyncio.sleep(pause_seconds)

    async def _run_once(self, number: int) -> int:
        """Starts it and waits for its end; a cancellation stops it first."""
        socket = self._sockets[number]
        socket.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *("--worker", str(number), "--probes", str(socket)),
            # Our end of this pipe is what tells the child that we live; see parent.py.
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, VARIABLE: "1"},
            start_new_session=True,
        )
        self._running[number] = process
        looking = asyncio.create_task(self._look(number, process.pid))
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await _stopped(process)
            raise
        finally:
            looking.cancel()
            del self._running[number]
            self._is_ready.discard(number)

    async def _look(self, number: int, pid: int) -> None:
        while not await self.probes.is_ready(number):  # noqa: ASYNC110 - the process cannot tell us
            await asyncio.sleep(_LOOK_SECONDS)
        self._was_ready.add(number)
        self._is_ready.add(number)
        log.info("proxy_process_ready", process=number, pid=pid)
        if number in self._hangup_due:
            self._send_hangup(number)

    def _hang_up(self) -> None:
        """Hands SIGHUP on; a process that is still starting, which it would end, gets it once it is ready."""
        for number in self._running:
            if number in self._is_ready:
                self._send_hangup(number)
            else:
                self._hangup_due.add(number)

    def _send_hangup(self, number: int) -> None:
        self._hangup_due.discard(number)
        with contextlib.suppress(ProcessLookupError):
            self._running[number].send_signal(signal.SIGHUP)


def command(config: Path, data: Path, workers: int) -> tuple[str, ...]:
    """What starts one process, but for its number and its socket."""
    files = ("--config", str(config), "--data", str(data))
    return (sys.executable, "-m", "services.command", "proxy", *files, "--workers", str(workers))


async def _stopped(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        log.error("proxy_process_killed", pid=process.pid, why="it did not stop in time")
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
