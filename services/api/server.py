"""The API's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.api.app import create_app
from services.web.serving import serve_app

if TYPE_CHECKING:
    from services.api.options import ApiOptions


async def serve(options: ApiOptions) -> None:
    """Serve until this task is cancelled. Raises OSError if the port cannot be had."""
    app = create_app(options)
    # A stream of events never ends by itself.
    close_streams = app.state.feed.close
    await serve_app(app, options.host, options.port, name="API", port_setting="API_PORT", before_stop=close_streams)
