"""GET /api/stats/summary: what anybody may know of the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from pydantic import Field

from services.api.models import (
    Basis,
    Body,
    HashRateUnit,
    Rate5m,
    Rate24h,
    Rate60m,
    Shares,
    ShareValue,
    ShareValueActual,
    ShareValueCredited,
)
from services.api.refusals import ANSWERED, STORE_FAILED
from services.api.window_figures import window_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.api.options import ApiOptions
    from services.api.shared_answers import SharedAnswers
    from services.warehouse.queries import Queries


class Summary(Body):
    """All pools together, and the operator's terms."""

    hash_rate_unit: HashRateUnit
    hash_rate_5m: Rate5m
    hash_rate_60m: Rate60m
    hash_rate_24h: Rate24h
    shares_5m: Shares
    shares_60m: Shares
    shares_24h: Shares
    shares_value_5m: ShareValue
    shares_value_60m: ShareValue
    shares_value_24h: ShareValue
    share_value_actual_5m: ShareValueActual
    share_value_actual_60m: ShareValueActual
    share_value_actual_24h: ShareValueActual
    share_value_credited_5m: ShareValueCredited
    share_value_credited_60m: ShareValueCredited
    share_value_credited_24h: ShareValueCredited
    share_value_basis: Basis
    pool_fee: Annotated[float, Field(ge=0, le=1, description="The pool's fee as a fraction", examples=[0.02])]
    minimum_payout_threshold: Annotated[float, Field(ge=0, description="The smallest payout", examples=[0.001])]
    minimum_payout_threshold_unit: Annotated[str, Field(description="Its unit", examples=["BTC"])]


def summary_routes(
    queries: Queries, shared: SharedAnswers, options: ApiOptions, clock: Callable[[], float]
) -> APIRouter:
    """Open to all: it names no worker and no pool."""
    router = APIRouter(prefix="/api", tags=["statistics"], responses={**ANSWERED, **STORE_FAILED})
    basis = options.share_value_basis

    @router.get("/stats/summary", summary="Figures of all pools together, and the operator's terms")
    async def stats_summary() -> Summary:
        now = int(clock())
        stats = await shared.get(now, ("pool", None), lambda: queries.pool_stats(now, None))
        return Summary(
            hash_rate_unit="Gh/s",
            **window_figures("5m", stats.last_5m, "shares_value", basis),
            **window_figures("60m", stats.last_60m, "shares_value", basis),
            **window_figures("24h", stats.last_24h, "shares_value", basis),
            share_value_basis=basis,
            pool_fee=options.pool_fee,
            minimum_payout_threshold=options.minimum_payout_threshold,
            minimum_payout_threshold_unit=options.minimum_payout_threshold_unit,
        )

    return router
