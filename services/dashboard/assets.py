"""The pages' own files (static/): held in memory, compressed once, under an address that changes with their content."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PLACE: Final = "/static"
_FOLDER: Final = Path(__file__).parent / "static"
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_SMALL_BYTES: Final = 512
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".md": "text/markdown"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent; `compressed` is empty where gzip gains nothing."""

    media_type: str
    body: bytes
    compressed: bytes
    etag: str


class Assets:
    """ASGI application below PLACE: `VERSION/NAME`, kept by browsers for a year, or `NAME`, asked for anew each time.

    All files share one version, so that scripts can name each other by relative paths. Where another version is asked
    for, by a page from before an update or of another replica, the file of now is given, and not kept.
    """

    def __init__(self) -> None:
        self._assets = {
            path.relative_to(_FOLDER).as_posix(): _asset(path) for path in sorted(_FOLDER.rglob("*")) if path.is_file()
        }
        content = hashlib.sha256()
        for name, asset in self._assets.items():
            content.update(f"{name}\n{asset.etag}\n".encode())
        self.version = content.hexdigest()[:12]

    @property
    def path(self) -> str:
        """Where the files lie, below the dashboard's root, with a slash at its end."""
        return f"{PLACE[1:]}/{self.version}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Method Not Allowed\n", 405, {"Allow": "GET, HEAD"})
        version, name = self._named(scope["path"].removeprefix(f"{scope.get('root_path', '')}/"))
        asset = self._assets.get(name)
        if asset is None:
            return PlainTextResponse("Not Found\n", 404)
        asked = Headers(scope=scope)
        headers = {"ETag": asset.etag, "Vary": "Accept-Encoding"} | (_FOR_EVER if version == self.version else {})
        if asset.etag in asked.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if asset.compressed and "gzip" in asked.get("accept-encoding", ""):
            headers |= {"Content-Encoding": "gzip"}
            return Response(asset.compressed, headers=headers, media_type=asset.media_type)
        return Response(asset.body, headers=headers, media_type=asset.media_type)

    def _named(self, path: str) -> tuple[str, str]:
        version, _, name = path.partition("/")
        return ("", path) if path in self._assets else (version, name)


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    compressed = gzip.compress(body, 9, mtime=0) if len(body) > _SMALL_BYTES else b""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
    return Asset(media_type, body, compressed if len(compressed) < len(body) else b"", etag)
