"""Shares and proofs while no database is there; test_outage.py holds the clock to the figures."""

from __future__ import annotations

from services.tests.api.conftest import READ, api
from services.tests.api.test_access import assert_error
from services.tests.conftest import unused_port
from services.warehouse.address import ClickHouseAddress

PERIOD = "start_time=0&end_time=9"
SHARE = "0f8fad5b-d9cb-469f-a165-70867728950e-1"


async def test_every_endpoint_of_shares_says_that_the_database_is_away() -> None:
    async with api(ClickHouseAddress(port=unused_port())) as client:
        for path in (f"raw?{PERIOD}", f"raw?{PERIOD}&limit=5", f"audit?{PERIOD}", f"{SHARE}/proof"):
            answer = await client.get(f"/api/shares/{path}", headers=READ)
            assert_error(answer, 503, "DATABASE_UNAVAILABLE")
            assert answer.headers["Retry-After"] == "5"
