"""``async_merge_miner.py`` as people use it: run in a clone, imported, copied alone, started with an old Python."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.tests.miner.scripted_pool import ScriptedPool
from services.tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "async_merge_miner.py"
# The interpreter that the virtual environment was made from: it has the standard library, and nothing installed.
BARE_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")

# The example "As a Module" of the merge miner's documentation, unchanged.
MODULE_EXAMPLE = """
import asyncio
from async_merge_miner import AsyncStratumClient, AsyncMergeMiner

async def my_mining_app():
    # Create Stratum client
    client = AsyncStratumClient("solo.ckpool.org", 3333, "your_address.worker", "x")
    await client.connect()
    
    # Create miner
    miner = AsyncMergeMiner(client, b"My custom mining message")
    
    # Start mining
    await asyncio.gather(
        client.receive_jobs(),
        miner.mine(iterations=100000)
    )

asyncio.run(my_mining_app())
"""  # noqa: W293 (unchanged means unchanged)

# Stands in for the name service: the example's pool is this test's.
SITECUSTOMIZE = """
import os, socket
_getaddrinfo = socket.getaddrinfo
def getaddrinfo(host, port, *args, **kwargs):
    if host == "solo.ckpool.org" and port == 3333:
        host, port = "127.0.0.1", int(os.environ["TEST_POOL_PORT"])
    return _getaddrinfo(host, port, *args, **kwargs)
socket.getaddrinfo = getaddrinfo
"""


async def run(
    *command: str, cwd: Path, env: Mapping[str, str] | None = None, stop_once: Callable[[], bool] | None = None
) -> tuple[int, str]:
    """Exit code, and output and errors together; a SIGINT is sent a second after ``stop_once`` held first."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MINING_", "PYTHON"))}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=clean | dict(env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    if stop_once is not None:
        await until(stop_once, 30)
        await asyncio.sleep(1)
        process.send_signal(signal.SIGINT)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def pool_options(tmp_path: Path) -> DemoPoolOptions:
    return DemoPoolOptions(data=tmp_path / "pool", port=0, fixed_difficulty=2.0**-20)


@pytest.mark.timeout(180)
async def test_the_module_example_runs_unchanged_and_ends(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (tmp_path / "example.py").write_text(MODULE_EXAMPLE)
    async with DemoPoolServer(pool_options(tmp_path)) as server:
        environment = {"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "TEST_POOL_PORT": str(server.port)}
        code, output = await run(BARE_PYTHON, "example.py", cwd=tmp_path, env=environment)
    assert (code, output) == (0, ""), "without logging set up, a clean run says nothing"
    assert (tmp_path / "pool" / "accepted.log").read_text().count("\tyour_address.worker\t") >= 1


async def test_run_in_a_clone_with_nothing_installed(tmp_path: Path) -> None:
    async with DemoPoolServer(pool_options(tmp_path)) as server:
        environment = {
            "MINING_POOL_HOST": "127.0.0.1",
            "MINING_POOL_PORT": str(server.port),
            "MINING_ADDRESS": "wallet.rig",
            "MINING_PASSWORD": "secret",
        }
        log = tmp_path / "pool" / "accepted.log"
        code, output = await run(
            BARE_PYTHON, str(PROGRAM), cwd=tmp_path, env=environment, stop_once=lambda: "wallet.rig" in log.read_text()
        )
    assert code == 0, output
    assert re.search(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[INFO\] Connected to Stratum pool\.$", output, re.MULTILINE
    )
    assert "slow" in output
    summary = re.search(r"Shares accepted: (\d+), rejected: (\d+) \(stale: (\d+)\), lost: (\d+)\.\n$", output)
    assert summary is not None, output
    assert int(summary[1]) > 0
    assert summary[2] == summary[3]
    assert "secret" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"MINING_POOL_PORT": "x1"}, "MINING_POOL_PORT is a port between 1 and 65535, not 'x1'"),
        ({"MINING_POOL_PORT": "70000"}, "MINING_POOL_PORT is a port between 1 and 65535"),
    ],
)
async def test_wrong_settings_are_one_clear_line(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    code, output = await run(BARE_PYTHON, str(PROGRAM), cwd=tmp_path, env={"MINING_ADDRESS": "w"} | settings)
    assert code == 2
    assert len([line for line in output.splitlines() if "[ERROR]" in line and sentence in line]) == 1, output
    assert "Traceback" not in output


async def test_no_pool_there_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        port = nobody.getsockname()[1]
        settings = {"MINING_ADDRESS": "w", "MINING_POOL_HOST": "127.0.0.1", "MINING_POOL_PORT": str(port)}
        code, output = await run(BARE_PYTHON, str(PROGRAM), cwd=tmp_path, env=settings)
    assert code == 2
    assert len([line for line in output.splitlines() if f"[ERROR] Cannot mine on 127.0.0.1:{port}: " in line]) == 1
    assert "Traceback" not in output


async def test_a_pool_that_refuses_the_address_is_one_clear_line(tmp_path: Path) -> None:
    async with ScriptedPool(authorize=Exception([24, "Invalid address", None])) as pool:
        settings = {"MINING_POOL_HOST": "127.0.0.1", "MINING_POOL_PORT": str(pool.port)}
        code, output = await run(BARE_PYTHON, str(PROGRAM), cwd=tmp_path, env=settings)
    assert code == 2
    assert "[ERROR] Cannot mine on 127.0.0.1" in output
    assert "[24] Invalid address" in output
    assert "MINING_ADDRESS is not set" in output
    assert "Traceback" not in output


async def test_copied_alone_it_says_what_is_missing(tmp_path: Path) -> None:
    shutil.copy(PROGRAM, tmp_path)
    code, output = await run(BARE_PYTHON, "async_merge_miner.py", cwd=tmp_path)
    assert code == 1
    assert output.splitlines() == [
        "async_merge_miner.py needs the folder services beside it: run it in a clone of its repository."
    ]


def test_it_parses_on_python_3_7() -> None:
    ast.parse(PROGRAM.read_text(), feature_version=(3, 7))


async def test_an_older_python_is_told_in_one_line(tmp_path: Path) -> None:
    program = f"import sys, runpy; sys.version_info = (3, 7, 0); runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
    code, output = await run(BARE_PYTHON, "-c", program, cwd=tmp_path)
    assert code == 1
    assert len(output.splitlines()) == 1
    assert "needs Python 3.11 or newer" in output


async def test_importing_takes_the_standard_library_alone(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import async_merge_miner\n"
        "tops = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(tops - {'__main__'}))"
    )
    code, output = await run(BARE_PYTHON, "-I", "-S", "-c", program, str(ROOT), cwd=tmp_path)
    assert (code, output.strip()) == (0, "['async_merge_miner', 'services']")


@pytest.mark.parametrize(
    ("loading", "start"),
    [
        ("services.miner", f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"),
        ("services.command.main", "runpy.run_module('services.command', run_name='__main__')"),
    ],
)
async def test_stopped_while_it_is_still_being_loaded_it_ends_quietly(tmp_path: Path, loading: str, start: str) -> None:
    program = f"""
import os, runpy, signal, sys
# What a shell starts in the background ignores it, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {loading!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.path.insert(0, {str(ROOT)!r})
{start}
"""
    code, output = await run(sys.executable, "-c", program, cwd=tmp_path)
    assert (code, output) == (130, "")
