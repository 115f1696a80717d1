"""The parameters of what miners send: read leniently where firmware is sloppy, strictly where money depends on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.stratum.difficulty import DIFFICULTY_1_TARGET, GREATEST_ASKED, LEAST_ASKED
from services.stratum.job import MAX_JOB_ID_CHARS
from services.stratum.reject import MALFORMED, StratumError

MAX_WORKER_BYTES = 128
MAX_AGENT_CHARS = 200
MAX_EXTENSIONS = 32


@dataclass(frozen=True, slots=True)
class Subscribe:
    """mining.subscribe: what the firmware calls itself, and a session that it would like to resume ('' for none)."""

    user_agent: str
    session: str


def parse_subscribe(params: Any) -> Subscribe:
    """Takes [], [agent], [agent, session, host, port] and what else comes: nothing in it is worth a refusal."""
    texts = [value if isinstance(value, str) else "" for value in params[:2]] if isinstance(params, list) else []
    agent, session = (*texts, "", "")[:2]
    return Subscribe(_printable(agent)[:MAX_AGENT_CHARS], session[:128])


@dataclass(frozen=True, slots=True)
class Authorize:
    """mining.authorize; the password is missing as often as not."""

    worker: str
    password: str

    def __repr__(self) -> str:
        return f"Authorize(worker={self.worker!r})"


def parse_authorize(params: Any) -> Authorize:
    """Raises StratumError(MALFORMED) for a name that is empty, too long or not printable."""
    if not isinstance(params, list) or not params:
        raise StratumError(MALFORMED, "authorize wants a worker name")
    password = params[1] if len(params) > 1 and isinstance(params[1], str) else ""
    return Authorize(worker_name(params[0]), password)


def worker_name(value: Any) -> str:
    """A worker's name: 1 to 128 bytes of printable UTF-8."""
    if not isinstance(value, str) or not value:
        raise StratumError(MALFORMED, "the worker name is missing")
    # Lone surrogates, which cannot be encoded, are not printable either.
    if len(value) > MAX_WORKER_BYTES or not value.isprintable() or len(value.encode()) > MAX_WORKER_BYTES:
        raise StratumError(MALFORMED, f"a worker name is at most {MAX_WORKER_BYTES} bytes of printable UTF-8")
    return value


class Submit(NamedTuple):
    """mining.submit. ``version_bits`` is None where the sixth parameter is absent."""

    worker: str
    job_id: str
    extranonce2: bytes
    ntime: int
    nonce: int
    version_bits: int | None


def parse_submit(params: Any) -> Submit:
    """Raises StratumError(MALFORMED) unless every field is there, is hex and has its length."""
    if not isinstance(params, list) or not 5 <= len(params) <= 6:
        raise StratumError(MALFORMED, "submit wants 5 or 6 parameters")
    worker, job_id, extranonce2, ntime, nonce = params[:5]
    bits = params[5] if len(params) == 6 else None
    if not isinstance(job_id, str) or len(job_id) > MAX_JOB_ID_CHARS:
        raise StratumError(MALFORMED, "the job id is not a text")
    return Submit(
        worker_name(worker),
        job_id,
        _hex(extranonce2, "extranonce2"),
        _word(ntime, "ntime"),
        _word(nonce, "nonce"),
        None if bits is None else _word(bits.zfill(8) if isinstance(bits, str) else bits, "version bits"),
    )


@dataclass(frozen=True, slots=True)
class Configure:
    """mining.configure (BIP 310): the extensions asked for, and their parameters by ``extension.parameter``."""

    extensions: tuple[str, ...]
    parameters: dict[str, Any]


def parse_configure(params: Any) -> Configure:
    """Raises StratumError(MALFORMED) where there is no list of extensions; missing parameters are none."""
    if not isinstance(params, list) or not params or not isinstance(params[0], list):
        raise StratumError(MALFORMED, "configure wants a list of extensions")
    extensions = tuple(name for name in params[0][:MAX_EXTENSIONS] if isinstance(name, str))
    parameters = params[1] if len(params) > 1 and isinstance(params[1], dict) else {}
    return Configure(extensions, parameters)


def parse_difficulty(params: Any) -> float:
    """The difficulty of suggest_difficulty: in a list, bare, or as text. Raises StratumError(MALFORMED)."""
    value = params[0] if isinstance(params, list) and params else params
    try:
        difficulty = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        difficulty = math.nan
    if not (0 < difficulty < math.inf):
        raise StratumError(MALFORMED, "a difficulty is a finite number above 0")
    return difficulty


def parse_minimum(value: Any) -> float:
    """The value of BIP 310's minimum-difficulty, 0 for none. Raises StratumError(MALFORMED) for nonsense."""
    if value in (0, "0"):
        return 0.0
    minimum = parse_difficulty(value)
    if not LEAST_ASKED <= minimum <= GREATEST_ASKED:
        raise StratumError(MALFORMED, "a minimum difficulty is 0, or a number from 2^-32 to 2^64")
    return minimum


def parse_target(params: Any) -> float:
    """The difficulty that suggest_target's 64 hex digits (big-endian) stand for. Raises StratumError(MALFORMED)."""
    value = params[0] if isinstance(params, list) and params else params
    target = int.from_bytes(_hex(value, "target"), "big") if isinstance(value, str) and len(value) == 64 else 0
    if target == 0:
        raise StratumError(MALFORMED, "a target is 64 hex digits, not all zero")
    return DIFFICULTY_1_TARGET / target


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char for char in text if char.isprintable())


def _hex(value: Any, name: str) -> bytes:
    if isinstance(value, str) and len(value) <= 128:
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = b""
        if 2 * len(data) == len(value):  # fromhex skips blanks
            return data
    raise StratumError(MALFORMED, f"{name} is not hex")


def _word(value: Any, name: str) -> int:
    data = _hex(value, name)
    if len(data) != 4:
        raise StratumError(MALFORMED, f"{name} is not 8 hex digits")
    return int.from_bytes(data, "big")
