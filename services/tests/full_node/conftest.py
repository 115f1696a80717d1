"""A bcoin node on a regression test network of its own, from npm by way of the lock beside this file."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.demo.full_node import FullNode, NodeAddress, NodeError
from services.tests.free_port import unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_PASSWORD = "a password of the tests"


def installed_bcoin() -> Path:
    """The folder that has it, installed at the first call; a minute at most."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no Node.js here. To run this test: apt install nodejs npm")
    names = ("package.json", "package-lock.json")
    key = hashlib.sha256(b"".join((_HERE / name).read_bytes() for name in names)).hexdigest()
    folder = Path(sys.prefix) / "full-node" / key[:16]
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(_HERE / name, folder)
        # The install scripts would compile what NODE_BACKEND, below, does without.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="module")
def node() -> Iterator[NodeAddress]:
    """The running node's address."""
    program = installed_bcoin() / "node_modules/bcoin/bin/node"
    port = unused_port()
    address = NodeAddress(f"http://127.0.0.1:{port}", "x", _PASSWORD)
    with tempfile.TemporaryDirectory(prefix="full-node-") as folder:
        options = ["--network=regtest", "--memory=true", "--no-wallet", "--listen=false"]
        process = subprocess.Popen(
            ["node", str(program), *options, f"--http-port={port}", f"--api-key={_PASSWORD}", f"--prefix={folder}"],
            # What of it is native needs a compiler; all has a twin in JavaScript.
            env={**os.environ, "NODE_BACKEND": "js"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            asyncio.run(_answering(address, process))
            yield address
        finally:
            process.kill()
            process.wait()


async def _answering(address: NodeAddress, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    async with FullNode(address) as node:
        while time.monotonic() < deadline:
            assert process.poll() is None, f"the node ended with {process.returncode}"
            with contextlib.suppress(NodeError):
                await node.block_template()
                return
            await asyncio.sleep(0.2)
    raise TimeoutError("the node does not answer")
