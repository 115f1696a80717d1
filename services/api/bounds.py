"""How much one request may hold: what is longer is refused before anybody looks into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from services.api.errors import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

QUERY_MAX_BYTES: Final = 8192
"""Two names of 256 characters, each of four bytes in %-encoding, and some numbers."""
BODY_MAX_BYTES: Final = 16_384


class BoundsMiddleware:
    """414 for a long query, 413 for a body that says that it is large. No endpoint reads a body: of one that does not
    say how long it is, no more is taken than the server's buffer holds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._refusal(scope) if scope["type"] == "http" else None
        await (app or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        request_id = scope["state"]["request_id"]
        if len(scope["query_string"]) > QUERY_MAX_BYTES:
            message = f"The query must not be longer than {QUERY_MAX_BYTES} bytes"
            return error_response(request_id, 414, "QUERY_TOO_LONG", message)
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > BODY_MAX_BYTES:
            message = f"The body must not be larger than {BODY_MAX_BYTES} bytes"
            return error_response(request_id, 413, "BODY_TOO_LARGE", message, headers={"Connection": "close"})
        return None
