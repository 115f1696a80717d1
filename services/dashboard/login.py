"""The login page: a password or a token for a session's cookie; and the way out."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from services.dashboard.guard import session_of
from services.dashboard.login_session import COOKIE, FORM_COOKIE, LASTS_SECONDS, same
from services.dashboard.pages import NOT_STORED, root_of

if TYPE_CHECKING:
    from services.dashboard.attempts import Attempts
    from services.dashboard.login_session import Credentials
    from services.dashboard.pages import Pages

_MOST_BYTES: Final = 8192
_FORM_SECONDS: Final = 3600


def router(credentials: Credentials, attempts: Attempts, pages: Pages) -> APIRouter:
    """`/login` and `/logout`; without credentials both lead to the pages."""
    routes = APIRouter()

    def form(request: Request, status: int = 200, problem: str = "", wanted: str = "") -> Response:
        # The form counts only together with the cookie that came with it: no other site can send it.
        nonce = request.cookies.get(FORM_COOKIE, "")[:64] or secrets.token_urlsafe(16)
        answer = pages.answer(
            request,
            "login.html",
            here=None,
            status=status,
            problem=problem,
            wanted=wanted,
            token=credentials.form_token(nonce),
        )
        answer.set_cookie(FORM_COOKIE, nonce, _FORM_SECONDS, httponly=True, samesite="strict", secure=_by_tls(request))
        return answer

    @routes.get("/login")
    async def ask(request: Request) -> Response:
        wanted = request.query_params.get("next", "")
        if not credentials or session_of(request) is not None:
            return _to(request, wanted)
        return form(request, wanted=wanted)

    @routes.post("/login")
    async def log_in(request: Request) -> Response:
        if not credentials:
            return _to(request)
        fields = await _fields(request)
        wanted = fields.get("next", "")
        client = request.state.client_address
        if wait := attempts.wait_seconds(client):
            return form(request, 429, f"Too many wrong passwords from your address: wait {wait} s.", wanted)
        nonce = request.cookies.get(FORM_COOKIE, "")
        if not nonce or not same(fields.get("token", ""), credentials.form_token(nonce)):
            return form(request, 403, "The form was too old, or cookies are blocked. Please try again.", wanted)
        holder = credentials.holder(fields.get("secret", "").strip().encode())
        if holder is None:
            attempts.failed(client)
            return form(request, 401, "That is neither the password nor a token.", wanted)
        attempts.succeeded(client)
        request.state.holder = holder
        answer = _to(request, wanted)
        answer.set_cookie(
            COOKIE, credentials.begin(holder), LASTS_SECONDS, httponly=True, samesite="lax", secure=_by_tls(request)
        )
        answer.delete_cookie(FORM_COOKIE)
        return answer

    @routes.post("/logout")
    async def log_out(request: Request) -> Response:
        session = session_of(request)
        if session is None or not same((await _fields(request)).get("token", ""), session.csrf):
            return _to(request)
        answer = RedirectResponse(f"{root_of(request.scope)}login", 303, NOT_STORED)
        answer.delete_cookie(COOKIE)
        return answer

    return routes


def _to(request: Request, wanted: str = "") -> RedirectResponse:
    """To a page below the root, and nowhere else: behind `./` a name of another host is only a path."""
    # A backslash counts as a slash in browsers, and what is not printable they leave out.
    below = "".join(letter for letter in wanted if letter.isprintable() and letter != "\\").lstrip("/")
    return RedirectResponse(f"{root_of(request.scope)}{below}", 303, NOT_STORED)


def _by_tls(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy in front that is trusted to say so."""
    if request.url.scheme == "https":
        return True
    peer = request.client.host if request.client else ""
    is_forwarded = request.state.client_address != peer
    return is_forwarded and request.headers.get("x-forwarded-proto", "").split(",")[-1].strip() == "https"


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a small form, each once; none of one that is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return {}
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=10).items()}
    except ValueError:
        return {}
