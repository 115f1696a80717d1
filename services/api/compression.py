"""gzip for whoever takes it, as the header Accept-Encoding says it (RFC 9110, 12.5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from services.api.accept import takes_gzip
from services.api.shared_body import PACKED_MIN_BYTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# Level 9 takes four times as long for a sixth less.
_LEVEL: Final = 4
# These hold compressed columns already.
_PACKED_TYPES: Final = ("application/vnd.apache.arrow.stream", "application/vnd.apache.parquet")


class CompressionMiddleware:
    """Further in, the header is either `gzip` or not there: what is refused with q=0 counts as refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(
            app,
            minimum_size=PACKED_MIN_BYTES,
            compresslevel=_LEVEL,
            exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *_PACKED_TYPES),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            wanted = takes_gzip(",".join(Headers(scope=scope).getlist("accept-encoding")))
            kept = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            scope = {**scope, "headers": [*kept, (b"accept-encoding", b"gzip")] if wanted else kept}
        await self._app(scope, receive, send)
