"""Answers requests from the first moment on: before the engine is open, that it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from services.warehouse.embedded.access import Access
    from services.warehouse.embedded.handler import Handler

OPENING = "Opening"
WAITING = "Waiting for S3"
"""The reason in the status line of 503, by which a supervisor tells a wait from a fault."""


class Front:
    """Hands requests to `handler` once there is one."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._reason = OPENING
        self._problem = ""
        self.handler: Handler | None = None

    def waits(self, problem: str) -> None:
        """The engine cannot open yet, and why."""
        self._reason = WAITING
        self._problem = problem

    async def ping(self, request: web.Request) -> web.Response:
        """Alive, once the engine is open."""
        return await self.handler.ping(request) if self.handler is not None else self._not_yet(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any statement."""
        return await self.handler.answer(request) if self.handler is not None else self._not_yet(request)

    def _not_yet(self, request: web.Request) -> web.Response:
        if refusal := self._access.refuses_browser(request.headers):
            return web.Response(status=403, text=f"{refusal}\n")
        # ClickHouse's code for a table that S3 keeps from being loaded.
        text = (
            f"Code: 499. DB::Exception: ClickHouse is not open yet: {self._problem or 'loading tables'}. (S3_ERROR)\n"
        )
        return web.Response(
            status=503,
            reason=self._reason,
            text=text,
            headers={"X-ClickHouse-Exception-Code": "499", "Retry-After": "2"},
        )
