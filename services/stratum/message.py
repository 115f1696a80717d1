"""JSON-RPC messages, one object a line, as Stratum V1 uses them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from services.stratum.reject import ProtocolError, Reject, StratumError

if TYPE_CHECKING:
    from collections.abc import Callable


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _decode_with_json(line: bytes) -> Any:
    return json.loads(line, parse_constant=_refuse_constant)


def _encode_with_json(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


# msgspec decodes a submit in a fifth of the time of json, and encodes one in a twentieth.
try:
    import msgspec
except ImportError:
    _decode_json: Callable[[bytes], Any] = _decode_with_json
    _encode_json: Callable[[dict[str, Any]], bytes] = _encode_with_json
else:
    _decode_json = msgspec.json.Decoder().decode
    _encode_json = msgspec.json.Encoder().encode


MAX_RELAYED_BYTES = 16 * 1024


class Request(NamedTuple):
    """A call, or a notification where ``id`` is None. ``id`` is any JSON value and is echoed as it came."""

    id: Any
    method: str
    params: Any


class Response(NamedTuple):
    """An answer: ``error`` is None, or whatever the peer put there; ``reject_reason`` is ckpool's extra key."""

    id: Any
    result: Any
    error: Any
    reject_reason: str | None = None


def decode(line: bytes) -> Request | Response:
    """One line to a message. Raises ProtocolError for all that is not a JSON object with a method or an id."""
    try:
        # There is firmware that quotes as Python does.
        message = _decode_json(line if line[:2] != b"{'" else line.replace(b"'", b'"'))
    except RecursionError:
        raise ProtocolError("not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise ProtocolError(f"not JSON: {str(error)[:100]}") from None
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    method = message.get("method")
    if isinstance(method, str):
        return Request(message.get("id"), method, message.get("params"))
    if "id" in message and ("result" in message or "error" in message):
        reason = message.get("reject-reason")
        return Response(
            message["id"],
            message.get("result"),
            message.get("error"),
            reason[:200] if isinstance(reason, str) else None,
        )
    raise ProtocolError("neither a request nor an answer")


def _line(message: dict[str, Any]) -> bytes:
    try:
        return _encode_json(message) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: JSON can say it, UTF-8 cannot
        return _encode_with_json(message) + b"\n"


def request(request_id: Any, method: str, params: list[Any]) -> bytes:
    """A call on the wire."""
    return _line({"id": request_id, "method": method, "params": params})


def notification(method: str, params: list[Any]) -> bytes:
    """A message that wants no answer."""
    return _line({"id": None, "method": method, "params": params})


def answer(request_id: Any, result: Any) -> bytes:
    """A successful answer; ``request_id`` is echoed verbatim."""
    return _line({"id": request_id, "result": result, "error": None})


def relayed(request_id: Any, response: Response) -> bytes:
    """Another peer's answer, unchanged but for the id; one of absurd size or depth in short."""
    message = {"id": request_id, "result": response.result, "error": response.error}
    if response.reject_reason is not None:
        message["reject-reason"] = response.reject_reason
    try:
        line = _line(message)
    except RecursionError:  # read at a smaller stack depth than this
        line = b""
    if 0 < len(line) <= MAX_RELAYED_BYTES:
        return line
    code, text = error_of(response) or (20, "An answer too long to hand on")
    return refusal(request_id, code, text)


def refusal(request_id: Any, code: Any, message: Any, *, result: Any = None) -> bytes:
    """An error answer ``[code, message, null]``."""
    return _line({"id": request_id, "result": result, "error": [code, message, None]})


def refusal_for(request_id: Any, reason: StratumError | Reject) -> bytes:
    """The error answer for one of our own refusals."""
    return refusal(request_id, reason.code, reason.message)


def error_of(response: Response) -> tuple[int, str] | None:
    """What an answer refuses with, ``(code, message)``, or None where it accepts.

    Takes every shape seen in the field: ``[code, text, trace]`` (the code also as a string), ``{"code", "message"}``, a
    bare string, and result false with error null, with or without ckpool's ``reject-reason``. An empty error beside a
    result is none.
    """
    error = response.error
    if error is None or error is False or (not error and response.result):
        if response.result is False or response.reject_reason is not None:
            return _code_of_text(response.reject_reason or "Rejected"), response.reject_reason or "Rejected"
        return None
    if isinstance(error, list) and error:
        text = str(error[1])[:200] if len(error) > 1 and error[1] is not None else "Rejected"
        return _as_code(error[0], text), text
    if isinstance(error, dict):
        text = str(error.get("message") or "Rejected")[:200]
        return _as_code(error.get("code"), text), text
    text = str(error)[:200]
    return _code_of_text(text), text


def _as_code(value: Any, text: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    if isinstance(value, str) and len(value) < 10 and value.lstrip("-").isascii() and value.lstrip("-").isdigit():
        return int(value)
    return _code_of_text(text)


def _code_of_text(text: str) -> int:
    lowered = text.lower()
    for word, code in (
        ("stale", 21),
        ("job", 21),
        ("duplicate", 22),
        ("difficulty", 23),
        ("target", 23),
        ("unauthor", 24),
        ("subscribed", 25),
    ):
        if word in lowered:
            return code
    return 20
