"""Why a share or a request is refused: one table for the wire, the share store and the dashboards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reject:
    """A refusal: Stratum's numeric ``code``, our stable ``reason`` word (stored, counted), a ``message`` for people."""

    code: int
    reason: str
    message: str


MALFORMED = Reject(20, "malformed", "Malformed request")
UNSUPPORTED = Reject(20, "unsupported", "Method not supported")
NTIME_OUT_OF_RANGE = Reject(20, "ntime_out_of_range", "ntime out of range")
VERSION_BITS = Reject(20, "version_bits", "Version bits outside the negotiated mask")
NO_VERDICT = Reject(20, "no_verdict", "No verdict from the pool")
UNKNOWN_JOB = Reject(21, "unknown_job", "Unknown job")
STALE = Reject(21, "stale", "Stale job")
UPSTREAM_GONE = Reject(21, "upstream_gone", "The pool connection of this job is gone")
DUPLICATE = Reject(22, "duplicate", "Duplicate share")
LOW_DIFFICULTY = Reject(23, "low_difficulty", "Low difficulty share")
UNAUTHORIZED = Reject(24, "unauthorized", "Unauthorized worker")
NOT_SUBSCRIBED = Reject(25, "not_subscribed", "Not subscribed")

REJECTS = (
    MALFORMED,
    UNSUPPORTED,
    NTIME_OUT_OF_RANGE,
    VERSION_BITS,
    NO_VERDICT,
    UNKNOWN_JOB,
    STALE,
    UPSTREAM_GONE,
    DUPLICATE,
    LOW_DIFFICULTY,
    UNAUTHORIZED,
    NOT_SUBSCRIBED,
)

_POOL_REASONS = {
    21: "pool_stale",
    22: "pool_duplicate",
    23: "pool_low_difficulty",
    24: "pool_unauthorized",
    25: "pool_not_subscribed",
}
POOL_REASONS = (*_POOL_REASONS.values(), "pool_other")


def pool_reason(code: int) -> str:
    """The reason word stored for a refusal by the pool: ours with the prefix ``pool_``."""
    return _POOL_REASONS.get(code, "pool_other")


class StratumError(Exception):
    """A request that gets an error answer; the connection goes on."""

    def __init__(self, reject: Reject, detail: str = "") -> None:
        self.reject = reject
        self.message = f"{reject.message}: {detail}" if detail else reject.message
        super().__init__(self.message)

    @property
    def code(self) -> int:
        return self.reject.code

    @property
    def reason(self) -> str:
        return self.reject.reason


class ProtocolError(Exception):
    """The peer does not speak Stratum (not a JSON object, a line too long, a notify that cannot be read)."""
