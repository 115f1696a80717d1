"""How routes describe, in /openapi.json, the answers that are no figures."""

from __future__ import annotations

from typing import Any, Final

from services.api.errors import ErrorBody, ParameterErrorBody

Responses = dict[int | str, dict[str, Any]]

REQUEST_ID: Final = {"X-Request-ID": {"description": "Names this request in the log", "schema": {"type": "string"}}}

_STANDING: Final = {
    name: {"description": description, "schema": {"type": "integer"}}
    for name, description in {
        "X-RateLimit-Limit": "Requests a minute, of the address or of the token, whichever has less left",
        "X-RateLimit-Remaining": "How many are left",
        "X-RateLimit-Reset": "When all are there again, unix seconds",
    }.items()
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait before asking again", "schema": {"type": "integer"}}
}

TOLD: Final = {**REQUEST_ID, **_STANDING}
"""Headers of every answer of an endpoint that is limited."""

BOUNDED: Final[Responses] = {
    413: {"model": ErrorBody, "description": "The body is too large; no endpoint needs one", "headers": REQUEST_ID},
    414: {"model": ErrorBody, "description": "The query is too long", "headers": REQUEST_ID},
}
LIMITED: Final[Responses] = {
    **BOUNDED,
    429: {
        "model": ErrorBody,
        "description": "Too many requests in this minute",
        "headers": {**TOLD, **_RETRY_AFTER},
    },
}
_TAG: Final = {"ETag": {"description": "Names this content", "schema": {"type": "string"}}}
PROBED: Final[Responses] = {200: {"headers": REQUEST_ID}, **BOUNDED}
ANSWERED: Final[Responses] = {
    200: {"headers": {**TOLD, **_TAG}},
    304: {"description": "What If-None-Match names is what there is", "headers": {**TOLD, **_TAG}},
    **LIMITED,
}
TOKEN_REFUSED: Final[Responses] = {
    401: {"model": ErrorBody, "description": "No token, or one that is not valid", "headers": TOLD},
    403: {"model": ErrorBody, "description": "The token lacks the scope", "headers": TOLD},
}
PERIOD_REFUSED: Final[Responses] = {
    400: {"model": ErrorBody, "description": "There is no such period", "headers": TOLD},
}
PARAMETER_REFUSED: Final[Responses] = {
    422: {"model": ParameterErrorBody, "description": "A parameter was refused", "headers": TOLD},
}
STORE_FAILED: Final[Responses] = {
    503: {
        "model": ErrorBody,
        "description": "The database is away, too slow, or refused the query; ask again later",
        "headers": {**TOLD, **_RETRY_AFTER},
    },
}
TOO_MANY_STREAMS: Final[Responses] = {
    503: {
        "model": ErrorBody,
        "description": "As many streams are open as may be; come again later",
        "headers": STORE_FAILED[503]["headers"],
    },
}
