"""How often one address, and one token, may ask: per minute, told in every answer that is limited.

Counted by this process for itself: behind N replicas, a client that is spread over them has N times as much.
"""

from __future__ import annotations

import ipaddress
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from starlette.datastructures import MutableHeaders

from services.api.errors import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from services.api.options import RateLimitOptions

# By the path behind /api/: each endpoint is counted by itself.
_ENDPOINTS: Final = frozenset(
    {
        "stats/summary",
        "pool/stats",
        "workers/stats",
        "workers/timerange",
        "workers/share-value",
        "shares/raw",
        "shares/audit",
        "events",
        "reload",
    }
)
_STANDING: Final = "rate_standing"
# One household has a whole network of this size, and could come by each of its addresses.
_IPV6_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of a limit: `reset` in unix seconds, when it is whole again."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool = False

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }

    def retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, self.reset - int(time.time())))}


class RateLimits:
    """Counts requests in memory; a count is forgotten when its minute is over."""

    def __init__(self, options: RateLimitOptions) -> None:
        self._counts = MemoryStorage()
        self._usual = RateLimitItemPerMinute(options.address)
        self._token = RateLimitItemPerMinute(options.token)
        self._special = {
            "stats/summary": RateLimitItemPerMinute(options.summary),
            "reload": RateLimitItemPerMinute(options.reload),
        }

    async def by_address(self, endpoint: str, address: str) -> Standing:
        """Counts a request of `address` at `endpoint`."""
        return await self._hit(self._special.get(endpoint, self._usual), "address", endpoint, _network(address))

    async def by_token(self, key: str) -> Standing:
        """Counts a request with the token that `key` stands for, whatever the endpoint and the address."""
        return await self._hit(self._token, "token", key)

    async def _hit(self, item: RateLimitItemPerMinute, *names: str) -> Standing:
        # What FixedWindowRateLimiter does, with the key made once, for this is done twice in every request.
        key = item.key_for(*names)
        count = await self._counts.incr(key, item.get_expiry())
        reset = math.ceil(await self._counts.get_expiry(key))
        return Standing(item.amount, max(0, item.amount - count), reset, exceeded=count > item.amount)


class RateLimitMiddleware:
    """Refuses with 429 what is too much from one address, and tells how things stand in every answer of /api."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self.app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = _endpoint(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        state = scope["state"]
        standing = state[_STANDING] = await self._limits.by_address(endpoint, state["client_address"])

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(state[_STANDING].headers())
            await send(message)

        app = _refusal(state["request_id"], standing) if standing.exceeded else self.app
        await app(scope, receive, send_with_standing)


def note_token_standing(state: dict[str, object], standing: Standing) -> None:
    """Let the answer tell of the token's limit where less is left of it than of the address's."""
    known = state.get(_STANDING)
    if not isinstance(known, Standing) or standing.remaining < known.remaining or standing.exceeded:
        state[_STANDING] = standing


def _refusal(request_id: str, standing: Standing) -> ASGIApp:
    message = f"More than {standing.limit} requests in a minute from this address"
    return error_response(request_id, 429, "RATE_LIMITED", message, headers=standing.retry_after())


def _endpoint(path: str) -> str | None:
    """Which of the limited endpoints it is; None for what is not limited."""
    if not path.startswith("/api/"):
        return None
    first, _, rest = path.removeprefix("/api/").partition("/")
    name = f"{first}/{rest.partition('/')[0]}" if rest else first
    if name in _ENDPOINTS:
        return name
    return "shares/proof" if first == "shares" else "other"


def _network(address: str) -> str:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], _IPV6_PREFIX), strict=False))
