"""How routes describe, in /openapi.json, the answers that are no figures."""

from __future__ import annotations

from typing import Any, Final

from services.api.errors import ErrorBody, ParameterErrorBody

Responses = dict[int | str, dict[str, Any]]

REQUEST_ID: Final = {"X-Request-ID": {"description": "Names this request in the log", "schema": {"type": "string"}}}

ANSWERED: Final[Responses] = {200: {"headers": REQUEST_ID}}
TOKEN_REFUSED: Final[Responses] = {
    401: {"model": ErrorBody, "description": "No token, or one that is not valid", "headers": REQUEST_ID},
    403: {"model": ErrorBody, "description": "The token lacks the scope", "headers": REQUEST_ID},
}
PERIOD_REFUSED: Final[Responses] = {
    400: {"model": ErrorBody, "description": "There is no such period", "headers": REQUEST_ID},
}
PARAMETER_REFUSED: Final[Responses] = {
    422: {"model": ParameterErrorBody, "description": "A parameter was refused", "headers": REQUEST_ID},
}
STORE_FAILED: Final[Responses] = {
    503: {
        "model": ErrorBody,
        "description": "The database is away, too slow, or refused the query; ask again later",
        "headers": {
            **REQUEST_ID,
            "Retry-After": {"description": "Seconds to wait before asking again", "schema": {"type": "integer"}},
        },
    },
}
TOO_MANY_STREAMS: Final[Responses] = {
    503: {
        "model": ErrorBody,
        "description": "As many streams are open as may be; come again later",
        "headers": STORE_FAILED[503]["headers"],
    },
}
