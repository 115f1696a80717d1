"""Figures of workers over a period that the client names: between two moments, or on a UTC day."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, create_model

from services.api.authorization import require_scope
from services.api.errors import ApiError
from services.api.models import Basis, Body, HashRateUnit, Shares, ShareValue, ShareValueActual, ShareValueCredited
from services.api.plain_integer import PLAIN_INTEGER
from services.api.refusals import ANSWERED, PARAMETER_REFUSED, PERIOD_REFUSED, STORE_FAILED, TOKEN_REFUSED
from services.api.shared_body import SharedBody
from services.api.worker_figures import day_figures, period_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.api.options import ApiOptions, Coin
    from services.api.shared_answers import SharedAnswers
    from services.warehouse.queries import Queries, WorkerPeriod

DAY_SECONDS: Final = 86_400
LONGEST_SECONDS: Final = 30 * DAY_SECONDS
SETTLED_SECONDS: Final = 3_600
KEPT_SECONDS: Final = 60
# The year 2100: what a ClickHouse DateTime holds ends a little later.
LATEST: Final = 4_102_444_800
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

Moment = Annotated[int, Query(ge=0, le=LATEST, description="Unix seconds", examples=[1749000000]), PLAIN_INTEGER]
Day = Annotated[str, Path(max_length=32, description="A UTC day, YYYY-MM-DD", examples=["2025-06-04"])]
HashRate = Annotated[float, Field(ge=0, description="Hash rate of the period, Gh/s", examples=[702.5])]


class DayWorker(Body):
    """One worker on one UTC day."""

    hashrate: HashRate
    hash_rate_unit: HashRateUnit
    shares: Shares
    share_value: ShareValue
    share_value_actual: ShareValueActual
    share_value_credited: ShareValueCredited


class PeriodWorker(DayWorker):
    """One worker between start_time and end_time."""

    state: Annotated[
        Literal["ok", "offline"], Field(description="ok: the last share is less than 10 minutes before end_time")
    ]
    last_share: Annotated[
        int, Field(description="Its last accepted share in the period, unix seconds", examples=[1749000553])
    ]


class DayWorkers(Body):
    """Workers by name."""

    workers: dict[str, DayWorker]


class PeriodWorkers(Body):
    """Workers by name."""

    workers: dict[str, PeriodWorker]
    worker_percentage: Annotated[float, Field(ge=0, le=1, description="WORKER_PERCENTAGE", examples=[0.015])]


def _answer(name: str, coin: Coin, workers: type[Body]) -> type[BaseModel]:
    fields: dict[str, Any] = {coin: (workers, ...), "share_value_basis": (Basis, ...)}
    return create_model(name, __base__=Body, __doc__="Figures of every worker with a share in the period.", **fields)


def period_routes(
    queries: Queries, shared: SharedAnswers, options: ApiOptions, clock: Callable[[], float]
) -> APIRouter:
    """For holders of the scope `read`."""
    router = APIRouter(
        prefix="/api/workers",
        tags=["statistics"],
        dependencies=[Depends(require_scope("read"))],
        responses={**ANSWERED, **PERIOD_REFUSED, **TOKEN_REFUSED, **PARAMETER_REFUSED, **STORE_FAILED},
    )
    coin, basis = options.coin, options.share_value_basis
    period_model = _answer("PeriodAnswer", coin, PeriodWorkers)
    day_model = _answer("DayAnswer", coin, DayWorkers)

    async def share(
        request: Request, start: int, end: int, kind: str, answer: Callable[[list[WorkerPeriod]], dict[str, Any]]
    ) -> Response:
        async def ask() -> SharedBody:
            figures = answer(await queries.worker_period(start, end))
            return SharedBody.of({coin: figures, "share_value_basis": basis})

        now = clock()
        body = await shared.get(int(now), (kind, start, end), ask)
        response = await body.response(request)
        # Figures of a period that is long over change no more, unless shares were held up for so long.
        if end + SETTLED_SECONDS <= now:
            response.headers["Cache-Control"] = f"private, max-age={KEPT_SECONDS}"
        return response

    @router.get("/timerange", summary="Figures of workers between two moments", response_model=period_model)
    async def timerange(request: Request, start_time: Moment, end_time: Moment) -> Response:
        if start_time >= end_time:
            raise ApiError(400, "INVALID_PERIOD", "start_time must be before end_time")
        if end_time - start_time > LONGEST_SECONDS:
            raise ApiError(400, "INVALID_PERIOD", "The period must not be longer than 30 days")

        def answer(found: list[WorkerPeriod]) -> dict[str, Any]:
            workers = {one.worker: period_figures(one, basis) for one in found}
            return {"workers": workers, "worker_percentage": options.worker_percentage}

        return await share(request, start_time, end_time, "period", answer)

    @router.get("/share-value/{day}", summary="Figures of workers on a UTC day", response_model=day_model)
    async def share_value(request: Request, day: Day) -> Response:
        start = _midnight(day)
        if start is None:
            raise ApiError(400, "INVALID_DATE", "The date must be a day, as YYYY-MM-DD")
        if start > clock():
            raise ApiError(400, "INVALID_DATE", "The date must not lie in the future")

        def answer(found: list[WorkerPeriod]) -> dict[str, Any]:
            return {"workers": {one.worker: day_figures(one.sums, basis) for one in found}}

        return await share(request, start, start + DAY_SECONDS, "day", answer)

    return router


def _midnight(day: str) -> int | None:
    """When the UTC day begins, unix seconds; None if it is no day that figures can exist for."""
    if not _DAY.fullmatch(day):
        return None
    try:
        start = int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
    return start if start >= 0 else None
