"""The client's side of a Stratum connection to a pool: bytes in, events and bytes out.

The proxy's upstreams and the merge miner both hold one of these per connection; sockets, clocks and retries are theirs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.stratum import message
from services.stratum.framing import LineBuffer
from services.stratum.job import Job
from services.stratum.reject import ProtocolError
from services.stratum.version import parse_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_EXTRANONCE1_BYTES = 32
MAX_EXTRANONCE2_BYTES = 16
DEFAULT_POOL_MASK = 0x1FFFE000
MAX_DIFFICULTY = 2.0**192
MIN_DIFFICULTY = 2.0**-48
_AWAITED = frozenset({"mining.configure", "mining.subscribe", "mining.authorize", "mining.submit"})
_WITH_AGENT = "with user agent"
_SHORTEST_REMEMBERED, _LONGEST_REMEMBERED = 256, 16 * 1024
_JOBS_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Configured:
    """The pool's answer to version rolling: its mask, 0 where it refused."""

    version_mask: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The pool's answer to subscribe. ``session`` is what a later subscribe may resume ('' for none)."""

    extranonce1: bytes
    extranonce2_size: int
    session: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class SubscribeRefused:
    """The pool will not have us, even without a user agent."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Authorized:
    """The pool's answer to authorize: ``error`` is None where it accepted."""

    user: str
    error: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class DifficultySet:
    """mining.set_difficulty: holds from the next job on."""

    difficulty: float


@dataclass(frozen=True, slots=True)
class JobReceived:
    """mining.notify."""

    job: Job


@dataclass(frozen=True, slots=True)
class ExtranonceSet:
    """mining.set_extranonce: holds from the next job on."""

    extranonce1: bytes
    extranonce2_size: int


@dataclass(frozen=True, slots=True)
class VersionMaskSet:
    """mining.set_version_mask: holds at once."""

    version_mask: int


@dataclass(frozen=True, slots=True)
class SubmitAnswered:
    """The verdict on a submit, by the number that :meth:`PoolSession.submit` gave; ``error`` is None if accepted.

    ``answer`` is what the pool sent, for those who hand it on (:func:`services.stratum.message.relayed`).
    """

    submit_id: int
    error: tuple[int, str] | None
    answer: message.Response | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ReconnectAsked:
    """client.reconnect; empty host and port 0 mean the same ones."""

    host: str
    port: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class MessageShown:
    """client.show_message."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that made no sense, and why; the connection goes on."""

    why: str


Event = (
    Configured
    | Subscribed
    | SubscribeRefused
    | Authorized
    | DifficultySet
    | JobReceived
    | ExtranonceSet
    | VersionMaskSet
    | SubmitAnswered
    | ReconnectAsked
    | MessageShown
    | Unreadable
)


