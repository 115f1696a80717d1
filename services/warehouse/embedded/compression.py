"""Content codings of requests and replies: gzip, deflate (of requests), zstd and, where its package is there, lz4.

Streamed, and bounded however far a body would unpack.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Protocol

from services.warehouse.embedded.engine_error import CANNOT_DECOMPRESS, NOT_IMPLEMENTED, EngineError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

try:
    import lz4.frame as lz4_frame  # type: ignore[import-untyped]
except ImportError:  # of Python 3.14 on, clickhouse-connect does without it
    lz4_frame = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEP_BYTES = 1 << 20

# The largest window a body may ask for: 8 MiB, what zstd's levels up to 19 use.
ZSTD_WINDOW_LOG = 23


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Inflate:
    """zlib's decompressor with the manners of the others."""

    def __init__(self, wbits: int) -> None:
        self._state = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._state.eof

    @property
    def needs_input(self) -> bool:
        return not self._state.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._state.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._state.decompress(self._state.unconsumed_tail + data, max_length)


def _opener(name: str) -> Callable[[], _Decompressor]:
    if name == "gzip":
        return lambda: _Inflate(31)
    if name == "deflate":
        return lambda: _Inflate(15)
    if name == "zstd":
        return lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})
    if name == "lz4" and lz4_frame is not None:
        return lambda: lz4_frame.LZ4FrameDecompressor()
    raise EngineError.own(NOT_IMPLEMENTED, f"Content-Encoding {name!r} is not served: gzip, deflate, zstd, lz4")


class _Lz4Frame:
    """lz4's compressor with the manners of the others."""

    def __init__(self) -> None:
        self._state = lz4_frame.LZ4FrameCompressor()
        self._head: bytes = self._state.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._state.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._state.flush())


_REPLY_CODINGS = ("zstd", "gzip") if lz4_frame is None else ("zstd", "gzip", "lz4")


def reply_coding(accept_encoding: str) -> str:
    """The coding to answer with: the first known one that the client accepts; '' for none."""
    for part in accept_encoding.split(","):
        name, _, weight = part.strip().partition(";")
        if name in _REPLY_CODINGS and weight.replace(" ", "") not in ("q=0", "q=0.0"):
            return name
    return ""


def compressor(coding: str) -> Compressor:
    """A compressor for one of them, at its fastest level: the way is short."""
    if coding == "lz4":
        return _Lz4Frame()
    return zstd.ZstdCompressor(level=1) if coding == "zstd" else zlib.compressobj(1, wbits=31)


class Decoder:
    """Decodes one body, piece by piece, at most STEP_BYTES at a time.

    Bytes that do not decode, and a body that ends inside its coding, raise EngineError.
    """

    def __init__(self, content_encoding: str) -> None:
        self._name = content_encoding.strip().lower()
        self._open = None if self._name in ("", "identity") else _opener(self._name)
        self._state: _Decompressor | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._open is None:
            yield data
            return
        try:
            while data:
                if self._state is None:
                    self._state = self._open()
                yield self._state.decompress(data, STEP_BYTES)
                while not (self._state.eof or self._state.needs_input):
                    yield self._state.decompress(b"", STEP_BYTES)
                data = b""
                if self._state.eof:
                    # A body may be several frames, one after the other.
                    data = self._state.unused_data or b""
                    self._state = None
        except (zlib.error, zstd.ZstdError, RuntimeError) as error:
            raise self._failure(str(error)) from None

    def finish(self) -> None:
        if self._state is not None:
            raise self._failure("the body ends in the middle")

    def _failure(self, why: str) -> EngineError:
        return EngineError.own(CANNOT_DECOMPRESS, f"The request's body does not decode as {self._name}: {why}")
