"""A mining.notify job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from services.stratum.header import merkle_root, pack_header
from services.stratum.reject import ProtocolError

MAX_JOB_ID_CHARS = 128
MAX_MERKLE_BRANCH = 32
MAX_COINBASE_BYTES = 128 * 1024
"""Some 3,800 outputs. More would fill what may be queued for a miner with a single job."""
_SHARED_JOBS = 64
_SHARED_CHARS = 16 * 1024
"""A pool sends a job to each of its connections: read once, it is one object for all of them."""
_TEXTS_KEPT = 16
_NOTIFY = b'{"id":null,"method":"mining.notify","params":["'
_CLEAN = (b'",false]}\n', b'",true]}\n')
_WORD = re.compile(rb"(.)(.)(.)(.)", re.DOTALL)


def swap_words(data: bytes) -> bytes:
    """Each 4-byte word reversed: between notify's prevhash and the header's. It is its own inverse."""
    return _WORD.sub(rb"\4\3\2\1", data)


@dataclass(frozen=True, slots=True)
class Job:
    """What a pool sends with mining.notify. ``prevhash`` in the header's (internal) order; numbers as integers."""

    job_id: str
    prevhash: bytes
    coinbase1: bytes
    coinbase2: bytes
    merkle_branch: tuple[bytes, ...]
    version: int
    nbits: int
    ntime: int
    clean_jobs: bool

    @staticmethod
    def from_notify(params: Any) -> Job:
        """Reads notify's parameters; raises ProtocolError for what cannot be mined."""
        if not isinstance(params, list) or len(params) < 9:
            raise ProtocolError("notify without its nine parameters")
        job_id, prevhash, coinbase1, coinbase2, branch, version, nbits, ntime = params[:8]
        if not isinstance(job_id, str):
            job_id = str(job_id)
        if len(job_id) > MAX_JOB_ID_CHARS:
            raise ProtocolError(f"job id longer than {MAX_JOB_ID_CHARS} characters")
        if not isinstance(branch, list) or len(branch) > MAX_MERKLE_BRANCH:
            raise ProtocolError(f"merkle branch is not a list of at most {MAX_MERKLE_BRANCH} hashes")
        content = (prevhash, coinbase1, coinbase2, version, nbits, ntime, *branch)
        if set(map(type, content)) != {str}:
            raise ProtocolError("notify with a field that is not hex")
        if len(coinbase1) + len(coinbase2) > 2 * MAX_COINBASE_BYTES:
            raise ProtocolError(f"coinbase longer than {MAX_COINBASE_BYTES} bytes")
        shared = len(job_id) + sum(map(len, content)) <= _SHARED_CHARS
        return (_job if shared else _job.__wrapped__)(job_id, bool(params[-1]), *content)

    def notify_params(self) -> list[Any]:
        """The parameters of mining.notify for this job."""
        return [
            self.job_id,
            swap_words(self.prevhash).hex(),
            self.coinbase1.hex(),
            self.coinbase2.hex(),
            [sibling.hex() for sibling in self.merkle_branch],
            f"{self.version:08x}",
            f"{self.nbits:08x}",
            f"{self.ntime:08x}",
            self.clean_jobs,
        ]

    def notify_line(self, job_id: str, coinbase1_tail: bytes, ntime: int, *, clean_jobs: bool) -> bytes:
        """The mining.notify line for a miner; ``job_id`` needs no quoting, ``coinbase1_tail`` follows coinbase1."""
        before, after = _notify_text(self)
        tail = coinbase1_tail.hex().encode()
        return b"".join((_NOTIFY, job_id.encode(), before, tail, after, b"%08x" % ntime, _CLEAN[clean_jobs]))

    def content_key(self) -> bytes:
        """16 bytes that name the job's content, whatever its id: SHA-256 over each field with its length."""
        return _content_key(
            self.prevhash,
            self.coinbase1,
            self.coinbase2,
            self.merkle_branch,
            (self.version, self.nbits, self.ntime),
        )

    def header(self, *, extranonce: bytes, version: int, ntime: int, nonce: int) -> bytes:
        """The 80-byte header; ``extranonce`` is extranonce1 followed by extranonce2."""
        coinbase = self.coinbase1 + extranonce + self.coinbase2
        return pack_header(
            version=version,
            prevhash=self.prevhash,
            merkle_root=merkle_root(coinbase, self.merkle_branch),
            ntime=ntime,
            nbits=self.nbits,
            nonce=nonce,
        )

    def height(self) -> int | None:
        """The block height: BIP 34's push at the start of the coinbase's input script; None where there is none."""
        # version (4), [no segwit marker in notify], input count (1), outpoint (36), script length (1)
        script = self.coinbase1[42:]
        if not script:
            return None
        size = script[0]
        if 0x51 <= size <= 0x60:  # OP_1 .. OP_16
            return size - 0x50
        if not 1 <= size <= 8 or len(script) < 1 + size:
            return None
        return int.from_bytes(script[1 : 1 + size], "little")


@lru_cache(maxsize=_SHARED_JOBS)
def _job(
    job_id: str,
    clean_jobs: bool,
    prevhash: str,
    coinbase1: str,
    coinbase2: str,
    version: str,
    nbits: str,
    ntime: str,
    *branch: str,
) -> Job:
    return Job(
        job_id,
        swap_words(_hex(prevhash, "prevhash", 32)),
        _hex(coinbase1, "coinbase1"),
        _hex(coinbase2, "coinbase2"),
        tuple([_hex(sibling, "merkle branch", 32) for sibling in branch]),
        int.from_bytes(_hex(version, "version", 4), "big"),
        int.from_bytes(_hex(nbits, "nbits", 4), "big"),
        int.from_bytes(_hex(ntime, "ntime", 4), "big"),
        clean_jobs,
    )


@lru_cache(maxsize=_TEXTS_KEPT)
def _notify_text(job: Job) -> tuple[bytes, bytes]:
    """What is the same for all miners that get a job: between job id and coinbase1's tail, and from there to ntime."""
    branch = ",".join(f'"{sibling.hex()}"' for sibling in job.merkle_branch)
    return (
        f'","{swap_words(job.prevhash).hex()}","{job.coinbase1.hex()}'.encode(),
        f'","{job.coinbase2.hex()}",[{branch}],"{job.version:08x}","{job.nbits:08x}","'.encode(),
    )


@lru_cache(maxsize=_SHARED_JOBS)
def _content_key(
    prevhash: bytes, coinbase1: bytes, coinbase2: bytes, branch: tuple[bytes, ...], numbers: tuple[int, int, int]
) -> bytes:
    digest = sha256(prevhash)
    for part in (coinbase1, coinbase2, b"".join(branch)):
        digest.update(len(part).to_bytes(4, "big") + part)
    for number in numbers:
        digest.update(number.to_bytes(4, "big"))
    return digest.digest()[:16]


def _hex(value: str, name: str, size: int | None = None) -> bytes:
    try:
        data = bytes.fromhex(value)
    except ValueError:
        raise ProtocolError(f"{name} is not hex") from None
    if len(value) != 2 * len(data) or (size is not None and len(data) != size):
        raise ProtocolError(f"{name} has {len(value)} hex digits" + (f", not {2 * size}" if size else ""))
    return data
