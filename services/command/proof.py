"""`sharehouse shares proof`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.command import options
from services.command.mistake import Mistake
from services.stratum.header import display
from services.warehouse.mismatch import MEANINGS
from services.warehouse.queries import Queries, StoreUnavailable
from services.warehouse.share_id import ShareId, ShareIdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.command.configuration import Configuration
    from services.warehouse.proof import ShareProof


def proof(configuration: Configuration, text: str, say: Callable[[str], None], *, as_json: bool) -> bool:
    """Whether the share is as it says. Raises Mistake where there is none of this id."""
    address = options.address(configuration).everywhere

    async def asked(share_id: ShareId) -> ShareProof | None:
        queries = Queries(address)
        try:
            return await queries.share_proof(share_id)
        finally:
            await queries.close()

    try:
        found = asyncio.run(asked(ShareId.parse(text)))
    except ShareIdError as error:
        raise Mistake(f"{text!r}: {error}") from None
    except StoreUnavailable as error:
        raise Mistake(
            f"ClickHouse at {address.host}:{address.port} gave no answer ({error.trouble}); see that it runs, and"
            " correct CLICKHOUSE_HOST and CLICKHOUSE_PORT"
        ) from None
    if found is None:
        raise Mistake(f"no share {text} is stored here; see that the id is whole, and that this is its store")
    if as_json:
        say(json.dumps(document(found), indent=2))
    else:
        for one in lines(found):
            say(one)
    return not found.mismatches()


def document(found: ShareProof) -> dict[str, Any]:
    """The proof as JSON has it: bytes as hex in the order in which they are hashed, `block_hash` as people write it."""
    share, job, transaction = found.share, found.job, found.transaction
    return {
        "id": str(found.id),
        "timestamp_ms": share.ts_ms,
        "worker": share.worker,
        "miner": share.miner,
        "pool": share.pool,
        "pool_label": share.pool_label,
        "proxy": share.proxy,
        "accepted": share.accepted,
        "reason": share.reason,
        "pool_difficulty": share.pool_difficulty,
        "pool_requested_difficulty": share.pool_requested_difficulty,
        "actual_difficulty": share.actual_difficulty,
        "job": share.job.hex(),
        "job_id": share.job_id,
        "coinbase1": job.coinbase1.hex() if job else None,
        "extranonce1": share.extranonce1.hex(),
        "extranonce2": share.extranonce2.hex(),
        "coinbase2": job.coinbase2.hex() if job else None,
        "coinbase_outputs": [
            {"satoshi": output.satoshi, "script": output.script.hex(), "payee": output.payee}
            for output in (transaction.outputs if transaction else ())
        ],
        "merkle_branch": [sibling.hex() for sibling in job.merkle_branch] if job else None,
        "merkle_root": found.merkle_root.hex(),
        "header": share.header.hex(),
        "block_hash": found.block_hash,
        "mismatches": list(found.mismatches()),
    }


def lines(found: ShareProof) -> Iterator[str]:
    """The proof for a person, step by step."""
    share, job = found.share, found.job
    verdict = "accepted" if share.accepted else f"rejected: {share.reason}"
    moment = datetime.fromtimestamp(share.ts_ms / 1000, UTC).isoformat(" ", "milliseconds")[:23]
    yield f"share {found.id}, {verdict}, of {share.worker}, {moment} UTC"
    yield f"  credited difficulty {share.pool_difficulty!r}, actual {share.actual_difficulty!r}"
    if job is not None:
        yield f"\n1. coinbase transaction, without witness, of job {share.job.hex()} from {job.pool}"
        yield f"  coinbase1   {job.coinbase1.hex()}"
        yield f"  extranonce1 {share.extranonce1.hex()}"
        yield f"  extranonce2 {share.extranonce2.hex()}"
        yield f"  coinbase2   {job.coinbase2.hex()}"
        yield from _outputs(found)
        yield "\n2. merkle root: SHA-256 twice of the coinbase, then twice of that followed by each of"
        yield from (f"  {sibling.hex()}" for sibling in job.merkle_branch)
        yield f"  gives {found.merkle_root.hex()}"
    yield "\n3. header, 80 bytes"
    yield f"  {share.header.hex()}"
    yield f"  version {found.header_version:08x}, ntime {found.header_ntime}, nbits {found.header_nbits:08x},"
    yield f"  nonce {found.header_nonce:08x}"
    yield f"  prevhash    {found.header_prevhash.hex()} (a block explorer writes {display(found.header_prevhash)})"
    yield f"  merkle root {found.header_merkle_root.hex()}"
    yield "\n4. SHA-256 twice of the header, bytes reversed: the block hash"
    yield f"  {found.block_hash or 'none: no header was stored'}"
    yield f"  difficulty 0xFFFF * 2^208 / hash = {found.actual_difficulty!r}"
    yield ""
    for mismatch in found.mismatches():
        yield f"MISMATCH {mismatch}: {MEANINGS[mismatch]}"
    if not found.mismatches():
        yield "everything fits"


def _outputs(found: ShareProof) -> Iterator[str]:
    transaction = found.transaction
    if transaction is None:
        yield "  is no transaction that can be read"
        return
    for output in transaction.outputs:
        told = output.payee or "a script without an address"
        yield f"  pays {output.satoshi / 1e8:.8f} to {told} ({output.script.hex()})"
