"""docker/prometheus as Prometheus itself reads it, and alerts played through."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from services.tests.operations.conftest import ROOT

CONFIGURATION = ROOT / "docker" / "prometheus" / "prometheus.yml"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", str(CONFIGURATION)),
        ("test", "rules", str(Path(__file__).parent / "alerts.yml")),
    ],
    ids=["configuration and rules", "alerts"],
)
def test_prometheus_takes_it(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing; to run this test: apt install prometheus")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
