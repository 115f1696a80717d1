"""A client's connection: uvicorn's, with an end to what a client may keep by saying nothing, little, or too much.

uvicorn closes a connection that is idle between two requests. It waits without end for a first request, for the rest of
one that has begun, and for a client that does not read its answer; and httptools gathers a head of any length.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from services.web.places import Places

REQUEST_SECONDS: Final = 20.0
"""From a connection, or from a request's first byte, to its last."""
STALLED_SECONDS: Final = 60.0
"""So long a client may take nothing of an answer."""
HEAD_MAX_BYTES: Final = 65_536


class BoundedConnection(HttpToolsProtocol):
    """Closed when a request is not there in time, its head is too long, or nobody reads the answer; `places` may cut
    it while it waits for a request.
    """

    def __init__(self, *args: Any, places: Places, request_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places
        self._request_seconds = request_seconds
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        self._reader_look: asyncio.TimerHandle | None = None
        self._unread = 0

    def cut(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline()
        self._places.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self)
        self._clear_deadline()
        self._stop_looking()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # uvicorn takes back its own time limit at any byte, a line end before a request too.
        if self._deadline is None and self._is_idle():
            self._set_deadline()
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > HEAD_MAX_BYTES and not self.transport.is_closing():
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._set_deadline()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes = 0
        # Else uvicorn has no time limit left: the answer was out before the rest of the request came.
        if not self._is_idle():
            self._clear_deadline()
            self._places.busy(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_idle():
            self._places.wait(self)
        if self.transport.is_closing():
            self._look_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._look_for_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_looking()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _set_deadline(self) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(self._request_seconds, self._too_late)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self._is_idle():
            self.transport.abort()
        else:  # the answer to the request before is still on its way
            self._set_deadline()

    def _look_for_reader(self) -> None:
        """From now on, unless it does already: is anything taken of what lies here?"""
        if self._reader_look is None and self.transport.get_write_buffer_size():
            self._unread = self.transport.get_write_buffer_size()
            self._reader_look = self.loop.call_later(STALLED_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._reader_look = None
        if self.transport.get_write_buffer_size() >= self._unread:
            self.transport.abort()
        else:
            self._look_for_reader()

    def _stop_looking(self) -> None:
        if self._reader_look is not None:
            self._reader_look.cancel()
            self._reader_look = None


def bounded_connection(places: Places, request_seconds: float = REQUEST_SECONDS) -> type[asyncio.Protocol]:
    """What uvicorn makes its connections with."""
    return cast("type[asyncio.Protocol]", partial(BoundedConnection, places=places, request_seconds=request_seconds))
