"""Replaces the running containers while miners mine; scripts/roll explains it. Standard library only."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

DOCKER = Path(__file__).resolve().parent.parent / "docker"
_READY_SECONDS = 300.0
# haproxy asks Docker's DNS every second, believes it for two, and then asks the new proxy whether it is ready.
_FOUND_SECONDS = 60.0
_STATES = "exec 3<>/dev/tcp/127.0.0.1/9990; echo 'show stat proxies 4 -1' >&3; cat <&3"
# A proxy drains for 10 s at most.
_STOP_SECONDS = 20
_LAST = ("haproxy", "api", "dashboard", "miner")


class RollError(Exception):
    """What kept the old containers running."""


def main() -> int:
    """Returns the exit code."""
    try:
        _roll(_compose_command())
    except RollError as error:
        print(f"roll: {error}", file=sys.stderr)
        return 1
    return 0


def _roll(compose: list[str]) -> None:
    running = set(_output([*compose, "ps", "--services", "--filter", "status=running"]).split())
    old = _proxies(compose)
    if not old:
        raise RollError("no proxy runs; `docker-compose up -d` starts everything")
    _step("check", [*compose, "run", "--rm", "--no-deps", "check"])
    _step("migration", [*compose, "run", "--rm", "--no-deps", "migrate"])
    scale = f"proxy={2 * len(old)}"
    _step("new proxies", [*compose, "up", "--detach", "--no-deps", "--no-recreate", "--scale", scale, "proxy"])
    new = [container for container in _proxies(compose) if container not in old]
    try:
        _wait_until_healthy(new)
        if "haproxy" in running:
            _wait_until_found(compose, len(old) + len(new))
    except RollError:
        _output(["docker", "rm", "--force", *new])
        raise
    for container in old:
        print(f"roll: draining {container[:12]}", flush=True)
        _output(["docker", "stop", "--time", str(_STOP_SECONDS), container])
        _output(["docker", "rm", container])
    if last := [name for name in _LAST if name in running]:
        _step("the others", [*compose, "up", "--detach", "--no-deps", *last])
    print(f"roll: done, {len(new)} new", flush=True)


def _compose_command() -> list[str]:
    if named := os.environ.get("COMPOSE"):
        return named.split()
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def _proxies(compose: list[str]) -> list[str]:
    return _output([*compose, "ps", "--quiet", "proxy"]).split()


def _wait_until_healthy(containers: list[str]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    form = "{{.State.Health.Status}}"
    while set(_output(["docker", "inspect", "--format", form, *containers]).split()) != {"healthy"}:
        if time.monotonic() > deadline:
            raise RollError(f"a new proxy is not healthy within {_READY_SECONDS:.0f} s; its log says why: removed")
        time.sleep(1)


def _wait_until_found(compose: list[str], proxies: int) -> None:
    """Until haproxy sends miners to so many: the old ones and the new ones."""
    deadline = time.monotonic() + _FOUND_SECONDS
    while (up := _up_at_haproxy(compose)) < proxies:
        if time.monotonic() > deadline:
            found = f"haproxy sends miners to {up} of {proxies} proxies after {_FOUND_SECONDS:.0f} s"
            raise RollError(f"{found}; its log says why: the new ones are removed")
        time.sleep(0.5)


def _up_at_haproxy(compose: list[str]) -> int:
    states = _output([*compose, "exec", "-T", "haproxy", "bash", "-c", _STATES]).splitlines()
    return sum(server["status"].startswith("UP") for server in csv.DictReader(states))


def _step(what: str, command: list[str]) -> None:
    print(f"roll: {what}", flush=True)
    done = subprocess.run(command, cwd=DOCKER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RollError(f"{what} failed:\n{done.stdout}")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=DOCKER, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RollError(f"`{' '.join(command)}` ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
