"""Static files whose compressed form is kept: whoever loads a page without a token must not cost much."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from services.api.shared_body import PACKED_MIN_BYTES

if TYPE_CHECKING:
    import os

    from starlette.types import Scope

_PACKED_SUFFIXES: Final = frozenset({".css", ".js", ".md", ".txt"})
_GZIP: Final = 16 + zlib.MAX_WBITS


class PackedFiles(StaticFiles):
    """Further out, Accept-Encoding must have been settled, as CompressionMiddleware does it."""

    def __init__(self, *, directory: Path) -> None:
        super().__init__(directory=directory)
        self._packed: dict[tuple[str, float], bytes] = {}

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        plain = super().file_response(full_path, stat_result, scope, status_code)
        path = Path(full_path)
        if (
            not isinstance(plain, FileResponse)
            or path.suffix not in _PACKED_SUFFIXES
            or stat_result.st_size < PACKED_MIN_BYTES
            or Headers(scope=scope).get("accept-encoding") != "gzip"
        ):
            return plain
        key = (str(path), stat_result.st_mtime)
        if key not in self._packed:
            self._packed[key] = zlib.compress(path.read_bytes(), 9, _GZIP)
        headers = MutableHeaders(raw=list(plain.raw_headers))
        for name in ("content-length", "accept-ranges"):
            del headers[name]
        headers.update({"ETag": f"W/{headers['etag']}", "Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
        return Response(self._packed[key], status_code, headers)
