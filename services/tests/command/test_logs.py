from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Literal

import pytest

from services.command import logs

PROGRAM = """
import logging, sys, structlog
from services.command import logs
logs.configure(sys.argv[1], sys.argv[2], service="proxy")
log = structlog.get_logger()
log.debug("share", worker="a")
log.info("miner_connected", worker="me\\x1b[2J you", port=3331)
log.info("reload", changed=("normal", "high diff"), removed=[], error=(24, "no, not you"), by=["me\\x1b[2J"])
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
    share, connected, reload, miner, broken = map(json.loads, _lines("json", "debug"))
    assert (share["event"], share["level"], share["service"]) == ("share", "debug", "proxy")
    assert (connected["worker"], connected["port"]) == ("me\x1b[2J you", 3331)
    assert connected["timestamp"].endswith("Z")
    assert (reload["changed"], reload["error"]) == (["normal", "high diff"], [24, "no, not you"])
    assert miner["event"] == "Connected to pool."
    assert "ZeroDivisionError" in broken["exception"]


def test_text_is_the_form_of_the_miners_document() -> None:
    connected, reload, miner, broken, *traceback = _lines("text", "info")
    assert connected[23:] == r" [INFO] miner_connected worker='me\x1b[2J you' port=3331"
    assert reload[23:] == r" [INFO] reload changed=normal,'high diff' removed=- error=24,'no, not you' by='me\x1b[2J'"
    assert connected[4] + connected[10] + connected[19] == "- ,"
    assert miner[23:] == " [INFO] Connected to pool."
    assert broken[23:] == " [ERROR] broken"
    assert traceback[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_the_level_is_kept(log_format: str) -> None:
    assert "miner_connected" not in "".join(_lines(log_format, "warning"))


def test_lines_go_where_they_are_sent() -> None:
    program = PROGRAM.replace('service="proxy")', 'service="up", write=lambda line: print("up |", line))')
    command = [sys.executable, "-c", program, "text", "info"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert all(line.startswith("up | ") for line in done.stdout.splitlines()[:3])


@pytest.mark.parametrize(("service", "setting", "chosen"), [("miner", "auto", "text"), ("miner", "json", "json")])
def test_the_miner_speaks_text_unless_told_otherwise(
    service: str, setting: Literal["auto", "json", "text"], chosen: str
) -> None:
    assert logs.chosen_format(setting, service) == chosen


def test_the_others_speak_text_to_a_terminal_and_json_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = os.openpty()
    with os.fdopen(inner, "w") as terminal, os.fdopen(outer):
        monkeypatch.setattr(sys, "stderr", terminal)
        assert logs.chosen_format("auto", "proxy") == "text"
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert logs.chosen_format("auto", "proxy") == "json"
