"""The endpoints: what is asked of the warehouse, and how its figures are put."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from services.api.authorization import require_scope
from services.api.models import Health, PoolFigures, pool_answer, workers_answer
from services.api.refusals import ANSWERED, PARAMETER_REFUSED, PROBED, STORE_FAILED, TOKEN_REFUSED
from services.api.shared_body import SharedBody
from services.api.window_figures import window_figures
from services.api.worker_figures import worker_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from services.api.options import ApiOptions
    from services.api.shared_answers import SharedAnswers
    from services.warehouse.queries import Queries

NAME_MAX_LENGTH = 256
PoolName = Annotated[
    str | SkipJsonSchema[None],
    Query(max_length=NAME_MAX_LENGTH, description="A pool's name; omitted: all pools", examples=["normal"]),
]
WorkerName = Annotated[
    str | SkipJsonSchema[None],
    Query(max_length=NAME_MAX_LENGTH, description="A worker's exact name", examples=["abelatent.worker01"]),
]
_REFUSALS = {**ANSWERED, **TOKEN_REFUSED, **PARAMETER_REFUSED, **STORE_FAILED}


def health_routes(queries: Queries, shared: SharedAnswers, clock: Callable[[], float]) -> APIRouter:
    """GET /health, for probes: open, and 200 whatever the database does. Some probes ask by HEAD."""
    router = APIRouter(tags=["health"])

    @router.head("/health", include_in_schema=False)
    @router.get("/health", summary="Is the API there, and its database?", responses=PROBED)
    async def health() -> Health:
        now = int(clock())
        connected = await shared.get(now, "health", queries.ping)
        return Health(status="ok", timestamp=now, database="connected" if connected else "disconnected")

    return router


def stats_routes(queries: Queries, shared: SharedAnswers, options: ApiOptions, clock: Callable[[], float]) -> APIRouter:
    """The figures of pools and workers, for holders of the scope `read`."""
    router = APIRouter(
        prefix="/api", tags=["statistics"], dependencies=[Depends(require_scope("read"))], responses=_REFUSALS
    )
    coin, basis = options.coin, options.share_value_basis
    pool_model, workers_model = pool_answer(coin), workers_answer(coin)

    @router.get(
        "/pool/stats",
        summary="Figures of a pool, or of all",
        response_model=pool_model,
        response_model_exclude_unset=True,
    )
    async def pool_stats(pool: PoolName = None) -> BaseModel:
        now = int(clock())
        stats = await shared.get(now, ("pool", pool), lambda: queries.pool_stats(now, pool))
        figures = PoolFigures(
            **_REWARDS,
            hash_rate_unit="Gh/s",
            low_workers=0,
            dis_workers=0,
            ok_workers=stats.ok_workers,
            off_workers=stats.off_workers,
            **window_figures("5m", stats.last_5m, "shares_value", basis),
            **window_figures("60m", stats.last_60m, "shares_value", basis),
            **window_figures("24h", stats.last_24h, "shares_value", basis),
            **window_figures("yesterday", stats.yesterday, "shares_value", basis),
        )
        included = {"pools_included": list(stats.pools)} if pool is None else {}
        return pool_model(
            **{"pool": "all" if pool is None else pool, coin: figures, "share_value_basis": basis, **included}
        )

    @router.get(
        "/workers/stats", summary="Figures of workers with a share in the last 24 hours", response_model=workers_model
    )
    async def workers_stats(request: Request, worker: WorkerName = None, pool: PoolName = None) -> Response:
        now = int(clock())

        async def ask() -> SharedBody:
            stats = await queries.worker_stats(now, worker, pool)
            workers = {one.worker: worker_figures(one, basis) for one in stats}
            return SharedBody.of({coin: {"workers": workers}, "share_value_basis": basis})

        body = await shared.get(now, ("workers", worker, pool), ask)
        return await body.response(request)

    return router


_REWARDS: dict[str, Any] = dict.fromkeys(
    ("all_time_reward", "current_balance", "today_reward", "estimated_reward"), "0.00000000"
)
