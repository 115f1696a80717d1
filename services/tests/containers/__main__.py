"""The stack in containers, from nothing to nothing, in a Docker engine of the test's own: scripts/test-docker.

Other people's images cannot be pulled where the tests run, so images made here stand in under their names
(stand_ins/): Debian with its Python for python:3.11-slim, Debian's haproxy, SeaweedFS out of its wheel, and, for
clickhouse/clickhouse-server, the same engine as a Python package, on the very XML files that are mounted for it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from services.tests.containers import base_images, checks, machine, recovery
from services.tests.containers.composed import PORTS, Composed
from services.tests.containers.engine import INTERRUPTIONS, Engine, EngineError, told
from services.tests.end_to_end.ledger_miner import Ledger
from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

CI = os.environ.get("CI") == "true"
# All of it; what still runs then is ended, and that is a failure.
_WHOLE_SECONDS = 1200.0
_STAND_INS = {"haproxy": "haproxy", "clickhouse": "clickhouse/clickhouse-server", "seaweedfs": "chrislusf/seaweedfs"}
# Those that run here; the older docker-compose makes the volumes of other profiles too.
_VOLUMES = ("clickhouse", "embedded", "spool", "miner", "demo-pool", "s3")
_FAILURES = (AssertionError, LookupError, RuntimeError, OSError, ValueError, subprocess.SubprocessError)


class Steps:
    """Prints each step with its time."""

    def __init__(self) -> None:
        self.passed = 0

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """What is appended to the list stands behind the step's time."""
        facts: list[str] = []
        started = time.monotonic()
        try:
            yield facts
        except BaseException:
            print(f"  no {time.monotonic() - started:6.1f} s  {what}", flush=True)
            raise
        self.passed += 1
        print(f"  ok {time.monotonic() - started:6.1f} s  {what}{': ' if facts else ''}{', '.join(facts)}", flush=True)

    def run(self, what: str, check: Callable[[], object]) -> None:
        with self.step(what) as facts:
            result = check()
            if isinstance(result, int):
                facts.append(str(result))


