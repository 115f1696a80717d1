"""A real S3 server (SeaweedFS) on free ports, with one key that may do everything and one that may only read."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, SECRET = "testkey00001", "a secret of the tests"
READER_KEY, READER_SECRET = "testreader01", "another secret"
_PORTS = ("master", "volume", "filer", "s3")


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Gives its URL once it answers."""
    users = folder / "users.json"
    users.write_text(
        json.dumps(
            {
                "identities": [
                    _identity("owner", KEY, SECRET, ["Admin", "Read", "Write", "List"]),
                    _identity("reader", READER_KEY, READER_SECRET, ["Read", "List"]),
                ]
            }
        )
    )
    ports = free_ports(2 * len(_PORTS))
    chosen = [
        flag
        for name, port, grpc in zip(_PORTS, ports[::2], ports[1::2], strict=True)
        for flag in (f"-{name}.port={port}", f"-{name}.port.grpc={grpc}")
    ]
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    command = [str(weed), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *chosen]
    more = [f"-s3.config={users}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=8"]
    log = folder / "weed.log"
    with log.open("wb") as output, subprocess.Popen([*command, *more], stdout=output, stderr=output) as process:
        try:
            url = f"http://127.0.0.1:{ports[6]}"
            _until_it_answers(url, process, log)
            yield url
        finally:
            process.kill()


def _identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


def _until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(log.read_text(errors="replace")[-2000:])
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(log.read_text(errors="replace")[-2000:])
