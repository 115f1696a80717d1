"""ETag on every JSON answer that is sent whole, and 304 to whoever has it already."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class EntityTagMiddleware:
    """Tags are weak: the same figures, whatever their encoding on the way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")
        held: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_tagged(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                if not message.get("more_body"):
                    message = _tag(start, message, known)
                await send(start)
            await send(message)

        await self.app(scope, receive, send_tagged)


def weak_tag(body: bytes) -> str:
    """The header ETag for a body."""
    return f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def _is_tagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return (
        start["status"] == 200
        and headers.get("content-type", "").startswith("application/json")
        and "no-store" not in headers.get("cache-control", "")
    )


def _tag(start: Message, body: Message, known: str) -> Message:
    """Puts the tag into `start` unless it is there; gives the body to send, which is none where the client has it."""
    headers = MutableHeaders(scope=start)
    tag = headers.get("ETag")
    if tag is None:
        tag = headers["ETag"] = weak_tag(body.get("body", b""))
    if not any(one.strip().removeprefix("W/") in (tag.removeprefix("W/"), "*") for one in known.split(",")):
        return body
    start["status"] = 304
    for name in ("content-length", "content-type", "content-encoding"):
        del headers[name]
    return {"type": "http.response.body", "body": b""}
