"""Workers: who mined in a period, and one worker's page, named by any bytes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from services.dashboard import quantities
from services.dashboard.answers import Answers
from services.dashboard.charts import Mark
from services.dashboard.links import name_in_path, worker_path
from services.dashboard.pages import NOT_STORED, root_of
from services.dashboard.periods import PERIODS, Period, PeriodError, asked_period
from services.dashboard.share_charts import acceptance_chart, hash_rate_chart, luck_words, reasons_chart, spread_chart
from services.dashboard.trouble import GoneError, trouble, while_present
from services.dashboard.worker_list import COLUMNS, WorkerList
from services.warehouse.share_query import ShareQuery
from services.warehouse.worker_history import named_workers, pool_parts, silences, worker_sessions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages
    from services.warehouse.analysis import Analysis
    from services.warehouse.proxies import SessionRow
    from services.warehouse.worker_history import Silence

_GONE: Final = PlainTextResponse("", 499)
_BEFORE_NAME: Final = b"/workers/"
_MOST_MARKS: Final = 40
_SILENT_SECONDS: Final = 600
# Of shares that come by chance, one in 3,000 is later than so many times their mean distance.
_MEANS: Final = 8


@dataclass(frozen=True, slots=True)
class StateChange:
    """Something that happened to a worker: `kind` is connected, left, silent or back."""

    at: float
    kind: str
    text: str


def router(options: DashboardOptions, analysis: Analysis, pages: Pages) -> APIRouter:
    """`/workers`, `/workers/NAME`, and both as JSON below `/api`."""
    routes = APIRouter()

    @routes.get("/workers")
    async def everybody(request: Request) -> Response:
        asked = request.query_params
        if asked.get("go"):
            # The form of the list leads to a worker's own page.
            kept = urlencode({"period": asked["period"]}) if asked.get("period") else ""
            path = worker_path(asked["go"])
            return RedirectResponse(f"./{path}{('&' if '?' in path else '?') + kept if kept else ''}", 303)
        if "name" in asked:
            return await one(request, asked["name"])
        period, mistake = _period(request)
        asked_list = WorkerList.of(asked)
        answers = Answers()
        found = None
        if period is not None:
            query = ShareQuery(period.start, period.end)
            try:
                found = await while_present(request, answers.of(named_workers(analysis, query, part=asked_list.part)))
            except GoneError:
                return _GONE
        return pages.answer(
            request,
            "workers.html",
            here="workers",
            status=400 if mistake else 503 if answers.errors else 200,
            period=period,
            periods=tuple(PERIODS),
            mistake=mistake,
            trouble=trouble(answers.errors[0], options.clickhouse) if answers.errors else None,
            workers=asked_list.ordered(found) if found is not None else None,
            listed=asked_list,
            columns=COLUMNS,
        )

    @routes.get("/workers/{name:text}")
    async def named(request: Request) -> Response:
        return await one(request, name_in_path(request.scope["raw_path"], _BEFORE_NAME))

    async def one(request: Request, name: str) -> Response:
        period, mistake = _period(request)
        facts: dict[str, Any] = {}
        answers = Answers()
        if period is not None:
            try:
                facts = await while_present(request, _facts(analysis, answers, name, period))
            except GoneError:
                return _GONE
        error = answers.errors[0] if answers.errors else None
        own = f"{root_of(request.scope)}{worker_path(name)}"
        return pages.answer(
            request,
            "worker.html",
            here="workers",
            status=400 if mistake else 503 if error else 200,
            name=name,
            own=own + ("&" if "?" in own else "?"),
            period=period,
            periods=tuple(PERIODS),
            mistake=mistake,
            trouble=trouble(error, options.clickhouse) if error else None,
            facts=facts if not error else None,
        )

    @routes.get("/api/worker")
    async def told(request: Request) -> Response:
        period, mistake = _period(request)
        name = request.query_params.get("name")
        if period is None or name is None:
            return _json({"error": mistake or "Say which worker: name=..."}, 400)
        answers = Answers()
        try:
            facts = await while_present(request, _facts(analysis, answers, name, period))
        except GoneError:
            return _GONE
        if answers.errors:
            return _json({"error": trouble(answers.errors[0], options.clickhouse).sentence}, 503)
        shown = ("sums", "timeline", "spread", "parts", "sessions", "changes")
        return _json({"worker": name, "period": period, **{key: facts[key] for key in shown}})

    return routes


def _period(request: Request) -> tuple[Period | None, str]:
    try:
        return asked_period(request.query_params, int(time.time())), ""
    except PeriodError as error:
        return None, str(error)


async def _facts(analysis: Analysis, answers: Answers, name: str, period: Period) -> dict[str, Any]:
    query = ShareQuery(period.start, period.end, worker=name)
    now = int(time.time())
    sums, timeline, spread, parts, sessions = await asyncio.gather(
        answers.of(analysis.sums(query)),
        answers.of(analysis.timeline(query, period.step_seconds)),
        answers.of(analysis.spread(query)),
        answers.of(pool_parts(analysis, replace(query, worker=None), name)),
        answers.of(worker_sessions(analysis, name, period.start, period.end, now)),
    )
    if sums is None:
        return {}
    silent_seconds = max(_SILENT_SECONDS, _MEANS * period.seconds // max(1, sums.accepted))
    silent = await answers.of(silences(analysis, replace(query, verdict="accepted"), least_seconds=silent_seconds))
    if answers.errors:
        return {}
    assert timeline is not None
    assert spread is not None
    changes = state_changes(sessions or (), silent or (), period)
    marks = tuple(Mark(one.at, one.text, "good" if one.kind in ("connected", "back") else "warning") for one in changes)
    return {
        "sums": sums,
        "timeline": timeline,
        "spread": spread,
        "parts": parts,
        "sessions": sessions,
        "changes": changes,
        "silent": quantities.duration(silent_seconds),
        "hash_rate_chart": replace(hash_rate_chart(timeline), marks=marks[:_MOST_MARKS]),
        "acceptance_chart": acceptance_chart(timeline),
        "reasons_chart": reasons_chart(timeline),
        "spread_chart": spread_chart(spread),
        "luck": luck_words(spread),
        "step": quantities.duration(timeline.step_seconds),
    }


def state_changes(sessions: Iterable[SessionRow], silent: Iterable[Silence], period: Period) -> tuple[StateChange, ...]:
    """What happened to a worker in the period, the latest first."""
    changes = []
    for one in sessions:
        changes.append(StateChange(one.connected, "connected", f"connected from {one.miner} to {one.proxy}"))
        if one.disconnected is not None:
            why = f": {one.disconnect_reason}" if one.disconnect_reason else ""
            changes.append(StateChange(one.disconnected, "left", f"left{why}, {one.miner}"))
    for gap in silent:
        length = quantities.duration(gap.end - gap.start)
        changes.append(StateChange(gap.start, "silent", f"fell silent, for {length}"))
        changes.append(StateChange(gap.end, "back", f"back with an accepted share after {length}"))
    inside = [one for one in changes if period.start <= one.at < period.end]
    return tuple(sorted(inside, key=lambda one: (-one.at, one.kind)))


def _json(facts: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(facts), status, NOT_STORED, "application/json")
