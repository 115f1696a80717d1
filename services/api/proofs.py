"""Shares with all that proves them: one by its id, or a sample of a period, to be hashed again by whoever doubts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from services.api.authorization import require_scope
from services.api.errors import ApiError, ErrorBody
from services.api.models import Body
from services.api.periods import LONGEST_SECONDS
from services.api.plain_integer import PLAIN_INTEGER
from services.api.raw_shares import End, RawShare, Start
from services.api.refusals import (
    ANSWERED,
    PARAMETER_REFUSED,
    PERIOD_REFUSED,
    STORE_FAILED,
    TOKEN_REFUSED,
    TOLD,
)
from services.warehouse.share_id import ShareId, ShareIdError

if TYPE_CHECKING:
    from services.stratum.coinbase import Output
    from services.warehouse.proof import ShareProof
    from services.warehouse.queries import Queries
    from services.warehouse.records import JobRecord

MOST_SAMPLED: Final = 100

Hex = Annotated[str, Field(pattern="^([0-9a-f]{2})*$", description="Bytes in hex, in the order that is hashed")]
ShareName = Annotated[
    str,
    Path(
        max_length=64,
        description="The id of a share, SEGMENT-SEQ, as /api/shares/raw tells it",
        examples=["5f3a1c62-6d1b-4b0e-9a51-6a0f4c8d1e22-17"],
    ),
]
Sample = Annotated[int, Query(ge=1, le=MOST_SAMPLED, description="How many shares"), PLAIN_INTEGER]
Seed = Annotated[
    int,
    Query(ge=0, lt=1 << 63, description="Determines which; choose it at random, so that nobody can foresee it"),
    PLAIN_INTEGER,
]


class ProofJob(Body):
    """What the pool sent, as mining.notify has it; `prevhash` in the order of the header."""

    key: Hex
    prevhash: Hex
    coinbase1: Hex
    coinbase2: Hex
    merkle_branch: list[Hex]
    version: Annotated[int, Field(description="Before the miner rolled any of its bits", examples=[536870912])]
    nbits: Annotated[int, Field(examples=[386089497])]
    ntime: Annotated[int, Field(examples=[1749000500])]


class PaidOutput(Body):
    """One output of the coinbase."""

    satoshi: Annotated[int, Field(ge=0, examples=[312500000])]
    script: Hex
    payee: Annotated[str, Field(description="Its address on Bitcoin's main network, OP_RETURN, or empty")]


class Proof(RawShare):
    """A share, the job that it was made for, and what follows from the two.

    coinbase = job.coinbase1 + extranonce1 + extranonce2 + job.coinbase2; its double SHA-256, hashed along
    job.merkle_branch, is the merkle root in bytes 36 to 68 of the header; the header's double SHA-256 is block_hash,
    written backwards.
    """

    verdict: Literal["accepted", "rejected"]
    reason: Annotated[str, Field(description="Why it was rejected", examples=[""])]
    header: Annotated[Hex, Field(description="80 bytes; empty where none is known")]
    extranonce1: Hex
    extranonce2: Hex
    job: Annotated[ProofJob | None, Field(description="null where it is not stored")]
    coinbase: Annotated[Hex, Field(description="The transaction without witness; empty without a job")]
    outputs: Annotated[list[PaidOutput], Field(description="Whom the coinbase would pay")]
    mismatches: Annotated[
        list[str], Field(description="What does not fit, by our own check; empty if all does", examples=[[]])
    ]


class AuditAnswer(Body):
    """A sample of the accepted shares of a period, the oldest first."""

    start_time: int
    end_time: int
    seed: int
    shares: list[Proof]


_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorBody, "description": "That is no share's id", "headers": TOLD},
    404: {"model": ErrorBody, "description": "No share has this id", "headers": TOLD},
}


def proof_routes(queries: Queries) -> APIRouter:
    """For holders of the scope `read`."""
    router = APIRouter(
        prefix="/api/shares",
        tags=["shares"],
        dependencies=[Depends(require_scope("read"))],
        responses={**ANSWERED, **TOKEN_REFUSED, **PARAMETER_REFUSED, **STORE_FAILED},
    )

    @router.get("/audit", summary="A sample of a period's shares, each with its proof", responses=PERIOD_REFUSED)
    async def audit(start_time: Start, end_time: End, sample: Sample = 10, seed: Seed = 0) -> AuditAnswer:
        if start_time >= end_time:
            raise ApiError(400, "INVALID_PERIOD", "start_time must be before end_time")
        if end_time - start_time > LONGEST_SECONDS:
            raise ApiError(400, "INVALID_PERIOD", "The period must not be longer than 30 days")
        found = await queries.share_sample(start_time, end_time, sample, seed)
        return AuditAnswer(start_time=start_time, end_time=end_time, seed=seed, shares=[_proof(one) for one in found])

    @router.get("/{id}/proof", summary="One share with all that proves it", responses=_NOT_FOUND)
    async def proof(id: ShareName) -> Proof:
        try:
            share_id = ShareId.parse(id)
        except ShareIdError:
            raise ApiError(400, "INVALID_SHARE_ID", "A share's id is SEGMENT-SEQ: a UUID, a hyphen, a number") from None
        found = await queries.share_proof(share_id)
        if found is None:
            raise ApiError(404, "UNKNOWN_SHARE", "No share has this id")
        return _proof(found)

    return router


def _proof(proof: ShareProof) -> Proof:
    share = proof.share
    transaction = proof.transaction
    return Proof(
        id=str(proof.id),
        timestamp=share.ts_ms // 1000,
        timestamp_ms=share.ts_ms,
        miner=share.miner,
        worker=share.worker,
        pool=share.pool,
        pool_label=share.pool_label,
        pool_difficulty=share.pool_difficulty,
        pool_requested_difficulty=share.pool_requested_difficulty,
        actual_difficulty=share.actual_difficulty,
        block_hash=proof.block_hash,
        verdict="accepted" if share.accepted else "rejected",
        reason=share.reason,
        header=share.header.hex() if proof.block_hash else "",
        extranonce1=share.extranonce1.hex(),
        extranonce2=share.extranonce2.hex(),
        job=None if proof.job is None else _job(proof.job),
        coinbase=proof.coinbase.hex(),
        outputs=[] if transaction is None else [_output(one) for one in transaction.outputs],
        mismatches=list(proof.mismatches()),
    )


def _job(job: JobRecord) -> ProofJob:
    return ProofJob(
        key=job.job.hex(),
        prevhash=job.prevhash.hex(),
        coinbase1=job.coinbase1.hex(),
        coinbase2=job.coinbase2.hex(),
        merkle_branch=[sibling.hex() for sibling in job.merkle_branch],
        version=job.version,
        nbits=job.nbits,
        ntime=job.ntime,
    )


def _output(output: Output) -> PaidOutput:
    return PaidOutput(satoshi=output.satoshi, script=output.script.hex(), payee=output.payee)
