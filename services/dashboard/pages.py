"""How a page is made: a template that extends layout.html, with what all pages show."""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi.responses import HTMLResponse, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.dashboard import quantities
from services.dashboard.drawing import draw
from services.dashboard.links import worker_path
from services.dashboard.navigation import NAVIGATION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi import Request, Response
    from starlette.types import Scope

    Facts = Callable[[Request], Awaitable[dict[str, Any]]]

_ROOM: Final = Path(__file__).parent
NOT_STORED: Final = {"Cache-Control": "no-store"}
_CONTENT: Final = "<main "
"""Where in layout.html the content begins: what stands before it needs no facts."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_LEVEL: Final = 6


class Pages:
    """The templates, and the filters of `quantities` for them.

    Each gets `root` (how the page's own path leads back to the dashboard's root), `assets` (where the files of
    assets.py lie), `navigation`, `here` (the path of the entry that it belongs to; None for a page that leads nowhere)
    and `session` (LoginSession or None).
    """

    def __init__(self, assets_path: str) -> None:
        self._assets_path = assets_path
        self._templates = _templates()

    def answer(
        self, request: Request, template: str, *, here: str | None = "", status: int = 200, **facts: Any
    ) -> HTMLResponse:
        """The page of `template` for this request."""
        return HTMLResponse(self._text(request, template, here, facts), status, headers=NOT_STORED)

    def streamed(
        self, request: Request, shell: str, template: str, facts: Callable[[Request], Awaitable[dict[str, Any]]]
    ) -> Response:
        """The page of `template`, which extends `shell`: what precedes the content is sent before `facts` are known.

        So the browser has styles and scripts, and shows where it is, while the database is asked.
        """
        compressed = "gzip" in request.headers.get("accept-encoding", "")
        packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP) if compressed else None

        def packed(text: str, flush: int) -> bytes:
            data = text.encode()
            return data if packer is None else packer.compress(data) + packer.flush(flush)

        async def parts() -> AsyncIterator[bytes]:
            yield packed(self._text(request, shell, "", {}).partition(_CONTENT)[0], zlib.Z_SYNC_FLUSH)
            _, mark, rest = self._text(request, template, "", await facts(request)).partition(_CONTENT)
            yield packed(mark + rest, zlib.Z_FINISH)

        headers = {**NOT_STORED, "Vary": "Accept-Encoding", "X-Accel-Buffering": "no"} | (
            {"Content-Encoding": "gzip"} if compressed else {}
        )
        return StreamingResponse(parts(), media_type="text/html", headers=headers)

    def _text(self, request: Request, template: str, here: str | None, facts: dict[str, Any]) -> str:
        root = root_of(request.scope)
        return self._templates.get_template(template).render(
            root=root, assets=root + self._assets_path, here=here, session=request.state.session, **facts
        )


@functools.cache
def _templates() -> Environment:
    """Each is compiled once in a process."""
    made = Environment(
        loader=FileSystemLoader(_ROOM / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # They are part of the program: nobody changes them while it runs.
        auto_reload=False,
    )
    made.globals |= {"navigation": NAVIGATION, "draw": draw, "worker_path": worker_path}
    for shown in (quantities.si, quantities.hash_rate, quantities.exact, quantities.count, quantities.utc):
        made.filters[shown.__name__] = shown
    for named in (quantities.percent, quantities.duration, quantities.size, quantities.plural):
        made.filters[named.__name__] = named
    return made


def root_of(scope: Scope) -> str:
    """The dashboard's root, relative to the page asked for, so that it also works behind a proxy that adds a prefix.

    A browser takes a path apart as it was written, so `/workers/a%2Fb` is two levels deep.
    """
    raw: bytes = scope.get("raw_path", b"/")
    depth = raw.partition(b"?")[0].count(b"/") - 1
    return "../" * depth or "./"
