"""The two commands explain themselves, and say in one line what they lack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def _run(script: str, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize("script", ["up", "test", "lock", "bench", "env-init", "roll", "test-docker", "audit"])
def test_help(script: str) -> None:
    done = _run(script, "--help", path=os.environ["PATH"])
    assert done.returncode == 0
    assert f"scripts/{script}" in done.stdout
    assert "set -eu" not in done.stdout


@pytest.mark.parametrize("script", ["up", "test"])
def test_an_old_python_is_told_in_one_line(script: str, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    for tool in ("dirname", "sed"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    done = _run(script, path=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"{script}: Python 3.11 or newer is needed, and none is on PATH (python3: Python 3.9.2)\n"


def test_every_benchmark_is_listed_with_its_figures() -> None:
    """One that nobody finds is not run again; one without a figure tells nothing."""
    command = [sys.executable, str(ROOT / "scripts" / "benchmarks.py"), "--list"]
    listed = {line.split()[0] for line in subprocess.check_output(command, text=True).splitlines()}
    runnable = {path.stem for path in (ROOT / "services" / "bench").glob("*.py") if "argparse" in path.read_text()}
    assert listed == runnable - {"generate_shares", "analysis_pictures", "live_pictures"}  # they measure nothing
    told = (ROOT / "docs" / "BENCHMARKS.md").read_text()
    assert {name for name in listed if f"## {name}" not in told} == set()


def test_an_unknown_benchmark_is_refused_with_those_there_are() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "benchmarks.py"), "speed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "embedded_insert" in done.stderr
