"""The dashboard's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.dashboard.app import create_app
from services.web.serving import serve_app

if TYPE_CHECKING:
    from services.dashboard.options import DashboardOptions


async def serve(options: DashboardOptions) -> None:
    """Serve until this task is cancelled. Raises OSError if the port cannot be had."""
    app = create_app(options)

    def close_streams() -> None:
        # A page's event stream never ends by itself.
        for stream in app.state.streams:
            stream.close()

    await serve_app(
        app, options.host, options.port, name="dashboard", port_setting="DASHBOARD_PORT", before_stop=close_streams
    )
