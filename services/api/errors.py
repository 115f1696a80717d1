"""Errors as the API tells them: one body for all, and nothing of the inside in it."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from services.warehouse.queries import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

    from services.warehouse.queries import Trouble

log = structlog.get_logger()

_CODES = {400: "BAD_REQUEST", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
_MESSAGES = {404: "There is no such endpoint", 405: "This endpoint does not take this method"}
# By how the database failed: the code, and what to say; ClickHouse's own text stays in the log.
_STORE_TROUBLES: dict[Trouble, tuple[str, str]] = {
    "unreachable": ("DATABASE_UNAVAILABLE", "The database is away; it is asked again at the next request"),
    "opening": ("DATABASE_UNAVAILABLE", "The database opens its tables; it is asked again at the next request"),
    "slow": ("DATABASE_TIMEOUT", "The database did not answer in time; it is asked again at the next request"),
    "refused": ("DATABASE_REFUSED", "The database refused the query (its error {code}); the API's log says why"),
}


class ErrorFacts(BaseModel):
    """What went wrong."""

    code: str = Field(description="A word for programs to branch on", examples=["INVALID_TOKEN"])
    message: str = Field(description="A sentence for people", examples=["The token is not valid"])
    timestamp: str = Field(description="When, in UTC, ISO 8601", examples=["2026-11-21T10:30:00Z"])
    request_id: str = Field(
        description="The same as in the header X-Request-ID; the operator finds the request by it",
        examples=["7f5c9a0e4b1d4c27a3f0c1f2f8a9b6d5"],
    )


class ParameterFault(BaseModel):
    """A parameter that was refused."""

    loc: list[str | int] = Field(description="Where it stands", examples=[["query", "start_time"]])
    msg: str = Field(description="Why it was refused", examples=["Field required"])
    type: str = Field(description="The kind of fault", examples=["missing"])


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorFacts
    detail: str = Field(description="The message again, where clients of FastAPI look for it")


class ParameterErrorBody(BaseModel):
    """The body of a 422: `detail` lists the parameters at fault."""

    error: ErrorFacts
    detail: list[ParameterFault]


class ApiError(Exception):
    """An answer other than 200: status, code for programs, message for people, and extra headers."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


def error_response(
    request_id: str,
    status: int,
    code: str,
    message: str,
    *,
    detail: Any = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error in the one form that all errors have; `detail` is the message unless given."""
    facts = {
        "code": code,
        "message": message,
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "request_id": request_id,
    }
    body = {"error": facts, "detail": message if detail is None else detail}
    return JSONResponse(body, status, headers={"Cache-Control": "no-store", **(headers or {})})


def install_error_handlers(app: FastAPI) -> None:
    """Give every error that a route, or the router itself, can raise its one form."""

    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return error_response(request.state.request_id, error.status, error.code, error.message, headers=error.headers)

    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        code = _CODES.get(error.status_code, phrase.upper().replace(" ", "_"))
        message = _MESSAGES.get(error.status_code, phrase)
        return error_response(request.state.request_id, error.status_code, code, message, headers=error.headers)

    async def parameter_error(request: Request, error: RequestValidationError) -> JSONResponse:
        # Of a parameter that may be left out, that it is not null says nothing, nor which branch of its type was tried.
        told = [fault for fault in error.errors() if fault["type"] != "none_required"]
        faults = [{"loc": list(fault["loc"][:2]), "msg": fault["msg"], "type": fault["type"]} for fault in told]
        places = ", ".join(sorted({str(fault["loc"][-1]) for fault in faults}))
        message = f"These parameters were refused: {places}"
        return error_response(request.state.request_id, 422, "INVALID_PARAMETER", message, detail=faults)

    async def store_away(request: Request, error: StoreUnavailable) -> JSONResponse:
        request_id = request.state.request_id
        log.warning("database_failed", trouble=error.trouble, code=error.code, reason=str(error), request_id=request_id)
        code, message = _STORE_TROUBLES[error.trouble]
        return error_response(request_id, 503, code, message.format(code=error.code), headers={"Retry-After": "5"})

    app.exception_handler(ApiError)(api_error)
    app.exception_handler(HTTPException)(http_error)
    app.exception_handler(RequestValidationError)(parameter_error)
    app.exception_handler(StoreUnavailable)(store_away)
