from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from services.warehouse.client import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


@pytest.fixture
def generator() -> random.Random:
    return random.Random(20261121)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of segments."""
    return tmp_path / "spool"


@pytest.fixture
async def client(store: ClickHouseAddress) -> AsyncIterator[AsyncClient]:
    """A client that works in the store."""
    connection = Connection(store)
    yield await connection.client()
    await connection.close()
