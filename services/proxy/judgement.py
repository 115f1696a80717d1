"""What the proxy itself thinks of a submitted share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from services.stratum.reject import (
    DUPLICATE,
    LOW_DIFFICULTY,
    STALE,
    UNAUTHORIZED,
    UPSTREAM_GONE,
    StratumError,
)
from services.stratum.share import RebuiltShare, check_ranges, rebuild

if TYPE_CHECKING:
    from services.proxy.work import SentJob
    from services.stratum.miner_request import Submit
    from services.stratum.seen import SeenHeaders


class Judgement(NamedTuple):
    """A well-formed share for a known job. ``error`` is None where it counts.

    ``credited`` is the difficulty that the share was checked against, ``requested`` the pool's own for it: what counts
    and falls short of that is not the pool's affair (``forward`` is false).
    ``block_candidate``: it meets its job's network target, so the pool gets it whatever else is wrong.
    """

    rebuilt: RebuiltShare
    credited: float
    requested: float
    error: StratumError | None
    block_candidate: bool
    forward: bool


def shows_work(judgement: Judgement) -> bool:
    """Whether the miner did what was wanted of it; that nobody has a use for it any more is not its doing."""
    error = judgement.error
    is_in_vain = error is not None and error.reject in (STALE, UPSTREAM_GONE)
    return (error is None or is_in_vain) and judgement.rebuilt.actual_difficulty >= judgement.credited


def judge(
    submit: Submit,
    sent: SentJob,
    *,
    authorized: bool,
    difficulty: float,
    pool_difficulty: float,
    version_mask: int,
    seen: SeenHeaders,
    now_seconds: float,
) -> Judgement:
    """Rebuilds a share and checks it; the first thing wrong is told.

    The difficulties and the mask are the current ones; those of the share's own job count too, whichever is kinder.
    ``now_seconds`` is unix time. Raises StratumError(MALFORMED) where no header follows from the share.
    """
    work = sent.work
    credited = min(sent.difficulty, difficulty)
    requested = min(sent.pool_difficulty, pool_difficulty)
    rebuilt, mask = _rebuilt(submit, sent, version_mask, credited)
    block_candidate = rebuilt.meets(work.network_target)

    error = _refusal(submit, sent, rebuilt, credited, authorized=authorized, mask=mask, now_seconds=now_seconds)
    upstream_lives = work.upstream.is_alive
    if (error is None or block_candidate) and not seen.add(work.job.prevhash, rebuilt.hash):
        error = error or StratumError(DUPLICATE)
    if error is None and not upstream_lives:
        error = StratumError(UPSTREAM_GONE)
    if block_candidate and error is not None and error.reject is LOW_DIFFICULTY:
        # The pool decides after all; credit never passes what the share is worth.
        credited = min(credited, requested, rebuilt.actual_difficulty)
    is_the_pools = error is None and rebuilt.actual_difficulty >= requested
    forward = upstream_lives and (is_the_pools or block_candidate)
    return Judgement(rebuilt, credited, requested, error, block_candidate, forward)


def _rebuilt(submit: Submit, sent: SentJob, version_mask: int, credited: float) -> tuple[RebuiltShare, int]:
    """The share under the mask that it was rolled under: its job's own, or the one of now.

    Bits that fit both do not tell which. Then its job's is taken, unless only the other one makes it good enough.
    """
    job, own, bits = sent.work.job, sent.version_mask, submit.version_bits
    fits_own, fits_now = not (bits or 0) & ~own, not (bits or 0) & ~version_mask
    mask = version_mask if fits_now and not fits_own else own
    rebuilt = rebuild(job, sent.layout, submit, mask)
    is_unclear = bits is not None and own != version_mask and fits_own and fits_now
    if is_unclear and rebuilt.actual_difficulty < credited:
        other = rebuild(job, sent.layout, submit, version_mask)
        if other.actual_difficulty > rebuilt.actual_difficulty:
            return other, version_mask
    return rebuilt, mask


def _refusal(
    submit: Submit,
    sent: SentJob,
    rebuilt: RebuiltShare,
    credited: float,
    *,
    authorized: bool,
    mask: int,
    now_seconds: float,
) -> StratumError | None:
    work = sent.work
    if not authorized:
        return StratumError(UNAUTHORIZED)
    if work.job.prevhash != work.upstream.current_prevhash:
        return StratumError(STALE)
    try:
        check_ranges(work.job, submit, mask, now_seconds)
    except StratumError as error:
        return error
    if rebuilt.actual_difficulty < credited:
        return StratumError(LOW_DIFFICULTY)
    return None
