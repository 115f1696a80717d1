from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
import urllib.request
import uuid
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from services.tests.chromium import browser as browser
from services.tests.free_port import unused_port as unused_port
from services.tests.stores import Stores
from services.tests.stores import run_sql as run_sql
from services.warehouse.address import ClickHouseAddress
from services.warehouse.bounds import read_bounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.warehouse.embedded.options import EmbeddedOptions

PASSWORD = "a password of the tests"

# A busy machine is slow to draw examples as well. CI takes the same ones each time; new ones are found elsewhere.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """scripts/suite.py finds the tests of a part by what their file says."""
    said = cache(Path.read_text)
    for item in items:
        for mark in ("browser", "end_to_end", "full_node"):
            if item.get_closest_marker(mark) and f"mark.{mark}" not in said(item.path):
                raise pytest.UsageError(f"{item.nodeid} has the mark {mark} from elsewhere than its file")


def run_clickhouse(options: EmbeddedOptions) -> None:
    """The embedded server as a process of its own; also the target of tests that kill it."""
    from services.warehouse.embedded.server import serve

    asyncio.run(serve(options))


class ClickHouseProcess:
    """An embedded server in a child process."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self.options = options
        self.process = multiprocessing.get_context("spawn").Process(target=run_clickhouse, args=(options,), daemon=True)

    def start(self, *, deadline_seconds: float = 120) -> None:
        """Start, and wait until it answers."""
        self.process.start()
        deadline = time.monotonic() + deadline_seconds
        while time.monotonic() < deadline:
            if not self.process.is_alive():
                raise RuntimeError(f"the embedded server ended with {self.process.exitcode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.options.port}/ping", timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("the embedded server does not answer")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join(30)

    @property
    def address(self) -> ClickHouseAddress:
        options = self.options
        return ClickHouseAddress(options.host, options.port, options.user, options.password)


_LIMITS = {
    "warehouse.queries": ("_DEADLINE", "_CONNECT"),
    "warehouse.raw_shares": ("_DEADLINE", "_CONNECT"),
    "warehouse.revisions": ("_DEADLINE",),
    "warehouse.proxy_state": ("WRITE",),
    "api.reload": ("_ASK",),
}


@pytest.fixture(autouse=True)
def patient_readers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine ClickHouse may take longer than readers of a live page, or a proxy, are made to wait."""
    if "deadlines" in request.keywords:
        return
    for module, names in _LIMITS.items():
        for name in names:
            monkeypatch.setattr(f"services.{module}.{name}_SECONDS", 15.0)
    for module in ("queries", "revisions"):
        monkeypatch.setattr(f"services.warehouse.{module}._SETTINGS", read_bounds(15))


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    return unused_port()


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouseAddress]:
    """A real embedded ClickHouse server, one for the whole run; use `database` for a database of the test's own."""
    from services.warehouse.embedded.options import EmbeddedOptions

    with tempfile.TemporaryDirectory(prefix="clickhouse-") as folder:
        server = ClickHouseProcess(EmbeddedOptions(data=Path(folder), port=unused_port(), password=PASSWORD))
        server.start()
        yield server.address
        server.kill()


@pytest.fixture
def database(clickhouse: ClickHouseAddress) -> Iterator[ClickHouseAddress]:
    """The address of a fresh, empty database on the run's server."""
    name = f"test_{uuid.uuid4().hex}"
    run_sql(clickhouse, f"CREATE DATABASE {name}")
    yield replace(clickhouse, database=name)
    run_sql(clickhouse, f"DROP DATABASE {name} SYNC")


@pytest.fixture(scope="session")
def stores(clickhouse: ClickHouseAddress) -> Stores:
    """The migrated databases of the run's server."""
    return Stores(clickhouse)


@pytest.fixture
def store(stores: Stores) -> Iterator[ClickHouseAddress]:
    """The address of a database with the schema in it, and no rows."""
    address = stores.take()
    yield address
    stores.give_back(address)
