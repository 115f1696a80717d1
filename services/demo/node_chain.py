"""A real chain: templates from a full node, solved blocks into it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from services.demo.chain import ChainState, SolvedBlock
from services.demo.coinbase import build_coinbase
from services.demo.full_node import NodeError
from services.stratum.header import display, sha256d
from services.stratum.job import MAX_MERKLE_BRANCH, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.demo.full_node import FullNode

log = structlog.get_logger()

_POLL_SECONDS = 0.5
_REMEMBERED_TEMPLATES = 64
_MOST_SOLVED = 1000
_COMMITMENT_BYTES = 6  # OP_RETURN, a push of 36 bytes, and four that say what it is, before the 32 themselves
_WITNESS_RESERVED = b"\x01\x20" + bytes(32)


@dataclass(frozen=True, slots=True)
class BlockTemplate:
    """What is needed of a node's answer to getblocktemplate; hashes in internal order, transactions serialized."""

    height: int
    version: int
    prevhash: bytes
    nbits: int
    min_time: int
    reward_satoshi: int
    witness_commitment: bytes | None
    has_segwit: bool
    txids: tuple[bytes, ...]
    transactions: tuple[bytes, ...]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> BlockTemplate:
        """Raises NodeError for what is no template."""
        try:
            commitment = answer.get("default_witness_commitment")
            return cls(
                height=int(answer["height"]),
                version=int(answer["version"]),
                prevhash=bytes.fromhex(answer["previousblockhash"])[::-1],
                nbits=int(answer["bits"], 16),
                min_time=int(answer["mintime"]),
                reward_satoshi=int(answer["coinbasevalue"]),
                witness_commitment=bytes.fromhex(commitment)[_COMMITMENT_BYTES:] if commitment else None,
                has_segwit=any(str(rule).lstrip("!") == "segwit" for rule in answer.get("rules", [])),
                txids=tuple(bytes.fromhex(one["txid"])[::-1] for one in answer["transactions"]),
                transactions=tuple(bytes.fromhex(one["data"]) for one in answer["transactions"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NodeError(f"the node's block template cannot be read: {error!r}") from None


class NodeChain:
    """The tip as the node has it. :meth:`follow` is to run as long as the chain is used."""

    sets_difficulty = False

    def __init__(self, node: FullNode, template: BlockTemplate) -> None:
        self._node = node
        self._template = template
        self._sent: deque[tuple[bytes, BlockTemplate]] = deque(maxlen=_REMEMBERED_TEMPLATES)
        self._solved: deque[SolvedBlock] = deque(maxlen=_MOST_SOLVED)
        self._has_solved = asyncio.Event()
        self._run = secrets.token_hex(3)
        self._templates = 0

    @classmethod
    async def opened(cls, node: FullNode) -> NodeChain:
        """Raises NodeError where the node cannot be asked."""
        return cls(node, BlockTemplate.of(await node.block_template()))

    @property
    def state(self) -> ChainState:
        """The tip; the share rate of an earlier run is not known."""
        return ChainState(self._template.height - 1, self._template.prevhash, 0.0)

    def template(
        self, *, network_difficulty: float, merkle_branches: int, extranonce_bytes: int, clean_jobs: bool
    ) -> Job:
        """A job for the node's next block. Difficulty and transactions are the node's."""
        template = self._template
        self._templates += 1
        coinbase = build_coinbase(
            template.height,
            secrets.token_bytes(8),
            extranonce_bytes,
            template.witness_commitment,
            reward_satoshi=template.reward_satoshi,
        )
        self._sent.append((coinbase.coinbase1, template))
        return Job(
            job_id=f"{self._run}{self._templates:04x}",
            prevhash=template.prevhash,
            coinbase1=coinbase.coinbase1,
            coinbase2=coinbase.coinbase2,
            merkle_branch=merkle_branch(template.txids),
            version=template.version,
            nbits=template.nbits,
            ntime=max(int(time.time()), template.min_time),
            clean_jobs=clean_jobs,
        )

    def append(self, block: SolvedBlock, work_per_second: float) -> bool:
        """Hands the block to the node, soon: its tip tells what came of it."""
        self._solved.append(block)
        self._has_solved.set()
        return False

    def remember_rate(self, work_per_second: float) -> None:
        """There is no file to keep it in."""

    async def follow(self, on_change: Callable[[bool], None]) -> None:
        """Hands in solved blocks and asks for templates, until cancelled.

        ``on_change`` is called where there is another, with whether the tip has changed.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._has_solved.wait()
            try:
                while self._solved:
                    # One that the node could not be told of stays, and is told again.
                    if self._solved[0].job.prevhash == self._template.prevhash:
                        await self._hand_in(self._solved[0])
                        await self._look(on_change)
                    self._solved.popleft()
                self._has_solved.clear()
                await self._look(on_change)
            except NodeError as error:
                log.warning("node_away", error=str(error))
                await asyncio.sleep(_POLL_SECONDS)

    async def _look(self, on_change: Callable[[bool], None]) -> None:
        template = BlockTemplate.of(await self._node.block_template())
        before, self._template = self._template, template
        if template.prevhash != before.prevhash:
            log.info("tip", height=template.height - 1, hash=display(template.prevhash))
            on_change(True)
        elif template.txids != before.txids:
            on_change(False)

    async def _hand_in(self, block: SolvedBlock) -> None:
        template = next((one for coinbase1, one in self._sent if coinbase1 == block.job.coinbase1), None)
        if template is None:
            log.warning("block_too_old", hash=display(block.hash))
            return
        refusal = await self._node.submit_block(serialized(block, template))
        if refusal is None:
            log.info("block_accepted", height=template.height, hash=display(block.hash))
        else:
            log.warning("block_refused", height=template.height, hash=display(block.hash), reason=refusal)


def merkle_branch(txids: Sequence[bytes]) -> tuple[bytes, ...]:
    """What the coinbase's hash is joined with, level by level, in a block of these other transactions."""
    branch: list[bytes] = []
    level = list(txids)  # of the level's hashes, all but the first, which is the coinbase's or follows from it
    while level:
        branch.append(level.pop(0))
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    assert len(branch) <= MAX_MERKLE_BRANCH
    return tuple(branch)


def serialized(block: SolvedBlock, template: BlockTemplate) -> bytes:
    """The whole block, as submitblock takes it; the coinbase with a witness where the chain has segwit (BIP 141)."""
    coinbase = block.coinbase
    if template.has_segwit and template.witness_commitment is not None:
        coinbase = coinbase[:4] + b"\x00\x01" + coinbase[4:-4] + _WITNESS_RESERVED + coinbase[-4:]
    count = 1 + len(template.transactions)
    return block.header + _compact_size(count) + coinbase + b"".join(template.transactions)


def _compact_size(number: int) -> bytes:
    if number < 0xFD:
        return bytes([number])
    return b"\xfd" + number.to_bytes(2, "little") if number < 0x10000 else b"\xfe" + number.to_bytes(4, "little")
