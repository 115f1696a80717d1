"""Whether this machine can run a Docker engine, and the Debian packages that make one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# Debian's own tools first: another, newer docker client may stand before them and lack what the engine's has.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables-save": "iptables",
    "ip": "iproute2",
}
_FREE_BYTES = 8 << 30
_NO_START = Path("/usr/sbin/policy-rc.d")


def obstacle(folder: Path) -> str:
    """Why no engine of our own can run here; '' where nothing speaks against a try."""
    if os.geteuid() != 0:
        return "only root can start a Docker engine"
    if shutil.disk_usage(folder).free < _FREE_BYTES:
        return f"{folder} has less than {_FREE_BYTES >> 30} GiB free"
    if any(_is_engine(process) for process in Path("/proc").iterdir() if process.name.isdigit()):
        return "a Docker engine runs here already, and a second one would get in its way"
    if not _runs("unshare", "--mount", "true"):
        return "this machine allows no mounts"
    if not Path("/sys/fs/cgroup").is_dir() or not os.access("/sys/fs/cgroup", os.W_OK):
        return "there are no control groups to write to"
    return ""


def missing_packages() -> list[str]:
    """Debian packages whose programs are not here."""
    return [package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None]


def update() -> None:
    """Know what the machine's package sources have. Raises CalledProcessError."""
    subprocess.run(["apt-get", "update", "-qq"], env={"PATH": PATH}, check=True)


def install(packages: list[str]) -> None:
    """Raises CalledProcessError. Nothing that is installed starts by itself."""
    held = not _NO_START.exists()
    if held:
        _NO_START.write_text("#!/bin/sh\nexit 101\n")
        _NO_START.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        update()
        subprocess.run(
            ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
    finally:
        if held:
            _NO_START.unlink()


def _is_engine(process: Path) -> bool:
    try:
        return (process / "comm").read_text().strip() == "dockerd"
    except OSError:
        return False


def _runs(*command: str) -> bool:
    try:
        done = subprocess.run(
            command,
            env={"PATH": PATH},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
