"""What the page, the API and `up` say while the embedded ClickHouse waits for S3 before it opens."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from services.command import status
from services.tests.api.conftest import READ, api
from services.tests.dashboard.conftest import dashboard
from services.tests.dashboard.test_page import figure, sentence
from services.tests.free_port import free_ports
from services.tests.serving import running
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded import server
from services.warehouse.embedded.options import EmbeddedOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest


class AwayStorage:
    """S3 that cannot be reached, for a reason that a test changes."""

    url = "http://127.0.0.1:9/shares/here/"
    reason = "S3 shares: list failed (nobody answers); correct AWS_S3_ENDPOINT, or the network"

    def unreachable(self) -> str:
        return self.reason

    def unusable(self) -> str:
        return self.reason


@asynccontextmanager
async def waiting_clickhouse(tmp_path: Path, cold: AwayStorage) -> AsyncIterator[ClickHouseAddress]:
    """The embedded server on a folder whose old rows lie on S3."""
    part = tmp_path / "engine" / "disks" / "cold" / "part"
    part.mkdir(parents=True)
    (part / "checksums.txt").touch()
    (port,) = free_ports(1)
    async with running(lambda: server.serve(EmbeddedOptions(data=tmp_path, port=port, cold=cold)), port):
        address = ClickHouseAddress("127.0.0.1", port, "default", "", "sharehouse")
        async with httpx.AsyncClient(timeout=60) as client:
            while cold.reason not in (await client.get(f"http://127.0.0.1:{port}/ping")).text:
                await asyncio.sleep(0.02)
        yield address


async def test_page_and_api_tell_opening_from_a_refusal(tmp_path: Path) -> None:
    cold = AwayStorage()
    async with waiting_clickhouse(tmp_path, cold) as address:
        async with dashboard(address) as url, httpx.AsyncClient(timeout=60) as client:
            page = (await client.get(url)).text
        assert sentence(page).startswith("The database has been opening since ")
        assert f"is opening: {cold.reason}." in figure(page, "advice")
        async with api(address) as client:
            answer = await client.get("/api/pool/stats", headers=READ)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "DATABASE_UNAVAILABLE")
        assert "S3" not in answer.text


async def test_the_status_line_says_so_once_for_each_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_FIRST_INTERVAL_SECONDS", 0.02)
    cold, said, changed = AwayStorage(), list[str](), asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        cold.reason = "another reason"
        if len(said) == 2:
            changed.set()

    async with waiting_clickhouse(tmp_path, cold) as address:
        following = asyncio.create_task(status.follow(address, say))
        await changed.wait()
        # As many looks again as were needed for the first two lines, and more.
        await asyncio.sleep(0.5)
        following.cancel()
    safe = "shares that it does not take wait in the spool"
    assert said == [
        f"status: ClickHouse is opening: {AwayStorage.reason}; {safe}",
        f"status: ClickHouse is opening: another reason; {safe}",
    ]
