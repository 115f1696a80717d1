"""The analytics page: shares of any period, worker, pool, verdict and difficulty; and the same as JSON."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from services.dashboard import quantities
from services.dashboard.answers import Answers
from services.dashboard.heat import heat_table
from services.dashboard.marks import period_marks
from services.dashboard.pages import NOT_STORED
from services.dashboard.periods import CUSTOM, PERIODS
from services.dashboard.share_charts import acceptance_chart, hash_rate_chart, luck_words, reasons_chart, spread_chart
from services.dashboard.share_form import FormError, ShareForm, asked_cursor, asked_form, cursor_text
from services.dashboard.trouble import GoneError, trouble, while_present
from services.warehouse.client import StoreUnavailable

if TYPE_CHECKING:
    from services.dashboard.charts import Mark
    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages
    from services.warehouse.analysis import Analysis
    from services.warehouse.share_figures import (
        ColdDays,
        DifficultySpread,
        HeatMap,
        ShareCursor,
        SharePage,
        ShareSums,
        Timeline,
    )

PAGE_ROWS: Final = 100
_GONE: Final = PlainTextResponse("", 499)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the database gave for a question; None where it gave no answer, for the reason that `errors` holds."""

    sums: ShareSums | None
    timeline: Timeline | None
    spread: DifficultySpread | None
    heat: HeatMap | None
    cold: ColdDays | None
    page: SharePage | None
    marks: tuple[Mark, ...] | None
    errors: tuple[StoreUnavailable, ...]


def router(options: DashboardOptions, analysis: Analysis, pages: Pages) -> APIRouter:
    """`/analytics` with its rows, and `/api/analytics`."""
    routes = APIRouter()

    @routes.get("/analytics")
    async def analytics(request: Request) -> Response:
        form, after, mistake = _asked(request)
        findings = None
        if form.query is not None and not mistake:
            try:
                findings = await while_present(request, _find(analysis, form, after))
            except GoneError:
                return _GONE
        error = findings.errors[0] if findings and findings.errors else None
        return pages.answer(
            request,
            "analytics.html",
            here="analytics",
            status=400 if mistake else 503 if findings and findings.sums is None else 200,
            form=form,
            periods=(*PERIODS, CUSTOM),
            pools=[endpoint.pool for endpoint in options.stratum],
            mistake=mistake,
            trouble=trouble(error, options.clickhouse) if error else None,
            after=after,
            **_shown(form, findings),
        )

    @routes.get("/analytics/shares")
    async def more(request: Request) -> Response:
        form, after, mistake = _asked(request)
        if form.query is None or mistake:
            return PlainTextResponse(mistake, 400, headers=NOT_STORED)
        try:
            page = await while_present(request, analysis.page(form.query, after, most=PAGE_ROWS))
        except GoneError:
            return _GONE
        except StoreUnavailable as error:
            return PlainTextResponse(trouble(error, options.clickhouse).sentence, 503, headers=NOT_STORED)
        return pages.answer(request, "share_rows.html", base="./", page=page, next_page=_next(form, page))

    @routes.get("/api/analytics")
    async def facts(request: Request) -> Response:
        form, after, mistake = _asked(request)
        if form.query is None or mistake:
            return _json({"error": mistake}, 400)
        try:
            findings = await while_present(request, _find(analysis, form, after))
        except GoneError:
            return _GONE
        if findings.errors:
            return _json({"error": trouble(findings.errors[0], options.clickhouse).sentence}, 503)
        return _json({"query": form.query, **_told(findings)})

    @routes.get("/api/analytics/shares")
    async def listed(request: Request) -> Response:
        form, after, mistake = _asked(request)
        if form.query is None or mistake:
            return _json({"error": mistake}, 400)
        try:
            page = await while_present(request, analysis.page(form.query, after, most=PAGE_ROWS))
        except GoneError:
            return _GONE
        except StoreUnavailable as error:
            return _json({"error": trouble(error, options.clickhouse).sentence}, 503)
        return _json(
            {"query": form.query, "shares": page.shares, "after": cursor_text(page.after) if page.after else None}
        )

    return routes


def _asked(request: Request) -> tuple[ShareForm, ShareCursor | None, str]:
    form = asked_form(request.query_params, int(time.time()))
    try:
        after = asked_cursor(request.query_params.get("after", ""))
    except FormError as error:
        return form, None, str(error)
    return form, after, form.mistake


async def _find(analysis: Analysis, form: ShareForm, after: ShareCursor | None) -> Findings:
    query, period = form.query, form.period
    assert query is not None
    assert period is not None
    answers = Answers()
    marks = answers.of(period_marks(analysis, query.start, query.end, pool=query.pool, worker=query.worker))
    (sums, timeline, spread, heat, cold, page), told = await asyncio.gather(
        asyncio.gather(
            answers.of(analysis.sums(query)),
            answers.of(analysis.timeline(query, period.step_seconds)),
            answers.of(analysis.spread(query)),
            answers.of(analysis.heat(query, period.heat_seconds)),
            answers.of(analysis.cold_days(query)),
            answers.of(analysis.page(query, after, most=PAGE_ROWS)),
        ),
        marks,
    )
    return Findings(sums, timeline, spread, heat, cold, page, told, tuple(answers.errors))


def _shown(form: ShareForm, findings: Findings | None) -> dict[str, Any]:
    """What the template needs besides the form."""
    if findings is None:
        return {"findings": None}
    line, spread, page = findings.timeline, findings.spread, findings.page
    period = (form.query.start, form.query.end) if form.query else (0, 0)
    marks = findings.marks or ()
    return {
        "findings": findings,
        "hash_rate_chart": replace(hash_rate_chart(line), marks=marks) if line else None,
        "acceptance_chart": replace(acceptance_chart(line), marks=marks) if line else None,
        "reasons_chart": replace(reasons_chart(line), marks=marks) if line else None,
        "spread_chart": spread_chart(spread) if spread else None,
        "luck": luck_words(spread) if spread else "",
        "heat": heat_table(findings.heat, *period) if findings.heat and findings.heat.rows else None,
        "step": quantities.duration(line.step_seconds) if line else "",
        "page": page,
        "next_page": _next(form, page),
    }


def _next(form: ShareForm, page: SharePage | None) -> str:
    """The parameters of the page that follows: of the same shares, even if new ones come meanwhile."""
    return f"{form.fixed()}&after={cursor_text(page.after)}" if page and page.after else ""


def _told(findings: Findings) -> dict[str, Any]:
    sums = findings.sums
    assert sums is not None
    return {
        "sums": {**msgspec.to_builtins(sums), "rejected": sums.rejected, "hash_rate": sums.hash_rate},
        "timeline": findings.timeline,
        "spread": findings.spread,
        "heat": findings.heat,
        "cold": findings.cold,
        "marks": findings.marks,
    }


def _json(facts: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(facts), status, NOT_STORED, "application/json")
