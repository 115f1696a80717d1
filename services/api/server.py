"""The API's process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.api.app import create_app
from services.web.serving import serve_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.api.options import ApiOptions
    from services.api.tokens import TokenBook

LOOK_SECONDS: Final = 2.0


async def serve(options: ApiOptions, changed: Callable[[], ApiOptions | None] | None = None) -> None:
    """Serve until this task is cancelled. Raises OSError if the port cannot be had.

    `changed`, called every LOOK_SECONDS in a thread, gives options with other tokens once there are any, else None; it
    never raises. All but tokens stays as it was at the start.
    """
    app = create_app(options)
    following = asyncio.create_task(_follow(app.state.token_book, changed)) if changed is not None else None
    try:
        await serve_app(
            app,
            options.host,
            options.port,
            name="API",
            port_setting="API_PORT",
            # A stream of events never ends by itself.
            before_stop=app.state.feed.close,
        )
    finally:
        if following is not None:
            following.cancel()


async def _follow(book: TokenBook, changed: Callable[[], ApiOptions | None]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        options = await asyncio.to_thread(changed)
        if options is not None:
            book.replace(options)
