from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from services.demo.accepted_log import AcceptedLog

if TYPE_CHECKING:
    from pathlib import Path

HASH = bytes(range(32))
LINE = f"{HASH[::-1].hex()}\twallet.rig\t0.25\t12.500\n"


def test_lines_and_appending(tmp_path: Path) -> None:
    path = tmp_path / "accepted.log"
    for _ in range(2):
        log = AcceptedLog(path)
        log.append(HASH, "wallet.rig", 0.25, 12.5)
        log.close()
    assert path.read_text() == LINE * 2


def test_half_a_line_of_before_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "accepted.log"
    path.write_text("00ff")
    log = AcceptedLog(path)
    log.append(HASH, "wallet.rig", 0.25, 12.5)
    log.close()
    assert path.read_text() == "00ff\n" + LINE


def test_a_share_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    log = AcceptedLog(tmp_path / "accepted.log")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, limits[1]))
    try:
        with pytest.raises(OSError, match="40 of"):
            log.append(HASH, "wallet.rig", 0.25, 12.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.append(HASH, "wallet.rig", 0.25, 12.5)
    log.close()
    assert (tmp_path / "accepted.log").read_text().splitlines()[1] == LINE.strip()
