from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from services.miner.priority import affordable_intensity, available_cpus

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(sys.platform != "linux", reason="containers have limits on Linux")
@pytest.mark.parametrize(
    ("limit", "most"),
    [("50000 100000\n", 1), ("100000 100000\n", 1), ("150000 100000\n", 2), ("max 100000\n", 10_000), ("?", 10_000)],
)
def test_as_many_as_the_containers_limit_pays_for(tmp_path: Path, limit: str, most: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert available_cpus(tmp_path / "cpu.max") == min(most, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("limit", "threads", "percent"),
    [
        ("50000 100000\n", 1, 45),
        ("100000 100000\n", 1, 95),
        ("150000 100000\n", 2, 72.5),
        ("150000 100000\n", 1, 100),
        ("1000 100000\n", 1, 1),
        ("max 100000\n", 64, 100),
        ("?", 1, 100),
    ],
)
def test_no_longer_than_the_containers_limit_pays_for(tmp_path: Path, limit: str, threads: int, percent: float) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert affordable_intensity(threads, tmp_path / "cpu.max") == pytest.approx(percent)


def test_without_a_limit_all(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none") >= 1
