"""Runs the parts of the test suite, prints the time of each, and ends with 1 when any of them failed.

Called by scripts/test, inside the project's environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CI = os.environ.get("CI") == "true"


def main(arguments: list[str]) -> int:
    """Run the named parts, or all of them; returns the exit code."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    wanted, for_pytest = arguments[:split] or list(PARTS), arguments[split + 1 :]
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"test: no part is called {', '.join(unknown)}; there are: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    results: list[tuple[str, float, bool]] = []
    for name in wanted:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        passed = PARTS[name](for_pytest)
        results.append((name, time.monotonic() - started, passed))
    print("\n=== times")
    for name, seconds, passed in results:
        print(f"{name:<12}{seconds:8.1f} s  {'passed' if passed else 'FAILED'}")
    return 0 if all(passed for _, _, passed in results) else 1


def lint(_: list[str]) -> bool:
    """Style: ruff's rules, and its formatting."""
    return _run(str(BIN / "ruff"), "check") & _run(str(BIN / "ruff"), "format", "--check")


def types(_: list[str]) -> bool:
    """mypy, strict, over the services and their tests."""
    return _run(str(BIN / "mypy"))


def imports(_: list[str]) -> bool:
    """The arrows between the rooms."""
    return _run(str(BIN / "lint-imports"))


def unit(for_pytest: list[str]) -> bool:
    """Every test without a mark, in several groups at once, for much of their time is waiting."""
    marks = "not end_to_end and not browser and not full_node"
    if for_pytest:
        return _pytest(marks, for_pytest)
    named = [[f"services/tests/{room}" for room in rooms] for rooms in GROUPS]
    folders = [folder for group in named for folder in group]
    groups = [
        [*group, *(f"--ignore={folder}" for folder in folders if any(folder.startswith(f"{one}/") for one in group))]
        for group in named
    ]
    return _at_once([partial(_pytest, marks, group) for group in (*groups, [f"--ignore={one}" for one in folders])])


def end_to_end(for_pytest: list[str]) -> bool:
    """Tests that start the whole stack as processes."""
    return _pytest("end_to_end", for_pytest or _files("end_to_end"))


def browser(for_pytest: list[str]) -> bool:
    """Tests of the pages in Chromium, in two halves at once."""
    if not CI and not any(map(shutil.which, BROWSERS)):
        print("skipped: no Chromium here. To run these tests: apt install chromium")
        return True
    if for_pytest:
        return _pytest("browser", for_pytest)
    files = _files("browser")
    first = [path for path in files if Path(path).name in LONGEST_PAGES]
    others = [path for path in files if path not in first]
    return _at_once([partial(_pytest, "browser", half) for half in (first, others)])


def full_node(for_pytest: list[str]) -> bool:
    """The way from a miner to a real full node's chain."""
    if not CI and not shutil.which("npm"):
        print("skipped: no Node.js here. To run this test: apt install nodejs npm")
        return True
    return _pytest("full_node", for_pytest or _files("full_node"))


def docker(_: list[str]) -> bool:
    """The stack in containers, in a Docker engine of its own."""
    return _run(str(ROOT / "scripts" / "test-docker"))


PARTS: dict[str, Callable[[list[str]], bool]] = {
    "lint": lint,
    "types": types,
    "imports": imports,
    "unit": unit,
    "end_to_end": end_to_end,
    "browser": browser,
    "full_node": full_node,
    "docker": docker,
}


# The rooms of the unit part that go together; those that no group names are one more.
GROUPS = (
    ("warehouse",),
    ("api", "dashboard"),
    ("command",),
    ("warehouse/embedded", "containers", "demo", "miner", "operations", "stratum"),
)
# About half of the part browser's time.
LONGEST_PAGES = ("test_analysis_browser.py", "test_demo_browser.py")


def _files(mark: str) -> list[str]:
    """Where the tests are that carry `mark`; services/tests/conftest.py holds that they say so in their own file."""
    folder = ROOT / "services" / "tests"
    return sorted(str(path) for path in folder.rglob("test_*.py") if f"mark.{mark}" in path.read_text(encoding="utf-8"))


def _at_once(groups: list[Callable[[str, IO[str] | None], bool]]) -> bool:
    """Run all of them, each with ports of its own; the first one speaks at once, the others when all is done."""
    with contextlib.ExitStack() as files, ThreadPoolExecutor(len(groups)) as threads:
        outputs = [None, *(files.enter_context(tempfile.TemporaryFile("w+")) for _ in groups[1:])]
        running = [
            threads.submit(group, f"{number}/{len(groups)}", output)
            for number, (group, output) in enumerate(zip(groups, outputs, strict=True))
        ]
        passed = [one.result() for one in running]
        for output in filter(None, outputs):
            output.seek(0)
            print(f"\n=== beside it\n{output.read()}", flush=True)
    return all(passed)


def _pytest(marks: str, for_pytest: list[str], ports: str = "0/1", output: IO[str] | None = None) -> bool:
    """Run the tests that carry `marks`. With CI=true a skipped test is a failed run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", marks, "--durations=5", f"--junitxml={report}"]
        environment = {**os.environ, "TEST_PORTS": ports}
        # Hundreds of tests start a process of their own, which should not have to compile what it imports.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if subprocess.run([*command, *for_pytest], cwd=ROOT, env=environment, stdout=output, check=False).returncode:
            return False
        suites = ElementTree.parse(report).getroot().iter("testsuite")
        skipped = sum(int(suite.get("skipped", "0")) for suite in suites)
    if CI and skipped:
        print(f"FAILED: {skipped} tests were skipped, and with CI=true none may be", file=output, flush=True)
        return False
    return True


def _run(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
