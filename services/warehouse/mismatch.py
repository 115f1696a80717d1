"""What can be wrong with a stored share, in the words that audit and proof alike use."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Mismatch(StrEnum):
    """One thing that does not fit; the value is the word for it everywhere."""

    NO_HEADER = "no_header"
    DIFFICULTY = "difficulty"
    TARGET = "target"
    REPEATED_HEADER = "repeated_header"
    JOB_UNKNOWN = "job_unknown"
    JOB_CONTENT = "job_content"
    MERKLE_ROOT = "merkle_root"
    PREVHASH = "prevhash"
    NBITS = "nbits"
    NTIME = "ntime"


MEANINGS: Final = {
    Mismatch.NO_HEADER: "accepted without a header",
    Mismatch.DIFFICULTY: "the actual difficulty is not that of the header's hash",
    Mismatch.TARGET: "accepted, but the header's hash does not meet the credited difficulty",
    Mismatch.REPEATED_HEADER: "accepted with a header that counted already",
    Mismatch.JOB_UNKNOWN: "the job that it names is not stored",
    Mismatch.JOB_CONTENT: "the stored job's content does not give the job's key",
    Mismatch.MERKLE_ROOT: "the header's merkle root does not follow from job and extranonces",
    Mismatch.PREVHASH: "the header's prevhash is not the job's",
    Mismatch.NBITS: "the header's nbits are not the job's",
    Mismatch.NTIME: "accepted with an ntime before the job's, or over two hours ahead",
}

RELATIVE_TOLERANCE: Final = 1e-12
"""How far a difficulty may be from the one recomputed: floating point differs in the last bit between machines."""
