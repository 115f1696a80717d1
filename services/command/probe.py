"""Is a service ready to be used?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

Probe = Callable[[], Awaitable[bool]]

_ANSWER_SECONDS = 2.0


def http(host: str, port: int, path: str, headers: Mapping[str, str] | None = None, *, status: str = "200") -> Probe:
    """Ready when a GET is answered with this status (or status and reason) within two seconds."""
    name = f"[{host}]" if ":" in host else host
    more = "".join(f"{field}: {value}\r\n" for field, value in (headers or {}).items())
    request = f"GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\n{more}Connection: close\r\n\r\n".encode()
    wanted = status.encode().split()

    async def probe() -> bool:
        line = await _first_line(host, port, request)
        return line.split()[1 : 1 + len(wanted)] == wanted

    return probe


def tcp(host: str, port: int) -> Probe:
    """Ready when a connection is accepted within two seconds."""

    async def probe() -> bool:
        return await _first_line(host, port, b"") is not _REFUSED

    return probe


async def always() -> bool:
    """For a service that offers nothing to ask."""
    return True


_REFUSED = b"refused"


async def _first_line(host: str, port: int, request: bytes) -> bytes:
    """What comes back first; nothing is waited for when nothing is asked."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, limit=4096)
            try:
                writer.write(request)
                return await reader.readline() if request else b""
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, ValueError):
        return _REFUSED
