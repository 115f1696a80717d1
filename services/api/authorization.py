"""The check that a route asks for: a valid bearer token with the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.errors import ApiError
from services.api.rate_limits import note_token_standing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.api.rate_limits import RateLimits
    from services.api.tokens import TokenBook

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="sharehouse"'}

bearer = HTTPBearer(auto_error=False, description="A token of API_TOKENS, or a JWT with the scope")


def require_scope(scope: str) -> Callable[..., Awaitable[None]]:
    """A dependency for routes: 401 without a valid token, 429 with one used too often, 403 with one without `scope`."""

    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> None:
        if credentials is None:
            raise ApiError(401, "MISSING_TOKEN", "Send a token as 'Authorization: Bearer TOKEN'", _CHALLENGE)
        book: TokenBook = request.app.state.token_book
        # The header came as latin-1; this gives back the bytes that the client sent.
        holder = book.holder(credentials.credentials.encode("latin-1"))
        if holder is None:
            raise ApiError(401, "INVALID_TOKEN", "The token is not valid", _CHALLENGE)
        request.state.holder = holder.name
        limits: RateLimits = request.app.state.rate_limits
        standing = await limits.by_token(holder.key)
        note_token_standing(request.scope["state"], standing)
        if standing.exceeded:
            message = f"More than {standing.limit} requests in a minute with this token"
            raise ApiError(429, "RATE_LIMITED", message, standing.retry_after())
        if scope not in holder.scopes:
            raise ApiError(403, "INSUFFICIENT_SCOPE", f"The token lacks the scope {scope!r}")

    return check
