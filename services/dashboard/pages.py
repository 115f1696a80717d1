"""How a page is made: a template that extends layout.html, with what all pages show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.dashboard import quantities
from services.dashboard.drawing import draw
from services.dashboard.links import worker_path
from services.dashboard.navigation import NAVIGATION

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.types import Scope

_ROOM: Final = Path(__file__).parent
NOT_STORED: Final = {"Cache-Control": "no-store"}


class Pages:
    """The templates, and the filters of `quantities` for them.

    Each gets `root` (how the page's own path leads back to the dashboard's root), `navigation`, `here` (the path of the
    entry that it belongs to; None for a page that leads nowhere) and `session` (LoginSession or None).
    """

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(_ROOM / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"navigation": NAVIGATION, "draw": draw, "worker_path": worker_path}
        for shown in (quantities.si, quantities.hash_rate, quantities.exact, quantities.count, quantities.utc):
            self._templates.filters[shown.__name__] = shown
        for named in (quantities.percent, quantities.duration, quantities.size, quantities.plural):
            self._templates.filters[named.__name__] = named

    def answer(
        self, request: Request, template: str, *, here: str | None = "", status: int = 200, **facts: Any
    ) -> HTMLResponse:
        """The page of `template` for this request."""
        text = self._templates.get_template(template).render(
            root=root_of(request.scope), here=here, session=request.state.session, **facts
        )
        return HTMLResponse(text, status, headers=NOT_STORED)


def root_of(scope: Scope) -> str:
    """The dashboard's root, relative to the page asked for, so that it also works behind a proxy that adds a prefix.

    A browser takes a path apart as it was written, so `/workers/a%2Fb` is two levels deep.
    """
    raw: bytes = scope.get("raw_path", b"/")
    depth = raw.partition(b"?")[0].count(b"/") - 1
    return "../" * depth or "./"
