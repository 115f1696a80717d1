"""Whether this machine can run a Docker engine, and the Debian packages that make one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

# Debian's release, in the name of the base image of docker/Dockerfile.
SUITE = "bookworm"
# Debian's own tools first: another, newer docker client may stand before them and lack what the engine's has.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "mmdebstrap": "mmdebstrap",
    "iptables-save": "iptables",
    "ip": "iproute2",
}
_FREE_BYTES = 8 << 30
_INSTALL_SECONDS = 300.0
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


def sources(suite: str) -> list[tuple[str, str]]:
    """URI and suite of each Debian repository of that suite that this machine installs from."""
    told = _output("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    pairs = dict.fromkeys(tuple(line.split()) for line in told.splitlines() if len(line.split()) == 2)
    return [(uri, name) for uri, name in pairs if re.fullmatch(rf"{suite}(-updates|-security)?", name)]


def mirror_obstacle() -> str:
    """Why no Debian can be made here: the mirror that this machine installs from does not answer; '' where it does."""
    with tempfile.TemporaryDirectory() as folder:
        for uri, suite in sources(SUITE)[:1]:
            options = [f"-oAcquire::{scheme}::Timeout=10" for scheme in ("http", "https")]
            file = f"{uri.rstrip('/')}/dists/{suite}/InRelease"
            helper = ("/usr/lib/apt/apt-helper", *options, "-oAcquire::Retries=1", "download-file")
            if not _runs(*helper, file, f"{folder}/InRelease"):
                return f"Debian's mirror does not answer ({file})"
    return ""


def missing_packages() -> list[str]:
    """Debian packages whose programs are not here."""
    return [package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None]


def install(packages: list[str]) -> None:
    """Raises CalledProcessError or TimeoutExpired. Nothing that is installed starts by itself."""
    held = not _NO_START.exists()
    if held:
        _NO_START.write_text("#!/bin/sh\nexit 101\n")
        _NO_START.chmod(0o755)
    try:
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                check=True,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.DEVNULL,
                timeout=_INSTALL_SECONDS,
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
        _output(*command)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _output(*command: str) -> str:
    return subprocess.check_output(
        command, env={**os.environ, "PATH": PATH}, stderr=subprocess.DEVNULL, text=True, timeout=20
    )
