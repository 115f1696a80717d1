"""A long body that may have to be cut: the connection then closes in its middle, which every client notices."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog
from fastapi.responses import StreamingResponse

from services.warehouse.queries import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.types import Message, Receive, Scope, Send

log = structlog.get_logger()

STALLED_SECONDS: Final = 60.0
"""A reader that takes nothing for so long has gone without a word, and holds a place that others wait for."""


class WatchedStream(StreamingResponse):
    """Cut, with a line in the log, where the database gives no more, or the reader takes nothing more."""

    def __init__(
        self,
        content: AsyncGenerator[bytes],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type)
        self._pieces = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._request_id = scope["state"]["request_id"]
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_SECONDS):
                await send(message)

        async with aclosing(self._pieces):
            try:
                await super().stream_response(send_in_time)
            except StoreUnavailable as error:
                self._cut(error.trouble, str(error))
            except TimeoutError:
                self._cut("stalled", f"the client took nothing for {STALLED_SECONDS:g} s")

    def _cut(self, trouble: str, reason: str) -> None:
        log.warning("stream_cut", trouble=trouble, reason=reason, request_id=self._request_id)
