"""Periods that the client names: every figure against plain Python, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from services.tests.api.conftest import READ, api, keep
from services.tests.api.known_shares import DAY, HOUR, expected_period, known_shares
from services.tests.api.test_access import assert_error
from services.tests.api.test_figures import NOON, same

if TYPE_CHECKING:
    from services.api.options import ShareValueBasis
    from services.warehouse.address import ClickHouseAddress

MIDNIGHT = NOON - NOON % DAY
PERIODS = (
    (NOON - 1, NOON),
    (NOON - 300, NOON),
    (NOON - HOUR, NOON),
    (NOON - DAY, NOON),
    (NOON - 30 * DAY, NOON),
    (NOON // HOUR * HOUR - HOUR, NOON // HOUR * HOUR),
    (NOON - DAY - 1, NOON - HOUR + 1),
    (NOON - 50_000, NOON - 45_801),
    (MIDNIGHT - DAY, MIDNIGHT),
    (NOON - 60, NOON + DAY),
    (0, 30 * DAY),
)


@pytest.mark.parametrize("basis", ["actual", "credited"])
async def test_figures_between_two_moments(store: ClickHouseAddress, basis: ShareValueBasis) -> None:
    shares = known_shares(NOON)
    await keep(store, shares)
    async with api(store, now=NOON, share_value_basis=basis) as client:
        for start, end in PERIODS:
            answer = await client.get(
                "/api/workers/timerange", params={"start_time": start, "end_time": end}, headers=READ
            )
            body = answer.json()
            assert (body["share_value_basis"], body["btc"]["worker_percentage"]) == (basis, 0.015)
            expected = expected_period(shares, start, end, basis=basis)
            assert body["btc"]["workers"].keys() == expected.keys()
            for name, figures in expected.items():
                same(body["btc"]["workers"][name], figures)


async def test_figures_of_a_day(store: ClickHouseAddress) -> None:
    shares = known_shares(NOON)
    await keep(store, shares)
    async with api(store, now=NOON, coin="bch", worker_percentage=0.02) as client:
        for start in (MIDNIGHT, MIDNIGHT - DAY, MIDNIGHT - 2 * DAY, 0):
            day = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d")
            body = (await client.get(f"/api/workers/share-value/{day}", headers=READ)).json()
            expected = expected_period(shares, start, start + DAY, basis="actual")
            assert body["share_value_basis"] == "actual"
            assert body["bch"]["workers"].keys() == expected.keys()
            for name, figures in expected.items():
                same(
                    body["bch"]["workers"][name], {k: v for k, v in figures.items() if k not in ("state", "last_share")}
                )
        tomorrow = datetime.fromtimestamp(MIDNIGHT + DAY, UTC).strftime("%Y-%m-%d")
        bad = [
            "2026-02-30",
            "2026-1-1",
            "today",
            "20261120",
            "2026-11-20T00:00",
            "٢٠٢٦-11-20",
            "0000-01-01",
            "1969-12-31",
        ]
        for day in (tomorrow, "9999-12-31", *bad):
            assert_error(await client.get(f"/api/workers/share-value/{day}", headers=READ), 400, "INVALID_DATE")


async def test_periods_that_cannot_be(store: ClickHouseAddress) -> None:
    async with api(store, now=NOON) as client:

        async def ask(**parameters: Any) -> Any:
            return await client.get("/api/workers/timerange", params=parameters, headers=READ)

        for start, end in ((NOON, NOON), (NOON, NOON - 1)):
            answer = await ask(start_time=start, end_time=end)
            assert_error(answer, 400, "INVALID_PERIOD")
            assert answer.json()["detail"] == "start_time must be before end_time"
        assert_error(await ask(start_time=NOON - 30 * DAY - 1, end_time=NOON), 400, "INVALID_PERIOD")
        for wrong in (
            {},
            {"start_time": NOON},
            {"start_time": "yesterday", "end_time": NOON},
            {"start_time": 1.5, "end_time": NOON},
            {"start_time": -1, "end_time": NOON},
            {"start_time": 10**30, "end_time": 10**31},
        ):
            assert_error(await ask(**wrong), 422, "INVALID_PARAMETER")
        for path in ("/api/workers/timerange?start_time=1&end_time=2", "/api/workers/share-value/2026-11-20"):
            assert_error(await client.get(path), 401, "MISSING_TOKEN")
