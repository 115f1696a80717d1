"""The live page's figures as JSON, for scripts: `/api/stats` and `/api/pools`, from the look that all pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from services.dashboard.pages import NOT_STORED
from services.dashboard.pool_cards import pool_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.dashboard.figures import Figures
    from services.dashboard.options import StratumEndpoint
    from services.dashboard.overview import Overview
    from services.dashboard.view_stream import ViewStream
    from services.warehouse.queries import SessionRow

_KINDS: Final = {
    "stale": "stale",
    "unknown_job": "stale",
    "duplicate": "duplicate",
    "low_difficulty": "low_diff",
}


def router(endpoints: Sequence[StratumEndpoint], stream: ViewStream, overview: Overview) -> APIRouter:
    """503 while the database is away: what it told before is for people, who see how old it is."""
    routes = APIRouter()

    async def told() -> Figures | None:
        await stream.view()
        return overview.present

    def away() -> JSONResponse:
        return JSONResponse({"error": "The database gives no figures now"}, 503, NOT_STORED)

    @routes.get("/api/stats")
    async def stats() -> JSONResponse:
        figures = await told()
        if figures is None:
            return away()
        return JSONResponse([_miner(session) for session in figures.sessions], headers=NOT_STORED)

    @routes.get("/api/pools")
    async def pools() -> JSONResponse:
        figures = await told()
        if figures is None:
            return away()
        configured = {endpoint.pool: endpoint for endpoint in endpoints}
        labels = pool_labels(endpoints, figures)
        return JSONResponse(
            {label: _pool(label, configured.get(label), figures) for label in labels}, headers=NOT_STORED
        )

    return routes


def _miner(session: SessionRow) -> dict[str, Any]:
    """One connection; its counts since it began."""
    return {
        "miner": session.miner,
        "worker": session.workers[0] if session.workers else "",
        "pool": session.pool_label,
        "accepted": session.accepted,
        "rejected": session.rejected,
        "rejected_breakdown": _breakdown(session.rejected_by_reason),
        "difficulty": session.difficulty,
        "pool_difficulty": session.pool_difficulty,
        "hashrate": session.hash_rate,
        "highest_difficulty": session.best_share,
        "last_share_difficulty": session.last_share_difficulty,
    }


def _breakdown(by_reason: Mapping[str, int]) -> dict[str, int]:
    """By kind, whoever refused: the proxy, or the pool."""
    sums = {"stale": 0, "duplicate": 0, "low_diff": 0, "other": 0}
    for reason, number in by_reason.items():
        sums[_KINDS.get(reason.removeprefix("pool_"), "other")] += number
    return sums


def _pool(label: str, endpoint: StratumEndpoint | None, figures: Figures) -> dict[str, Any]:
    """Shares are those of 24 hours."""
    told = [pool for proxy in figures.proxies if proxy.alive for pool in proxy.pools if pool.pool_label == label]
    mined = [miner for miner in figures.miners if miner.pool == label]
    host, _, port = (endpoint.upstream if endpoint else told[0].pool if told else "").rpartition(":")
    return {
        "host": host,
        "port": int(port) if port.isdigit() else None,
        "proxy_port": endpoint.port if endpoint else None,
        "user": endpoint.user if endpoint else "",
        "connected_miners": sum(pool.miners for pool in told),
        "total_hashrate": sum(miner.hash_rate for miner in mined),
        "total_accepted": sum(miner.accepted for miner in mined),
        "total_rejected": sum(miner.rejected_count for miner in mined),
    }