def main() -> int:
    """Returns the exit code."""
    steps = Steps()
    engine = Engine(_WHOLE_SECONDS)
    for number in INTERRUPTIONS:
        signal.signal(number, functools.partial(_interrupted, engine))
    missing = machine.missing_packages()
    reason = machine.obstacle(Path(tempfile.gettempdir())) or machine.mirror_obstacle()
    if missing and not reason and not CI:
        reason = f"packages are missing (apt install {' '.join(missing)}; with CI=true they are installed)"
    if reason:
        return _skipped(reason)
    if missing:
        with steps.step(f"install {' '.join(missing)}"):
            machine.install(missing)
    with contextlib.ExitStack() as stack:
        try:
            with steps.step("start an engine, and a container in it"):
                stack.enter_context(engine)
                engine.prove()
        except EngineError as error:
            return _skipped(str(error))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sharehouse-docker-")))
        composed = Composed(engine, folder, dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
        try:
            _build(steps, composed, folder)
            _check(steps, composed)
        except _FAILURES as error:
            print(f"FAILED: {told(error)}", flush=True)
            _tell_state(composed)
            return 1
        print(f"{steps.passed} passed, 0 failed", flush=True)
    return 0


def _build(steps: Steps, stack: Composed, folder: Path) -> None:
    engine = stack.engine
    dockerfile = (stack.docker_folder / "Dockerfile").read_text()
    composefile = (stack.docker_folder / "docker-compose.yml").read_text()
    (base,) = re.findall(r"^FROM (\S+) AS base$", dockerfile, re.MULTILINE)
    with steps.step(f"make {base}"):
        base_images.make_base(engine, base, folder)
    stack.env_file.write_text((stack.docker_folder / ".env.example").read_text())
    stack.set(COMPOSE_PROFILES="miner,demo,s3")
    versions = dict(re.findall(r"image: ([a-z/-]+):\$\{[A-Z_]+:-([^}]+)\}", composefile))
    names = {target: f"{image}:{versions[image]}" for target, image in _STAND_INS.items()}
    with steps.step("build every image, and what stands in for other people's") as facts:
        # At once: they wait for the network by turns.
        with ThreadPoolExecutor() as builders:
            builds = [
                builders.submit(_build_composed, stack),
                builders.submit(_build_clickhouse, stack, names, folder),
                builders.submit(base_images.make_stand_ins, engine, names, folder, ("haproxy", "seaweedfs")),
            ]
        for build in builds:
            build.result()
        size = int(engine.docker("image", "inspect", "--format={{.Size}}", base))
        facts += [f"base {size >> 20} MiB", *sorted(_sizes(engine, size))]


def _build_composed(stack: Composed) -> None:
    for attempt in (1, 2, 3):
        with contextlib.suppress(*((subprocess.CalledProcessError,) if attempt < 3 else ())):
            stack.compose("build", "--parallel")
            return


def _build_clickhouse(stack: Composed, names: dict[str, str], folder: Path) -> None:
    base_images.retried(
        stack.engine, "build", "--file", f"{stack.docker_folder}/Dockerfile", "--target=clickhouse",
        "--tag=sharehouse/clickhouse", str(stack.project),
    )  # fmt: skip
    base_images.make_stand_ins(stack.engine, names, folder, ("clickhouse",))


def _sizes(engine: Engine, base: int) -> Iterator[str]:
    for line in engine.docker("images", "--filter=reference=sharehouse/*", "--format={{.Repository}}").split():
        size = int(engine.docker("image", "inspect", "--format={{.Size}}", line))
        yield f"{line.removeprefix('sharehouse/')} +{(size - base) >> 20}"


def _check(steps: Steps, stack: Composed) -> None:
    ledger = Ledger()
    run = steps.run
    run("a placeholder or an empty secret keeps everything from starting", lambda: checks.refuses_placeholders(stack))
    stack.script("env-init")
    stack.set_for_the_test()
    run("docker-compose 1.29 brings all up, healthy", lambda: checks.comes_up(stack))
    run("miners mine through haproxy", lambda: checks.mines(stack, ledger))
    run("the merge miner leaves room", lambda: checks.miner_leaves_room(stack))
    run("accepted shares in pool = ClickHouse = API = dashboard", lambda: checks.all_agree(stack))
    run("old shares go to S3", lambda: checks.old_shares_go_to_s3(stack))
    run("only the front is reachable", lambda: checks.only_the_front_is_reachable(stack))
    run("no root, nothing writable, nothing superfluous", lambda: checks.nothing_is_more_than_it_needs(stack))
    run("three proxies share the miners", lambda: checks.scales(stack, ledger, proxies=3))
    run("kill -9 of a proxy", lambda: checks.survives_a_kill(stack, ledger))
    run("scripts/roll replaces every proxy", lambda: checks.rolls(stack, ledger))
    run("accepted shares, all stored once", lambda: checks.nothing_was_lost(stack, ledger))
    run("logs hold no secret", lambda: checks.logs_hold_no_secret(stack))
    with steps.step("down"):
        stack.move_secrets_to_files()
        stack.compose("down")
    newer = Path(sysconfig.get_path("scripts")) / "docker-compose"
    name = "docker-compose 1.29"
    if newer.exists():
        stack.command, name = (str(newer),), "current Compose"
    run(f"{name} brings the same up again, secrets in files", lambda: checks.comes_up(stack))
    run("accepted shares, still there", lambda: checks.nothing_was_lost(stack, ledger))
    run("shares, from a backup into an empty stack with the embedded ClickHouse", lambda: recovery.is_restored(stack))
    run("logs hold no secret that lies in a file", lambda: checks.logs_hold_no_secret(stack))
    with steps.step("down, with every volume"):
        stack.compose("down", "--volumes")
        volumes = set(stack.engine.docker("volume", "ls", "--quiet").split())
        left = [*stack.containers(stopped=True), *volumes & {f"sharehouse_{name}" for name in _VOLUMES}]
        assert left == [], f"left behind: {left}"


def _tell_state(stack: Composed) -> None:
    with contextlib.suppress(*_FAILURES):
        print(stack.engine.docker("ps", "--all", "--format={{.Names}} {{.Status}}"))
        for container in stack.containers(stopped=True):
            print(f"--- {stack.inspect(container)[0]['Name']}\n{stack.engine.docker('logs', '--tail=12', container)}")
    print(f"--- engine\n{stack.engine.log()}", flush=True)


def _skipped(reason: str) -> int:
    print(f"SKIPPED: THE STACK IN CONTAINERS WAS NOT TESTED: {' '.join(reason.split())}", flush=True)
    return 0


def _interrupted(engine: Engine, number: int, _: FrameType | None) -> NoReturn:
    engine.abandon()
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
