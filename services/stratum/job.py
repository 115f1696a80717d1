"""A mining.notify job."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

from services.stratum.header import merkle_root, pack_header
from services.stratum.reject import ProtocolError

MAX_JOB_ID_CHARS = 128
MAX_MERKLE_BRANCH = 32
MAX_COINBASE_BYTES = 128 * 1024
"""Some 3,800 outputs. More would fill what may be queued for a miner with a single job."""
_BRANCHES_KEPT = 64
_TEXTS_KEPT = 16
_NOTIFY = b'{"id":null,"method":"mining.notify","params":["'
_CLEAN = (b'",false]}\n', b'",true]}\n')
_texts: dict[bytes, tuple[bytes, bytes]] = {}
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
    _content_key: bytes = field(default=b"", init=False, repr=False, compare=False)

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
        return Job(
            job_id,
            swap_words(_hex(prevhash, "prevhash", 32)),
            _hex(coinbase1, "coinbase1"),
            _hex(coinbase2, "coinbase2"),
            _branch(*branch),
            int.from_bytes(_hex(version, "version", 4), "big"),
            int.from_bytes(_hex(nbits, "nbits", 4), "big"),
            int.from_bytes(_hex(ntime, "ntime", 4), "big"),
            bool(params[-1]),
        )

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
        if not self._content_key:
            digest = sha256(self.prevhash)
            for part in (self.coinbase1, self.coinbase2, b"".join(self.merkle_branch)):
                digest.update(len(part).to_bytes(4, "big") + part)
            for number in (self.version, self.nbits, self.ntime):
                digest.update(number.to_bytes(4, "big"))
            object.__setattr__(self, "_content_key", digest.digest()[:16])
        return self._content_key

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


@lru_cache(maxsize=_BRANCHES_KEPT)
def _branch(*siblings: str) -> tuple[bytes, ...]:
    """One object for all connections of a pool that gives each a coinbase of its own: it is most of a job."""
    return tuple([_hex(sibling, "merkle branch", 32) for sibling in siblings])


def _notify_text(job: Job) -> tuple[bytes, bytes]:
    """What is the same for all miners that get a job: between job id and coinbase1's tail, and from there to ntime."""
    key = job.content_key()
    text = _texts.get(key)
    if text is None:
        branch = ",".join(f'"{sibling.hex()}"' for sibling in job.merkle_branch)
        text = (
            f'","{swap_words(job.prevhash).hex()}","{job.coinbase1.hex()}'.encode(),
            f'","{job.coinbase2.hex()}",[{branch}],"{job.version:08x}","{job.nbits:08x}","'.encode(),
        )
        while len(_texts) >= _TEXTS_KEPT:
            _texts.pop(next(iter(_texts), b""), None)
        _texts[key] = text
    return text


def _hex(value: str, name: str, size: int | None = None) -> bytes:
    try:
        data = bytes.fromhex(value)
    except ValueError:
        raise ProtocolError(f"{name} is not hex") from None
    if len(value) != 2 * len(data) or (size is not None and len(data) != size):
        raise ProtocolError(f"{name} has {len(value)} hex digits" + (f", not {2 * size}" if size else ""))
    return data