class PoolSession:
    """One connection's state. Methods that speak queue bytes, which :meth:`outgoing` hands over.

    Order that pools accept: :meth:`configure` (optional), :meth:`subscribe`, then :meth:`authorize`.
    """

    __slots__ = (
        "_lines",
        "_next_id",
        "_out",
        "_pending",
        "_user_agent",
    )

    def __init__(self, user_agent: str, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._user_agent = user_agent
        self._lines = LineBuffer(max_line_bytes)
        self._out = b""
        self._next_id = 1
        self._pending: dict[int, tuple[str, str]] = {}

    @property
    def has_outgoing(self) -> bool:
        """Whether there are bytes to send."""
        return bool(self._out)

    def outgoing(self) -> bytes:
        """The bytes to send now; empties the queue."""
        data, self._out = self._out, b""
        return data

    @property
    def unanswered(self) -> int:
        """How many of our requests wait for an answer."""
        return len(self._pending)

    def configure(self, version_mask: int) -> None:
        """Asks for version rolling under ``version_mask``."""
        options = {"version-rolling.mask": f"{version_mask:08x}", "version-rolling.min-bit-count": 2}
        self._call("mining.configure", [["version-rolling"], options])

    def subscribe(self, session: str = "") -> None:
        """Subscribes with our user agent, and the session to resume; where that is refused, without parameters."""
        self._call("mining.subscribe", [self._user_agent, session] if session else [self._user_agent], _WITH_AGENT)

    def subscribe_extranonce(self) -> None:
        """Tells the pool that we take mining.set_extranonce; the answer does not matter."""
        self._tell("mining.extranonce.subscribe", [])

    def authorize(self, user: str, password: str) -> None:
        """Authorizes a user; answered by Authorized."""
        self._call("mining.authorize", [user, password], user)

    def suggest_difficulty(self, difficulty: float) -> None:
        """Passes a wish on; set_difficulty decides."""
        self._tell("mining.suggest_difficulty", [difficulty])

    def submit(
        self, user: str, job_id: str, extranonce2: bytes, ntime: int, nonce: int, version_bits: int | None
    ) -> int:
        """Submits a share and gives the number by which SubmitAnswered will name it."""
        params = [user, job_id, extranonce2.hex(), f"{ntime:08x}", f"{nonce:08x}"]
        if version_bits is not None:
            params.append(f"{version_bits:08x}")
        return self._call("mining.submit", params)

    def forget(self, submit_id: int) -> None:
        """Stops waiting for a verdict; a late one is then dropped."""
        self._pending.pop(submit_id, None)

    def receive(self, data: bytes) -> Iterable[Event]:
        """What the pool's bytes mean. Raises LineTooLongError; all else that is senseless becomes Unreadable.

        What is not taken of the events now comes with the next call.
        """
        if (job := _job_heard_before(data)) is not None and self._lines.is_empty:
            return (job,)
        return self._events(data)

    def _events(self, data: bytes) -> Iterator[Event]:
        for line in self._lines.feed(data):
            event: Event | None = None
            try:
                if len(line) < _SHORTEST_REMEMBERED or (event := _job_heard_before(line + b"\n")) is None:
                    parsed = message.decode(line)
                    if isinstance(parsed, message.Request):
                        event = self._requested(parsed)
                    else:
                        event = self._answered(parsed)
            except ProtocolError as error:
                event = Unreadable(str(error))
            if event is not None:
                if isinstance(event, JobReceived):
                    _remember_job(line, event)
                yield event

    def _tell(self, method: str, params: list[Any]) -> None:
        """A call whose answer is not waited for: some pools never give it."""
        self._out += message.request(self._next_id, method, params)
        self._next_id += 1

    def _call(self, method: str, params: list[Any], note: str = "") -> int:
        request_id = self._next_id
        self._next_id += 1
        # Only what is waited for is kept: a pool that never answers the rest costs nothing.
        if method in _AWAITED:
            self._pending[request_id] = (method, note)
        self._out += message.request(request_id, method, params)
        return request_id

    def _requested(self, request: message.Request) -> Event | None:
        params = request.params if isinstance(request.params, list) else []
        match request.method:
            case "mining.notify":
                return JobReceived(Job.from_notify(params))
            case "mining.set_difficulty":
                return DifficultySet(_difficulty(params))
            case "mining.set_extranonce":
                return ExtranonceSet(*_extranonce(params))
            case "mining.set_version_mask":
                return VersionMaskSet(parse_mask(params[0] if params else None, default=0))
            case "client.reconnect":
                return _reconnect(params)
            case "client.show_message":
                return MessageShown(str(params[0])[:500] if params else "")
            case "client.get_version":
                self._out += message.answer(request.id, self._user_agent)
            case "mining.ping" | "client.ping":
                self._out += message.answer(request.id, "pong")
            case _ if request.id is not None:
                self._out += message.refusal(request.id, -3, "Method not found")
        return None

    def _answered(self, response: message.Response) -> Event | None:
        request_id = _own_id(response.id)
        method, note = self._pending.pop(request_id, ("", "")) if request_id is not None else ("", "")
        if not self._pending:
            self._pending.clear()  # an emptied dict keeps the room that it once needed
        error = message.error_of(response)
        match method:
            case "mining.submit":
                if error is None and response.result is not True:
                    error = (20, "Rejected")
                return SubmitAnswered(request_id or 0, error, response)
            case "mining.authorize":
                if error is None and not response.result:
                    error = (24, "Unauthorized worker")
                return Authorized(note, error)
            case "mining.configure":
                return Configured(_mask_answer(response.result) if error is None else 0)
            case "mining.subscribe":
                return self._subscribed(response, error, with_agent=note == _WITH_AGENT)
        return None

    def _subscribed(
        self, response: message.Response, error: tuple[int, str] | None, *, with_agent: bool
    ) -> Event | None:
        if error is None:
            result = response.result
            if not isinstance(result, list) or len(result) < 3:
                return SubscribeRefused(20, "the answer to subscribe has not three parts")
            try:
                return Subscribed(*_extranonce(result[-2:]), _session_of(result[0]))
            except ProtocolError as unreadable:
                return SubscribeRefused(20, str(unreadable))
        if with_agent:
            self._call("mining.subscribe", [])
            return None
        return SubscribeRefused(*error)


# A pool sends the same line to each of its connections: read once, it is one object for all of them.
_jobs_heard: deque[tuple[bytes, JobReceived]] = deque(maxlen=_JOBS_REMEMBERED)


def _job_heard_before(line: bytes) -> JobReceived | None:
    """For a whole line with its end. Compared rather than looked up: a hash of 2 KB takes as long as all of this."""
    if len(line) > _SHORTEST_REMEMBERED:
        for heard, job in _jobs_heard:
            if heard == line:
                return job
    return None


def _remember_job(line: bytes, job: JobReceived) -> None:
    if _SHORTEST_REMEMBERED <= len(line) <= _LONGEST_REMEMBERED and _job_heard_before(line + b"\n") is None:
        _jobs_heard.appendleft((line + b"\n", job))


def _own_id(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float):  # where a pool's language knows no other numbers
        return int(value) if value.is_integer() else None
    return int(value) if isinstance(value, str) and len(value) < 19 and value.isascii() and value.isdigit() else None


def _difficulty(params: list[Any]) -> float:
    value = params[0] if params else None
    if isinstance(value, str) and len(value) < 50:
        try:
            value = float(value)
        except ValueError:
            value = None
    if not isinstance(value, int | float) or isinstance(value, bool) or not MIN_DIFFICULTY <= value <= MAX_DIFFICULTY:
        raise ProtocolError("set_difficulty with an impossible difficulty")
    return float(value)


def _extranonce(params: list[Any]) -> tuple[bytes, int]:
    if len(params) < 2 or not isinstance(params[0], str) or len(params[0]) > 2 * MAX_EXTRANONCE1_BYTES:
        raise ProtocolError("extranonce1 is missing or too long")
    size = params[1]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_EXTRANONCE2_BYTES:
        raise ProtocolError(f"extranonce2_size is not between 1 and {MAX_EXTRANONCE2_BYTES}")
    try:
        extranonce1 = bytes.fromhex(params[0])
    except ValueError:
        raise ProtocolError("extranonce1 is not hex") from None
    return extranonce1, size


def _session_of(subscriptions: Any) -> str:
    """The id beside "mining.notify" in ``[[method, id], ...]`` or ``[method, id]``."""
    if not isinstance(subscriptions, list):
        return ""
    for pair in (subscriptions, *subscriptions[:8]):
        if isinstance(pair, list) and len(pair) == 2 and pair[0] == "mining.notify" and isinstance(pair[1], str):
            return pair[1][:128]
    return ""


def _reconnect(params: list[Any]) -> ReconnectAsked:
    host = params[0] if params and isinstance(params[0], str) else ""
    port, wait = (_whole_number(value) for value in (*params[1:3], 0, 0)[:2])
    return ReconnectAsked(host[:255], port if 0 <= port < 65536 else 0, float(min(max(wait, 0), 3600)))


def _whole_number(value: Any) -> int:
    try:
        return int(value) if isinstance(value, int | float | str) and len(str(value)) < 12 else 0
    except (ValueError, OverflowError):
        return 0


def _mask_answer(result: Any) -> int:
    if not isinstance(result, dict) or result.get("version-rolling") is not True:
        return 0
    return parse_mask(result.get("version-rolling.mask"), default=DEFAULT_POOL_MASK)
