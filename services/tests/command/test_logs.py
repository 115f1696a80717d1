from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from services.command import logs
logs.configure(sys.argv[1], sys.argv[2], service="proxy")
log = structlog.get_logger()
log.debug("share", worker="a")
log.info("miner_connected", worker="me\\x1b[2J you", port=3331)
logging.getLogger("services.miner").info("Connected to %s.", "pool")
logging.getLogger("botocore").info("chatter")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def _lines(log_format: str, level: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, log_format, level]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_one_object_a_line() -> None:
    share, connected, miner, broken = map(json.loads, _lines("json", "debug"))
    assert (share["event"], share["level"], share["service"]) == ("share", "debug", "proxy")
    assert (connected["worker"], connected["port"]) == ("me\x1b[2J you", 3331)
    assert connected["timestamp"].endswith("Z")
    assert miner["event"] == "Connected to pool."
    assert "ZeroDivisionError" in broken["exception"]


def test_text_is_the_form_of_the_miners_document() -> None:
    connected, miner, broken, *traceback = _lines("text", "info")
    assert connected[23:] == r" [INFO] miner_connected worker='me\x1b[2J you' port=3331"
    assert connected[4] + connected[10] + connected[19] == "- ,"
    assert miner[23:] == " [INFO] Connected to pool."
    assert broken[23:] == " [ERROR] broken"
    assert traceback[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_the_level_is_kept(log_format: str) -> None:
    assert "miner_connected" not in "".join(_lines(log_format, "warning"))
