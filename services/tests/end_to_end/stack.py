"""The whole stack as its user starts it: `sharehouse up --demo` on free ports, with a data folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORTS = (
    "PROXY_PORT",
    "PROXY_PORT_HIGH",
    "API_PORT",
    "DASHBOARD_PORT",
    "CLICKHOUSE_PORT",
    "METRICS_PORT",
    "DEMO_POOL_PORT",
)
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(slots=True)
class Stack:
    """A data folder, its ports, and the running supervisor."""

    data: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.data.parent / "up.log").read_text(errors="replace")

    def secret(self, name: str) -> str:
        return (self.data / "secrets" / name).read_text().strip()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of a query as an operator would run it."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['CLICKHOUSE_PORT']}/?database=sharehouse&default_format=JSONCompact",
            data=sql.encode(),
            headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": self.secret("clickhouse_password")},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return list(map(tuple, json.load(answer)["data"]))

    def accepted_hashes(self) -> list[str]:
        """The block hash of each accepted share in the store, repeated ones repeated."""
        return [row[0] for row in self.rows("SELECT block_hash FROM shares WHERE verdict = 'accepted'")]

    def pool_log(self) -> list[str]:
        """The block hash of each share that the pool accepted, from its own log."""
        lines = (self.data / "demo" / "accepted.log").read_text().splitlines()
        return [line.split()[0] for line in lines]

    def api(self, path: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['API_PORT']}{path}",
            headers={"Authorization": f"Bearer {self.secret('api_token')}"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def answers(self, port: str, path: str) -> bool:
        """Whether a page answers 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=5) as response:
                return bool(response.status == 200)
        except OSError as error:
            _close(error)
            return False

    def service_pid(self, service: str) -> int:
        """The process that the supervisor runs for a service."""
        for pid in _children(self.process.pid):
            words = _words(pid)
            if "services.command" in words and service in words:
                return pid
        raise LookupError(f"no process for {service} below the supervisor")

    def service_pids(self) -> list[int]:
        """Every process that the supervisor runs."""
        return _children(self.process.pid)

    def kill(self, service: str) -> None:
        os.kill(self.service_pid(service), signal.SIGKILL)

    @contextlib.contextmanager
    def miner_held(self) -> Iterator[None]:
        """The merge miner stands still meanwhile, so that counts taken one after the other are of the same shares."""
        pid = self.service_pid("miner")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> int:
        """Stops it as a user does, and gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def _close(error: Exception) -> None:
    """An answer that is an error holds its connection."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()


def _children(parent: int) -> list[int]:
    with open(f"/proc/{parent}/task/{parent}/children") as children:
        return [int(pid) for pid in children.read().split()]


def _words(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline") as command:
            return command.read().split("\0")
    except OSError:
        return []


def ports_of_a_stack() -> dict[str, int]:
    """A free port for each setting."""
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))


def environment(ports: dict[str, int], **settings: str) -> dict[str, str]:
    """What the supervisor finds in its environment: the ports and settings, and nothing of the tester's own."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, **{name: str(port) for name, port in ports.items()}, **settings, "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def running(data: Path, ports: dict[str, int], **settings: str) -> Iterator[Stack]:
    """Starts `sharehouse up --demo` and stops it at the end, whatever happened; its output: up.log beside data."""
    with (data.parent / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.command", "up", "--demo", "--data", str(data)],
            env=environment(ports, **settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stack = Stack(data, ports, process)
    try:
        yield stack
    except BaseException:
        print(stack.log[-8000:])  # noqa: T201 - what a failed test is read by
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def eventually(condition: Any, *, within_seconds: float, what: str) -> Any:
    """Polls until ``condition()`` is true and gives its value; exceptions of the network count as not yet."""
    deadline = time.monotonic() + within_seconds
    problem: object = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except (OSError, LookupError) as error:
            _close(error)
            problem = error
        time.sleep(0.1)
    raise AssertionError(f"not within {within_seconds} s: {what} (last problem: {problem})")
