"""The server's side of a Stratum connection to a miner: bytes in, typed requests and bytes out.

What needs no decision is answered here; the rest comes out as an event with the :class:`Reply` to settle.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from services.proxy.reply_order import HANDSHAKE, Reply, ReplyOrder
from services.stratum import message
from services.stratum.framing import LineBuffer
from services.stratum.miner_request import (
    Authorize,
    Configure,
    Submit,
    Subscribe,
    parse_authorize,
    parse_configure,
    parse_difficulty,
    parse_submit,
    parse_subscribe,
    parse_target,
    worker_name,
)
from services.stratum.reject import MALFORMED, UNSUPPORTED, ProtocolError, Reject, StratumError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPECTED = 'Stratum is one JSON object a line, such as {"id":1,"method":"mining.subscribe","params":[]}'
_HTTP = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|CONNECT|PRI) \S+ HTTP/")
_HTTP_TEXT = b"This port speaks Stratum, not HTTP.\n"
_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_HTTP_TEXT), _HTTP_TEXT)
)
_SUGGEST_DIFFICULTY = "mining.suggest_difficulty"


@dataclass(frozen=True, slots=True)
class SubscribeAsked:
    """mining.subscribe."""

    reply: Reply
    subscribe: Subscribe


@dataclass(frozen=True, slots=True)
class AuthorizeAsked:
    """mining.authorize."""

    reply: Reply
    authorize: Authorize


@dataclass(frozen=True, slots=True)
class ConfigureAsked:
    """mining.configure."""

    reply: Reply
    configure: Configure


class SubmitAsked(NamedTuple):
    """mining.submit."""

    reply: Reply
    submit: Submit


@dataclass(frozen=True, slots=True)
class MalformedSubmit:
    """A mining.submit that cannot be read; ``worker`` and ``job_id`` are '' where those cannot be read either."""

    reply: Reply
    error: StratumError
    worker: str
    job_id: str


@dataclass(frozen=True, slots=True)
class DifficultySuggested:
    """mining.suggest_difficulty or suggest_target; answered already."""

    difficulty: float


@dataclass(frozen=True, slots=True)
class ExtranonceSubscribed:
    """mining.extranonce.subscribe; answered already."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Something that asks for nothing more."""


@dataclass(frozen=True, slots=True)
class Junk:
    """A line that is not Stratum; answered with an error."""

    why: str


Event = (
    SubscribeAsked
    | AuthorizeAsked
    | ConfigureAsked
    | SubmitAsked
    | MalformedSubmit
    | DifficultySuggested
    | ExtranonceSubscribed
    | Alive
    | Junk
)


