"""Blocks: candidates that went through the proxies, and those that the merge miner found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from services.dashboard.pages import NOT_STORED
from services.dashboard.trouble import GoneError, trouble, while_present
from services.warehouse.blocks import latest_blocks
from services.warehouse.client import StoreUnavailable

if TYPE_CHECKING:
    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages
    from services.warehouse.analysis import Analysis


def router(options: DashboardOptions, analysis: Analysis, pages: Pages) -> APIRouter:
    """`/blocks`, and `/api/blocks`."""
    routes = APIRouter()

    @routes.get("/blocks")
    async def listed(request: Request) -> Response:
        blocks = said = None
        try:
            blocks = await while_present(request, latest_blocks(analysis))
        except GoneError:
            return PlainTextResponse("", 499)
        except StoreUnavailable as error:
            said = trouble(error, options.clickhouse)
        return pages.answer(
            request, "blocks.html", here="blocks", status=503 if said else 200, blocks=blocks, trouble=said
        )

    @routes.get("/api/blocks")
    async def told(request: Request) -> Response:
        try:
            blocks = await while_present(request, latest_blocks(analysis))
        except GoneError:
            return PlainTextResponse("", 499)
        except StoreUnavailable as error:
            body = msgspec.json.encode({"error": trouble(error, options.clickhouse).sentence})
            return Response(body, 503, NOT_STORED, "application/json")
        return Response(msgspec.json.encode(blocks), 200, NOT_STORED, "application/json")

    return routes
