"""A stream that nobody takes is cut, and lets go of what it holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from services.api import watched_stream
from services.api.watched_stream import WatchedStream
from services.warehouse.queries import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Message

SCOPE = {"type": "http", "state": {"request_id": "the-request"}}


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("not reached")


@pytest.mark.parametrize("trouble", ["stalled", "unreachable"])
async def test_a_stream_that_cannot_go_on_ends_without_its_end(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_stream, "STALLED_SECONDS", 0.05)
    sent: list[Message] = []
    let_go = []

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            if trouble == "unreachable":
                raise StoreUnavailable("away", "unreachable")
            yield b"second"
        finally:
            let_go.append(True)

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body") == b"second":
            await never()

    with capture_logs() as logs:
        await WatchedStream(pieces())(SCOPE, never, send)
    assert let_go == [True]
    assert [message.get("body") for message in sent][:2] == [None, b"first"]
    assert all(message.get("more_body", True) for message in sent)
    (line,) = logs
    assert (line["event"], line["trouble"], line["request_id"]) == ("stream_cut", trouble, "the-request")
