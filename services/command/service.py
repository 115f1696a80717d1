"""One service of `up`: what it is, and the process that it runs as."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.command.parent import AT_ONCE, IN_ORDER, VARIABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from services.command.probe import Probe

_READ_BYTES = 1 << 16
# A line longer than this is cut into several, so that no service can fill our memory.
_LINE_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Service:
    """A program: what must be ready before it, how to tell that it is ready itself, and what must be done then.

    `waits` tells that it lives and waits for what others must mend: it may take as long as it likes then, and those
    after it start without it.
    `reloads_on_hangup`: SIGHUP makes it read its configuration anew, once it is ready.
    """

    name: str
    command: tuple[str, ...]
    ready: Probe
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_within_seconds: float = 60.0
    once_ready: Callable[[], Awaitable[None]] | None = None
    reloads_on_hangup: bool = False
    stop_within_seconds: float = 11.0
    """A service drains within 10 s."""
    is_patient: bool = False
    """Takes only the processor time that the others leave, once it works. It may be killed, for where there is none
    left it could not even end in time: it holds nothing that is not on disk."""
    waits: Probe | None = None


class ServiceProcess:
    """A running service. It leads a session of its own, so that Ctrl-C in the terminal reaches only the supervisor."""

    def __init__(self, process: asyncio.subprocess.Process, copying: asyncio.Task[None]) -> None:
        self._process = process
        self._copying = copying

    @classmethod
    async def start(
        cls, service: Service, on_line: Callable[[str], None], inherited: Sequence[int] = ()
    ) -> ServiceProcess:
        """Start the program; each line that it prints is handed to `on_line`. Raises OSError where it cannot start.

        The file descriptors `inherited` stay open in it until it ends.
        """
        process = await asyncio.create_subprocess_exec(
            *service.command,
            # Our end of this pipe is what tells the child that we live; see parent.py.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                **os.environ,
                **service.environment,
                VARIABLE: AT_ONCE if service.is_patient else IN_ORDER,
                "PYTHONUNBUFFERED": "1",
            },
            start_new_session=True,
            pass_fds=inherited,
        )
        assert process.stdout is not None
        return cls(process, asyncio.create_task(_copy_lines(process.stdout, on_line)))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def wait(self) -> int:
        """The exit code, or minus the number of the signal that ended it; its last lines have been handed on."""
        code = await self._process.wait()
        # A grandchild may hold the pipe open for ever.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(self._copying)
        self._copying.cancel()
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """Ask it to read its configuration anew."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


def outcome(code: int) -> str:
    """How a process ended, in words."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


async def _copy_lines(reader: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    rest = b""
    while chunk := await reader.read(_READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace").rstrip("\r"))
        while len(rest) > _LINE_BYTES:
            on_line(rest[:_LINE_BYTES].decode(errors="replace"))
            rest = rest[_LINE_BYTES:]
    if rest:
        on_line(rest.decode(errors="replace"))
