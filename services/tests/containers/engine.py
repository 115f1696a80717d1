"""A Docker engine of the test's own: its socket, data and processes in a folder that goes with it.

What an engine leaves on a machine (bridges, packet filter rules, forwarding) is put back as it was.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from services.tests.containers.machine import PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_START_SECONDS = 25.0
_PROOF_SECONDS = 25.0
_STOP_SECONDS = 30.0
_FORWARDING = tuple(
    Path("/proc/sys/net") / name for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/forwarding")
)
_BRIDGE = "docker0"
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A table that nobody had touched before the engine came: iptables-save does not mention it.
_EMPTY_TABLES = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


class EngineError(Exception):
    """The engine does not come up, or cannot run a container."""


class Engine:
    """Starts on entry, and is gone on exit, whatever happened between.

    What is asked of it ends by itself within ``seconds``, for then its caller's whole time is up.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.folder = Path(tempfile.gettempdir()) / f"sharehouse-docker-{secrets.token_hex(6)}"
        self.environment = {
            "PATH": PATH,
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder / "config"),
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_BUILDKIT": "1",
            "LANG": "C.UTF-8",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._running: set[subprocess.Popen[bytes]] = set()

    def __enter__(self) -> Self:
        """Raises EngineError."""
        self.folder.mkdir(mode=0o700)
        self._rules = {tool: _with_empty_tables(_output(f"{tool}-save")) for tool in ("iptables", "ip6tables")}
        self._forwarding = {path: path.read_text() for path in _FORWARDING if path.exists()}
        self._had_bridge = Path(f"/sys/class/net/{_BRIDGE}").exists()
        try:
            self._start()
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clean()

    def within(self, seconds: float) -> float:
        """So many seconds, or what is left of the whole. Raises TimeoutError where nothing is."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the whole took longer than it may")
        return min(seconds, left)

    def abandon(self) -> None:
        """Let whoever waits for this engine, in any thread, wait no longer."""
        self._deadline = 0.0
        for process in tuple(self._running):
            process.terminate()

    def docker(self, *arguments: str, timeout_seconds: float = 120, stdin: bytes | None = None) -> str:
        """What the command prints. Raises CalledProcessError with its output, TimeoutExpired or TimeoutError."""
        return self.run(["docker", *arguments], timeout_seconds=timeout_seconds, stdin=stdin).strip()

    def run(
        self,
        command: Sequence[str],
        *,
        timeout_seconds: float,
        folder: Path | None = None,
        stdin: bytes | None = None,
        check: bool = True,
        **environment: str,
    ) -> str:
        """What a command that speaks to this engine prints. Raises like ``docker``."""
        return self._run(command, self.within(timeout_seconds), folder, stdin, check, environment)

    def _run(
        self,
        command: Sequence[str],
        seconds: float,
        folder: Path | None = None,
        stdin: bytes | None = None,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        with subprocess.Popen(
            command,
            cwd=folder,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            self._running.add(process)
            try:
                output, _ = process.communicate(stdin, timeout=seconds)
            except BaseException:
                process.kill()
                raise
            finally:
                self._running.discard(process)
        if check and process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, output)
        return output.decode(errors="replace")

    def log(self) -> str:
        """The engine's own last lines."""
        return "\n".join((self.folder / "dockerd.log").read_text(errors="replace").splitlines()[-15:])

    def _start(self) -> None:
        folder = self.folder
        command = [
            "dockerd",
            f"--host=unix://{folder}/docker.sock",
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
            f"--pidfile={folder}/docker.pid",
            "--storage-driver=overlay2",
            "--mtu=1400",
        ]
        with (folder / "dockerd.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._process.poll() is not None:
                raise EngineError(f"dockerd ended with {self._process.returncode}:\n{self.log()}")
            with contextlib.suppress(subprocess.SubprocessError):
                self.docker("version", timeout_seconds=5)
                return
            if time.monotonic() > deadline:
                raise EngineError(f"dockerd does not answer:\n{self.log()}")
            time.sleep(0.2)

    def prove(self) -> None:
        """Run a container of one static program on a network of its own. Raises EngineError where that fails."""
        tini = shutil.which("tini-static", path=PATH)
        if tini is None:
            raise EngineError("there is no tini-static, which docker.io brings")
        try:
            archive = subprocess.run(
                ["tar", "-c", "-C", str(Path(tini).parent), Path(tini).name],
                stdout=subprocess.PIPE,
                timeout=_PROOF_SECONDS,
                check=True,
            )
            image = self.docker("import", "-", stdin=archive.stdout).splitlines()[-1]
            network = self.docker("network", "create", "sharehouse-probe")
            limits = ("--memory=64m", "--cpus=0.5", "--pids-limit=16", "--read-only", "--publish=127.0.0.1::80")
            command = (image, "/tini-static", "--version")
            self.docker("run", "--rm", "--network", network, *limits, *command, timeout_seconds=_PROOF_SECONDS)
            self.docker("network", "rm", network)
            self.docker("image", "rm", image)
        except subprocess.SubprocessError as error:
            raise EngineError(f"a container cannot run: {told(error)}\n{self.log()}") from None

    def _clean(self) -> None:
        for number in INTERRUPTIONS:
            signal.signal(number, signal.SIG_IGN)
        bridges = []
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            if containers := self._run(["docker", "ps", "--all", "--quiet"], 30).split():
                self._run(["docker", "rm", "--force", *containers], 60)
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            names = self._run(["docker", "network", "ls", "--filter=driver=bridge", "--format={{.ID}}"], 30)
            bridges = [f"br-{name[:12]}" for name in names.split()]
            self._run(["docker", "network", "prune", "--force"], 30)
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self._kill_what_is_left()
        if self._process is not None:
            self._process.wait(_STOP_SECONDS)
        for mounted in self._mounts():
            subprocess.run(["umount", "--lazy", mounted], env=self.environment, check=False, capture_output=True)
        for bridge in (*bridges, *(() if self._had_bridge else (_BRIDGE,))):
            if Path(f"/sys/class/net/{bridge}").exists():
                subprocess.run(["ip", "link", "delete", bridge], env=self.environment, check=False)
        for tool, rules in self._rules.items():
            subprocess.run([f"{tool}-restore"], env=self.environment, input=rules, check=False, capture_output=True)
        for path, value in self._forwarding.items():
            with contextlib.suppress(OSError):
                path.write_text(value)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill_what_is_left(self) -> None:
        """Processes of this engine alone: its folder stands in their command lines, and in no other's."""
        deadline = time.monotonic() + _STOP_SECONDS
        while (left := self._processes()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def _processes(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    program = os.path.basename(words[0])
                    if program.startswith((b"dockerd", b"containerd", b"docker-proxy")) and any(
                        bytes(self.folder) in word for word in words
                    ):
                        found.append(int(entry.name))
        return found

    def _mounts(self) -> list[str]:
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return sorted((point for point in points if point.startswith(f"{self.folder}/")), key=len, reverse=True)


def told(error: Exception) -> str:
    """What a failed command printed."""
    output = getattr(error, "stdout", None) or b""
    return f"{error}\n{output.decode(errors='replace') if isinstance(output, bytes) else output}"


def _with_empty_tables(rules: bytes) -> bytes:
    for table, chains in _EMPTY_TABLES.items():
        if f"*{table}\n".encode() not in rules:
            lines = (f"*{table}", *(f":{chain} ACCEPT [0:0]" for chain in chains), "COMMIT", "")
            rules += "\n".join(lines).encode()
    return rules


def _output(tool: str) -> bytes:
    done = subprocess.run([tool], env={"PATH": PATH}, capture_output=True, check=False)
    return done.stdout
