"""/docs and /redoc: the API's reference for people, from its own OpenAPI description, with nothing from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request, Response  # noqa: TC002 - FastAPI reads them at run time
from fastapi.responses import HTMLResponse

from services.api.packed_files import PackedFiles
from services.api.shared_body import SharedBody

if TYPE_CHECKING:
    from fastapi import FastAPI

_STATIC = Path(__file__).parent / "static"
_TITLE = "Sharehouse API"

# Both viewers write style elements while they run; neither needs an inline script.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_TITLE}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/reference.css">
"""

_SWAGGER = f"""{_HEAD}<link rel="stylesheet" href="static/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">the description itself</a> does not.</noscript>
<script src="static/swagger-ui-bundle.js"></script>
<script src="static/docs.js"></script>
</body>
</html>
"""

_REDOC = f"""{_HEAD}</head>
<body>
<redoc spec-url="openapi.json"></redoc>
<noscript>This page needs JavaScript; <a href="openapi.json">the description itself</a> does not.</noscript>
<script src="static/redoc.standalone.js"></script>
</body>
</html>
"""


def install_reference(app: FastAPI) -> None:
    """Add /openapi.json, /docs, /redoc and the files that they load; all open, so none may cost much when asked for."""
    described: SharedBody | None = None

    async def swagger() -> HTMLResponse:
        return HTMLResponse(_SWAGGER, headers=_HEADERS)

    async def redoc() -> HTMLResponse:
        return HTMLResponse(_REDOC, headers=_HEADERS)

    @app.api_route("/openapi.json", methods=["GET", "HEAD"], include_in_schema=False)
    async def openapi(request: Request) -> Response:
        nonlocal described
        if described is None:
            described = SharedBody(json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode())
        return await described.response(request)

    for path, page in (("/docs", swagger), ("/redoc", redoc)):
        app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(page)
    app.mount("/static", PackedFiles(directory=_STATIC), name="static")
