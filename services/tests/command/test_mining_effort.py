"""What the miner's command line asks for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from services.command import demo, mining
from services.command.mistake import Mistake
from services.miner import Chain
from services.miner.priority import available_cpus

if TYPE_CHECKING:
    from pathlib import Path


def test_all_chains_on_all_processors() -> None:
    effort = mining.effort("btc,rollpow,tetra", None, 100, in_background=False)
    assert effort.chains == tuple(Chain)
    assert effort.threads == available_cpus()


@pytest.mark.parametrize(
    ("text", "chains"),
    [("btc", (Chain.BTC,)), (" Tetra, btc,", (Chain.BTC, Chain.TETRAPOW)), ("btc,btc", (Chain.BTC,))],
)
def test_chains_by_name_in_any_order(text: str, chains: tuple[Chain, ...]) -> None:
    assert mining.effort(text, 3, 50, in_background=True).chains == chains


@pytest.mark.parametrize(
    ("text", "told"),
    [("doge", "doge is no chain"), ("btc,x,y", "x, y is no chain"), ("", "no chain is named"), (",", "no chain")],
)
def test_other_names_are_refused_with_those_there_are(text: str, told: str) -> None:
    with pytest.raises(Mistake) as refused:
        mining.effort(text, 1, 100, in_background=False)
    (problem,) = refused.value.problems
    assert problem.startswith(f"--chains: {told}")
    assert "btc, rollpow, tetra" in problem


def _sharehouse(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.command", "miner", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110, check=False)


def test_a_benchmark_tells_the_cpu_and_every_rate(tmp_path: Path) -> None:
    done = _sharehouse(tmp_path, "--benchmark", "--chains", "btc", "--threads", "2")
    assert done.returncode == 0, done.stderr
    first, reference, *rates = done.stdout.splitlines()
    assert "lanes" in first
    assert "processors" in first
    assert reference.startswith("a loop on hashlib, 1 thread")
    assert [line.partition("  ")[0] for line in rates] == [
        f"BTC, {threads}, {versions}"
        for threads in ("1 thread", "2 threads")
        for versions in ("one version", "versions rolled")
    ]
    assert all(line.endswith(" x") and "H/s" in line for line in rates)
    assert list(tmp_path.iterdir()) == [], "a benchmark leaves nothing behind"


def test_the_demos_own_options_are_understood(tmp_path: Path) -> None:
    done = _sharehouse(tmp_path, *demo.GENTLY, "--benchmark", "--chains", "nothing")
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        == "sharehouse: --chains: nothing is no chain; there are btc, rollpow, tetra, with commas between them"
    )
