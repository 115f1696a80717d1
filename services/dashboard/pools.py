"""The pools: how each stands now, and its failovers, outages and latency over a period."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from services.dashboard import quantities
from services.dashboard.answers import Answers
from services.dashboard.charts import Chart, Mark, Trace
from services.dashboard.marks import reload_marks
from services.dashboard.pages import NOT_STORED
from services.dashboard.periods import PERIODS, Period, PeriodError, asked_period
from services.dashboard.share_charts import hash_rates
from services.dashboard.trouble import GoneError, trouble, while_present
from services.warehouse.pool_history import (
    PoolChange,
    PoolStep,
    living_proxies,
    pool_addresses,
    pool_changes,
    pool_steps,
    told_since,
)
from services.warehouse.reload_history import reloads
from services.warehouse.share_query import ShareQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages
    from services.warehouse.analysis import Analysis

_GONE: Final = PlainTextResponse("", 499)
_MOST_CHARTED: Final = 6
_MOST_MARKS: Final = 40
_MILLISECONDS: Final = 1000


def router(options: DashboardOptions, analysis: Analysis, pages: Pages) -> APIRouter:
    """`/pools`, and `/api/pools/history`."""
    routes = APIRouter()

    async def find(request: Request) -> tuple[Period | None, str, Answers, dict[str, Any]]:
        answers = Answers()
        now = int(time.time())
        try:
            period = asked_period(request.query_params, now)
        except PeriodError as error:
            return None, str(error), answers, {}
        facts = await while_present(request, _facts(analysis, answers, period, now))
        return period, "", answers, facts

    @routes.get("/pools")
    async def everything(request: Request) -> Response:
        try:
            period, mistake, answers, facts = await find(request)
        except GoneError:
            return _GONE
        error = answers.errors[0] if answers.errors else None
        return pages.answer(
            request,
            "pools.html",
            here="pools",
            status=400 if mistake else 503 if error else 200,
            period=period,
            periods=tuple(PERIODS),
            mistake=mistake,
            trouble=trouble(error, options.clickhouse) if error else None,
            facts=_charted(facts) if facts else None,
        )

    @routes.get("/api/pools/history")
    async def told(request: Request) -> Response:
        try:
            _, mistake, answers, facts = await find(request)
        except GoneError:
            return _GONE
        if mistake or answers.errors:
            text = mistake or trouble(answers.errors[0], options.clickhouse).sentence
            body, status = msgspec.json.encode({"error": text}), 400 if mistake else 503
            return Response(body, status, NOT_STORED, "application/json")
        shown = {name: facts[name] for name in ("period", "changes", "addresses", "since", "reloads")}
        return Response(msgspec.json.encode(shown), 200, NOT_STORED, "application/json")

    return routes


async def _facts(analysis: Analysis, answers: Answers, period: Period, now: int) -> dict[str, Any]:
    proxies, changes, steps, addresses, since, told = await asyncio.gather(
        answers.of(living_proxies(analysis, now)),
        answers.of(pool_changes(analysis, period.start, period.end)),
        answers.of(pool_steps(analysis, period.start, period.end, period.step_seconds)),
        answers.of(pool_addresses(analysis, period.start, period.end)),
        answers.of(told_since(analysis)),
        answers.of(reloads(analysis, period.start, period.end)),
    )
    if addresses is None or answers.errors:
        return {}
    labels = sorted({one.pool_label for one in addresses} | set(steps or {}))[:_MOST_CHARTED]
    lines = await asyncio.gather(
        *(
            answers.of(analysis.timeline(ShareQuery(period.start, period.end, pool=label), period.step_seconds))
            for label in labels
        )
    )
    if answers.errors:
        return {}
    return {
        "period": period,
        "now": [(proxy, pool) for proxy in proxies or () for pool in proxy.pools],
        "changes": changes,
        "steps": steps,
        "addresses": addresses,
        "since": since,
        "reloads": told,
        "lines": dict(zip(labels, lines, strict=True)),
    }


def _charted(facts: dict[str, Any]) -> dict[str, Any]:
    period, steps, lines = facts["period"], facts["steps"], facts["lines"]
    marks = (*_marks(facts["changes"]), *reload_marks(facts["reloads"]))
    rates = [
        Trace(label, tuple(hash_rates(line)), str(number), "line")
        for number, (label, line) in enumerate(lines.items(), 1)
    ]
    start = period.start // period.step_seconds * period.step_seconds
    return {
        **facts,
        "hash_rate_chart": Chart(start, period.step_seconds, tuple(rates), "H/s", marks=marks) if rates else None,
        "latency_chart": latency_chart(steps, period, marks) if steps else None,
        "away_chart": away_chart(steps, period, marks) if steps else None,
        "step": quantities.duration(period.step_seconds),
    }


def latency_chart(steps: Mapping[str, Mapping[int, PoolStep]], period: Period, marks: tuple[Mark, ...]) -> Chart:
    """Mean time from a share's way up to its verdict, in milliseconds; a gap where the pool answered none."""
    return _chart(steps, period, marks, "ms", lambda step: step.latency_seconds * _MILLISECONDS or None)


def away_chart(steps: Mapping[str, Mapping[int, PoolStep]], period: Period, marks: tuple[Mark, ...]) -> Chart:
    """Part of the time for which miners waited for the pool, in percent; a gap where no proxy told."""
    return _chart(steps, period, marks, "%", lambda step: 100 * step.away)


def _chart(
    steps: Mapping[str, Mapping[int, PoolStep]],
    period: Period,
    marks: tuple[Mark, ...],
    unit: str,
    value: Any,
) -> Chart:
    start = period.start // period.step_seconds * period.step_seconds
    count = -(-(period.end - start) // period.step_seconds)
    traces = tuple(
        Trace(
            label,
            tuple(value(of_pool[number]) if number in of_pool else None for number in range(count)),
            str(index),
            "line",
        )
        for index, (label, of_pool) in enumerate(list(steps.items())[:_MOST_CHARTED], 1)
    )
    return Chart(start, period.step_seconds, traces, unit, marks=marks)


def _marks(changes: Iterable[PoolChange]) -> tuple[Mark, ...]:
    marks = []
    for one in list(changes)[:_MOST_MARKS]:
        text = f"{one.pool_label}: {one.pool if one.moved else one.state}"
        marks.append(Mark(one.at, text, "bad" if one.state == "away" else "warning"))
    return tuple(marks)
