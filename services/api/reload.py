"""POST /api/reload: every proxy reads its configuration anew, and the caller hears what became of it at each."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from services.api.authorization import require_scope
from services.api.refusals import LIMITED, PARAMETER_REFUSED, STORE_FAILED, TOKEN_REFUSED, TOLD
from services.warehouse.client import ended_within
from services.warehouse.queries import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.warehouse.queries import ProxyRow, Queries
    from services.warehouse.revisions import RevisionAnswer, Revisions

WAIT_SECONDS: Final = 6.0
"""Proxies look every second; what has not answered by then hangs, or has just died."""
_LOOK_SECONDS: Final = 0.25
_ASK_SECONDS: Final = 1.8
_REFUSALS: dict[int | str, dict[str, Any]] = {
    200: {"headers": TOLD},
    **LIMITED,
    **TOKEN_REFUSED,
    **PARAMETER_REFUSED,
    **STORE_FAILED,
}


class Replica(BaseModel):
    """One process of a proxy."""

    model_config = ConfigDict(extra="forbid")

    proxy: str = Field(description="The name of its machine", examples=["farm-1"])
    instance: str = Field(
        description="Names the process: another one after each start", examples=["3f0c7a0e-4b1d-4c27-a3f0-c1f2f8a9b6d5"]
    )
    status: Literal["applied", "refused", "silent"] = Field(
        description="applied: the new configuration holds; refused: the one before still holds, reason says why;"
        " silent: no answer in time"
    )
    changed_pools: list[str] = Field(
        description="Pools that were added, removed or changed; the others noticed nothing", examples=[["normal"]]
    )
    reason: str = Field(
        description="Why it was refused; where it was applied, what of it takes effect only at the next start",
        examples=[""],
    )


class ReloadAnswer(BaseModel):
    """What each proxy made of it."""

    model_config = ConfigDict(extra="forbid")

    revision: str = Field(description="Names this reload", examples=["b2a1c4de-0d5f-4c0e-9a51-6a0f4c8d1e22"])
    applied_everywhere: bool = Field(description="Whether there is a proxy, and each has applied it")
    replicas: list[Replica] = Field(description="Every proxy that lives, by name")


def reload_routes(queries: Queries, revisions: Revisions, clock: Callable[[], float]) -> APIRouter:
    """For holders of the scope `admin`."""
    router = APIRouter(
        prefix="/api", tags=["administration"], dependencies=[Depends(require_scope("admin"))], responses=_REFUSALS
    )

    @router.post("/reload", summary="Let every proxy read config.toml anew")
    async def reload(request: Request) -> ReloadAnswer:
        async with ended_within(_ASK_SECONDS):
            alive = [row for row in await queries.proxies(int(clock())) if row.alive]
            revision = await revisions.request(request.state.holder)
        deadline = time.monotonic() + WAIT_SECONDS
        answers: dict[str, RevisionAnswer] = {}
        while not all(row.instance in answers for row in alive):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(_LOOK_SECONDS)
            # It is asked for already: a database that is slow for a moment must not make the caller ask again.
            with suppress(StoreUnavailable):
                answers = {answer.instance: answer for answer in await revisions.answers(revision)}
        replicas = _replicas(alive, answers)
        everywhere = bool(replicas) and all(replica.status == "applied" for replica in replicas)
        return ReloadAnswer(revision=revision.revision, applied_everywhere=everywhere, replicas=replicas)

    return router


def _replicas(alive: list[ProxyRow], answers: dict[str, RevisionAnswer]) -> list[Replica]:
    """Those that live, and those that have answered although their heartbeat is late."""
    known = {row.instance: row.proxy for row in alive} | {one.instance: one.proxy for one in answers.values()}
    return [
        _replica(proxy, instance, answers.get(instance))
        for instance, proxy in sorted(known.items(), key=lambda item: (item[1], item[0]))
    ]


def _replica(proxy: str, instance: str, answer: RevisionAnswer | None) -> Replica:
    if answer is None:
        facts: dict[str, Any] = {"status": "silent", "changed_pools": [], "reason": "no answer in time"}
    else:
        facts = {
            "status": "applied" if answer.applied else "refused",
            "changed_pools": list(answer.changed_pools),
            "reason": answer.error,
        }
    return Replica(proxy=proxy, instance=instance, **facts)
