"""A short form of services/bench/conformance.py: no undeclared status, no 5xx, answers as described."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from services.api.app import create_app
from services.api.options import ApiOptions
from services.bench.conformance import UNLIMITED, full_token, run_schemathesis
from services.tests.api.conftest import JWT_SECRET, keep
from services.tests.api.known_shares import known_shares
from services.tests.serving import running_app

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("token", "seconds"), [(full_token(JWT_SECRET), 15), (None, 4)])
async def test_any_request_is_answered_as_described(store: ClickHouseAddress, token: str | None, seconds: int) -> None:
    await keep(store, known_shares(int(time.time()), spread=50))
    options = ApiOptions(clickhouse=store, jwt_secret=JWT_SECRET, rate_limits=UNLIMITED)
    app = create_app(options)
    # Its streams then end by themselves.
    app.state.feed.close()
    async with running_app(app) as url:
        code, made, said = await asyncio.to_thread(run_schemathesis, url, token, examples=30, seconds=seconds)
    assert code == 0, said
    assert made > 0, said
