"""What `up --demo` runs on: a config file whose pools are the demo pool, and a miner pointed at the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command.mistake import Mistake

if TYPE_CHECKING:
    from services.command.data_folder import DataFolder

ADDRESS = "demo.miner"
# The miner is to be seen, and not to be felt: the other services want both of a small machine's cores.
GENTLY = ("--threads", "1", "--intensity", "10", "--background", "--calm")
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


def config_text(pool_port: int) -> str:
    """The demo's config file, for a demo pool on that port."""
    return _CONFIG.format(port=pool_port)


def write_config(folder: DataFolder, pool_port: int) -> None:
    """Write the demo's config file. Raises Mistake where that cannot be."""
    try:
        folder.demo.mkdir(parents=True, exist_ok=True)
        folder.demo_config.write_text(config_text(pool_port))
    except OSError as error:
        raise Mistake(f"{folder.demo_config}: {error.strerror}; name another folder with --data DIR") from None
