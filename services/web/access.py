"""Around every request: its id, the headers of every answer, the access log, and the last net for errors."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import MutableHeaders

from services.web.client_address import ClientAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Asked again each time (and mostly answered 304), so that a page never runs with an older script.
    "Cache-Control": "no-cache",
}


class AccessMiddleware:
    """Gives each request an id (`request.state.request_id`, header X-Request-ID) and one line in the access log.

    `request.state.client_address` is whose it is, where `trusted_proxies` (addresses, networks) stand in front.

    `headers` go into every answer that does not set them itself. An error that no handler knew is logged with its trace
    and answered by `failure(request_id)`. Neither the query nor any header is logged: they may hold what only the
    client should know.
    """

    def __init__(
        self,
        app: ASGIApp,
        headers: dict[str, str],
        failure: Callable[[str], ASGIApp],
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        self.app = app
        self._client_address = ClientAddress(trusted_proxies)
        self._headers = {**_HEADERS, **headers}
        self._failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = uuid.uuid4().hex
        state["client_address"] = self._client_address.of(scope)
        began = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            log.exception("request_failed", request_id=request_id, path=scope["path"])
            if status:
                raise
            await self._failure(request_id)(scope, receive, send_with_headers)
        finally:
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(time.perf_counter() - began, 4),
                client=state["client_address"],
                holder=state.get("holder", ""),
                request_id=request_id,
            )