class MinerSession:
    """One connection's framing and order of answers. Methods that speak queue bytes for :meth:`outgoing`."""

    __slots__ = ("_finished", "_lines", "_order", "_out")

    def __init__(self, max_line_bytes: int) -> None:
        self._lines = LineBuffer(max_line_bytes)
        self._order = ReplyOrder()
        # Immutable: nearly always it is one line, which then is copied nowhere.
        self._out = b""
        self._finished = False

    @property
    def unanswered(self) -> int:
        """How many requests wait for an answer."""
        return self._order.count

    @property
    def has_outgoing(self) -> bool:
        """Whether there are bytes to send."""
        return bool(self._out)

    def outgoing(self) -> bytes:
        """The bytes to send now; empties the queue."""
        data, self._out = self._out, b""
        return data

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yields what the miner's bytes mean. Raises LineTooLongError; other senseless lines become Junk."""
        for line in self._lines.feed(data):
            if self._finished:
                return
            try:
                parsed = message.decode(line)
                if isinstance(parsed, message.Response):
                    yield Alive()  # to a client.get_version or the like: nothing here waits for it
                    continue
                id_text = _id_text(parsed.id)
            except ProtocolError as error:
                if _HTTP.match(line):
                    self._out += _HTTP_ANSWER
                    yield Junk("an HTTP request")
                else:
                    self._out += message.refusal(None, MALFORMED.code, f"{MALFORMED.message}: {error}; {_EXPECTED}")
                    yield Junk(str(error))
                continue
            yield self._requested(parsed, id_text)

    def answer(self, reply: Reply, result: Any) -> None:
        """Answers a request."""
        text = "true" if result is True else json.dumps(result, separators=(",", ":"))
        self._settle(reply, f'{{"id":{reply.id_text},"result":{text},"error":null}}\n'.encode())

    def refuse(self, reply: Reply, reason: StratumError | Reject) -> None:
        """Answers a request with one of our own refusals."""
        text = json.dumps([reason.code, reason.message, None], separators=(",", ":"))
        self._settle(reply, f'{{"id":{reply.id_text},"result":null,"error":{text}}}\n'.encode())

    def relay(self, reply: Reply, response: message.Response) -> None:
        """Hands a pool's answer on, unchanged but for the id."""
        if response.result is True and response.error is None and response.reject_reason is None:
            self.answer(reply, True)
        else:
            # The id stands where the relayed line has null: {"id":null,...
            self._settle(
                reply, f'{{"id":{reply.id_text}'.encode() + message.relayed(None, response)[len('{"id":null') :]
            )

    def notify(self, line: bytes) -> None:
        """mining.notify, a whole line."""
        self._out += line

    def set_difficulty(self, difficulty: float) -> None:
        """mining.set_difficulty; whole numbers without a fraction, which some firmware misreads."""
        whole = int(difficulty)
        number = whole if whole == difficulty and whole < 2**53 else difficulty
        self._out += message.notification("mining.set_difficulty", [number])

    def set_extranonce(self, extranonce1: bytes, extranonce2_size: int) -> None:
        """mining.set_extranonce: holds from the next job on."""
        self._out += message.notification("mining.set_extranonce", [extranonce1.hex(), extranonce2_size])

    def set_version_mask(self, mask: int) -> None:
        """mining.set_version_mask."""
        self._out += message.notification("mining.set_version_mask", [f"{mask:08x}"])

    def reconnect(self) -> None:
        """client.reconnect to the same address."""
        self._out += message.notification("client.reconnect", [])

    def show_message(self, text: str) -> None:
        """client.show_message."""
        self._out += message.notification("client.show_message", [text])

    def finish(self) -> None:
        """Takes nothing more: the connection ends."""
        self._finished = True

    def farewell(self, why: str) -> None:
        """An error that answers no request: why the connection ends."""
        self._out += message.refusal(None, MALFORMED.code, why)

    def _settle(self, reply: Reply, line: bytes) -> None:
        self._out += self._order.settle(reply, line)

    def _requested(self, request: message.Request, id_text: str) -> Event:
        method, params = request.method, request.params
        if method == "mining.submit":
            return self._submit(self._order.open("=" + id_text, id_text), params)
        reply = self._order.open(HANDSHAKE, id_text)
        try:
            match method:
                case "mining.subscribe":
                    return SubscribeAsked(reply, parse_subscribe(params))
                case "mining.authorize":
                    return AuthorizeAsked(reply, parse_authorize(params))
                case "mining.configure":
                    return ConfigureAsked(reply, parse_configure(params))
                case "mining.extranonce.subscribe":
                    self.answer(reply, True)
                    return ExtranonceSubscribed()
                case "mining.suggest_target":
                    return self._suggested(reply, parse_target(params))
                case "mining.multi_version":
                    self.answer(reply, True)
                case "mining.ping" | "client.ping":
                    self.answer(reply, "pong")
                case "mining.get_transactions" | "mining.get_txnhashes":
                    self.answer(reply, [])
                case _ if method.startswith(_SUGGEST_DIFFICULTY):
                    return self._suggested(reply, _suggestion(method, params))
                case _:
                    self.refuse(reply, StratumError(UNSUPPORTED, method[:64]))
        except StratumError as error:
            self.refuse(reply, error)
        return Alive()

    def _suggested(self, reply: Reply, difficulty: float) -> Event:
        self.answer(reply, True)
        return DifficultySuggested(difficulty)

    def _submit(self, reply: Reply, params: Any) -> Event:
        try:
            return SubmitAsked(reply, parse_submit(params))
        except StratumError as error:
            named = params if isinstance(params, list) else []
            return MalformedSubmit(reply, error, _worker_or_none(named[:1]), _job_id_or_none(named[1:2]))


def _id_text(value: Any) -> str:
    if type(value) is int:
        if -(2**63) <= value < 2**64:
            return str(value)
        raise ProtocolError("an id of that size is no id")
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise ProtocolError("the id cannot be answered") from None


def _suggestion(method: str, params: Any) -> float:
    # Old firmware writes the number into the method's name: "mining.suggest_difficulty(123" (ckpool reads that too).
    written = method[len(_SUGGEST_DIFFICULTY) :].strip("() ")
    return parse_difficulty([written] if written else params)


def _worker_or_none(value: list[Any]) -> str:
    try:
        return worker_name(value[0]) if value else ""
    except StratumError:
        return ""


def _job_id_or_none(value: list[Any]) -> str:
    return value[0][:128] if value and isinstance(value[0], str) and value[0].isprintable() else ""
