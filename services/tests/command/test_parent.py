"""Children end when their supervisor is killed with a signal that it cannot see."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from pathlib import Path

SUPERVISOR = """
import asyncio, pathlib, sys
from services.command.console import Console
from services.command.supervisor import Supervisor
from services.tests.command.children import server
journal = pathlib.Path(sys.argv[3])
services = [server("a", int(sys.argv[1]), journal), server("b", int(sys.argv[2]), journal)]
async def say_ready():
    print("ready", flush=True)
asyncio.run(Supervisor(services, Console(["a", "b"], lambda: None, sys.stderr)).run(say_ready))
"""


async def test_a_killed_supervisor_leaves_no_child(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, *map(str, free_ports(2)), str(journal)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    deadline = time.monotonic() + 45
    while _left_behind(str(journal)) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert sorted(journal.read_text().splitlines()) == ["start a", "start b", "stop a", "stop b"]
    assert not _left_behind(str(journal))


def _left_behind(argument: str) -> list[int]:
    def holds(pid: str) -> bool:
        try:
            with open(f"/proc/{pid}/cmdline") as command:
                return argument in command.read()
        except OSError:
            return False

    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and holds(pid)]
