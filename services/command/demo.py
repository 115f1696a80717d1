"""What `up --demo` runs on: a config file whose pools are the demo pool, and a miner pointed at the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command.mistake import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from services.command.data_folder import DataFolder

ADDRESS = "demo.miner"
_CONFIG = """\
# Written by `sharehouse up --demo` at every start: both pools are the demo pool on this machine.
[pools.normal]
host = "127.0.0.1"
port = {port}
user = "demo.{{worker}}"
pass = "x"

[pools.high_diff]
host = "127.0.0.1"
port = {port}
user = "demo.{{worker}}"
pass = "x"
"""


def write_config(folder: DataFolder, pool_port: int) -> Path:
    """Write the demo's config file; returns its path."""
    path = folder.demo / "config.toml"
    try:
        folder.demo.mkdir(parents=True, exist_ok=True)
        path.write_text(_CONFIG.format(port=pool_port))
    except OSError as error:
        raise Mistake(f"{path}: {error.strerror}; name another folder with --data DIR") from None
    return path
