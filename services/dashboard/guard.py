"""Who may see the pages: the password, and foreign hosts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from services.dashboard.options import is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from services.dashboard.options import DashboardOptions

# A probe asks without a password, and learns only that the process lives.
_OPEN_PATHS = frozenset({"/healthz"})
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Sharehouse", charset="UTF-8"'}


class GuardMiddleware:
    """Asks for the password (HTTP Basic, any user name) where one is set; else answers to loopback names only.

    The second rule is against DNS rebinding: a page from elsewhere whose name is made to resolve to 127.0.0.1 would
    otherwise read this dashboard through the operator's own browser.
    """

    def __init__(self, app: ASGIApp, options: DashboardOptions) -> None:
        self.app = app
        self._password = _digest(options.password.encode()) if options.password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if scope["path"] in _OPEN_PATHS:
            return None
        headers = Headers(scope=scope)
        if self._password is None:
            if is_loopback(host_name(headers.get("host", ""))):
                return None
            return PlainTextResponse(
                "Without a password this dashboard answers to localhost only: set DASHBOARD_PASSWORD\n", 403
            )
        if hmac.compare_digest(self._password, _digest(_basic_password(headers.get("authorization", "")))):
            return None
        return PlainTextResponse("The password is DASHBOARD_PASSWORD; any user name will do\n", 401, _CHALLENGE)


def host_name(host_header: str) -> str:
    """The name in a Host header, without the port; brackets of an IPv6 address are kept off."""
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0]
    return host_header.partition(":")[0]


def _basic_password(authorization: str) -> bytes:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > 2048:
        return b""
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
