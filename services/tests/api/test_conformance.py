"""A short form of services/bench/conformance.py: no undeclared status, no 5xx but 503, answers as described."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from services.bench.conformance import run_schemathesis
from services.tests.api.conftest import api, keep
from services.tests.api.known_shares import known_shares

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("token", "seconds"), [("reader-token", 15), (None, 4)])
async def test_any_request_is_answered_as_described(store: ClickHouseAddress, token: str | None, seconds: int) -> None:
    await keep(store, known_shares(int(time.time()), spread=50))
    async with api(store) as client:
        url = str(client.base_url).rstrip("/")
        code, made, said = await asyncio.to_thread(run_schemathesis, url, token, examples=30, seconds=seconds)
    assert code == 0, said
    assert made > 0, said
