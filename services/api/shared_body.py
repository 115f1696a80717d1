"""A JSON body that many are given: written, named and compressed once, for all who ask in the same second."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.responses import Response

from services.api.entity_tags import weak_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import Request

PACKED_MIN_BYTES: Final = 1024
# Everybody waits for it: level 6 takes half as long again, for an eighth less.
_LEVEL: Final = 4
_GZIP: Final = 16 + zlib.MAX_WBITS


class SharedBody:
    """A thousand workers are half a megabyte: compressing that for each of a hundred clients takes a second."""

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._tag = weak_tag(plain)
        self._packing: asyncio.Task[bytes] | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> SharedBody:
        """Written by msgspec from plain values: models of a thousand workers take ten times as long to make."""
        return cls(msgspec.json.encode(answer))

    async def response(self, request: Request) -> Response:
        """As the client takes it; what `request` accepts has been settled by CompressionMiddleware."""
        headers = {"ETag": self._tag}
        body = self.plain
        if len(body) >= PACKED_MIN_BYTES and request.headers.get("accept-encoding") == "gzip":
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            body = await self._packed()
        return Response(body, media_type="application/json", headers=headers)

    async def _packed(self) -> bytes:
        if self._packing is None:
            self._packing = asyncio.ensure_future(asyncio.to_thread(zlib.compress, self.plain, _LEVEL, _GZIP))
        # Whoever goes away takes nothing from the others.
        return await asyncio.shield(self._packing)
