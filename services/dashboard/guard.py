"""Who may see the pages: whoever logged in or sends a credential; without any set, this machine alone."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse

from services.dashboard.login_session import COOKIE, LoginSession
from services.dashboard.options import is_loopback
from services.dashboard.pages import NOT_STORED, root_of

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Receive, Scope, Send

    from services.dashboard.attempts import Attempts
    from services.dashboard.login_session import Credentials

# A probe asks without a password, and learns only that the process lives; the login page needs its style.
_OPEN_PATHS: Final = frozenset({"/healthz", "/login"})
_OPEN_FOLDER: Final = "/static/"
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="Sharehouse"', **NOT_STORED}


class GuardMiddleware:
    """With credentials set: a session's cookie, or `Authorization: Bearer` or `Basic` (any user name) with one of them.

    A browser without is sent to the login page. `scope["state"]["session"]` is the session, if any. Without credentials
    it answers to loopback names only: a page from elsewhere whose name is made to resolve to 127.0.0.1 (DNS rebinding)
    would otherwise read this dashboard through the operator's own browser.
    """

    def __init__(self, app: ASGIApp, credentials: Credentials, attempts: Attempts) -> None:
        self.app = app
        self._credentials = credentials
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        state = scope.setdefault("state", {})
        state["session"] = None
        path = scope["path"]
        if path == "/healthz":
            return None
        request = HTTPConnection(scope)
        if not self._credentials:
            if is_loopback(host_name(request.headers.get("host", ""))):
                return None
            return PlainTextResponse(
                "Without a password this dashboard answers to localhost only: set DASHBOARD_PASSWORD\n", 403
            )
        session = self._credentials.session(request.cookies.get(COOKIE, ""))
        if session is not None:
            state["session"] = session
            state["holder"] = session.holder
            return None
        if path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER):
            return None
        return self._by_header(scope, request.headers)

    def _by_header(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        """A script sends its credential with every request, and gets words instead of a page if it is wrong."""
        authorization = headers.get("authorization", "")
        if not authorization:
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse(f"{root_of(scope)}login?next={_wanted(scope)}", 303, NOT_STORED)
            return PlainTextResponse("Log in at /login, or send a token as 'Authorization: Bearer'\n", 401, _CHALLENGE)
        client = scope["state"]["client_address"]
        wait = self._attempts.wait_seconds(client)
        if wait:
            return PlainTextResponse(f"Too many wrong passwords: wait {wait} s\n", 429, {"Retry-After": str(wait)})
        holder = self._credentials.holder(_secret(authorization))
        if holder is None:
            self._attempts.failed(client)
            return PlainTextResponse("That is neither the password nor a token\n", 401, _CHALLENGE)
        scope["state"]["holder"] = holder
        return None


def session_of(connection: HTTPConnection) -> LoginSession | None:
    """The session that the request belongs to."""
    session = connection.state.session
    return session if isinstance(session, LoginSession) else None


def host_name(host_header: str) -> str:
    """The name in a Host header, without the port; brackets of an IPv6 address are kept off."""
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0]
    return host_header.partition(":")[0]


def _wanted(scope: Scope) -> str:
    """The page asked for, to go on with after the login: below the root, without the slash that begins it."""
    raw: bytes = scope.get("raw_path", b"/")
    query: bytes = scope.get("query_string", b"")
    wanted = raw.partition(b"?")[0][1:] + (b"?" + query if query else b"")
    return quote(wanted[:2000], safe="")


def _secret(authorization: str) -> bytes:
    """The secret of an Authorization header; empty if there is none that can be read.

    The header came as latin-1; `encode` gives back the bytes that the client sent.
    """
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode("latin-1")
    if scheme.lower() != "basic":
        return b""
    try:
        user_and_password = base64.b64decode(rest.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return user_and_password.partition(b":")[2]
