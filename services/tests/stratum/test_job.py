from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum.job import Job, swap_words
from services.stratum.reject import ProtocolError

hashes = st.binary(min_size=32, max_size=32)
words = st.integers(0, 2**32 - 1)
jobs = st.builds(
    Job,
    job_id=st.text(min_size=1, max_size=20),
    prevhash=hashes,
    coinbase1=st.binary(max_size=60),
    coinbase2=st.binary(max_size=60),
    merkle_branch=st.lists(hashes, max_size=12).map(tuple),
    version=words,
    nbits=words,
    ntime=words,
    clean_jobs=st.booleans(),
)


@given(jobs)
def test_notify_round_trip(job: Job) -> None:
    assert Job.from_notify(job.notify_params()) == job


@given(jobs, st.text(max_size=5), st.booleans())
def test_the_key_is_the_contents_and_nothing_elses(job: Job, job_id: str, clean_jobs: bool) -> None:
    assert replace(job, job_id=job_id, clean_jobs=clean_jobs).content_key() == job.content_key()
    assert len(job.content_key()) == 16
    moved = replace(job, coinbase1=job.coinbase1 + b"x", coinbase2=job.coinbase2)
    assert moved.content_key() != job.content_key()
    assert replace(job, ntime=job.ntime ^ 1).content_key() != job.content_key()


def test_content_does_not_slide_between_fields() -> None:
    job = Job("1", bytes(32), b"ab", b"c", (), 1, 2, 3, True)
    assert replace(job, coinbase1=b"a", coinbase2=b"bc").content_key() != job.content_key()


def test_prevhash_words_are_swapped_on_the_wire() -> None:
    assert swap_words(bytes(range(8))) == bytes([3, 2, 1, 0, 7, 6, 5, 4])
    # The parent of block 125552 as a pool would have sent it.
    internal = bytes.fromhex("81cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000")
    wire = "ab02cd818b9e567ee21793cddef299feb29ad444a41b85b8000008a300000000"
    assert swap_words(internal).hex() == wire


@given(st.lists(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()), max_size=11))
def test_any_notify_raises_nothing_but_protocol_errors(params: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        Job.from_notify(params)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "x" * 129),
        (1, "00" * 31),
        (2, "abc"),
        (3, 5),
        (4, "no"),
        (4, ["00"] * 33),
        (4, ["zz"]),
        (5, "1"),
        (7, "1 2 3 4 "),
    ],
)
def test_unusable_fields_are_named(position: int, value: Any) -> None:
    params = Job("1", bytes(32), b"", b"", (), 1, 2, 3, True).notify_params()
    params[position] = value
    with pytest.raises(ProtocolError):
        Job.from_notify(params)


@pytest.mark.parametrize(
    ("script", "height"),
    [
        ("03a0bb0c", 834464),
        ("0340d10c", 840000),
        ("5a", 10),
        ("51", 1),
        ("02e703", 999),
        ("", None),
        ("03a0", None),
        ("00", None),
    ],
)
def test_height_is_bip_34s_push(script: str, height: int | None) -> None:
    before = bytes(4) + b"\x01" + bytes(36) + b"\x20"
    assert Job("1", bytes(32), before + bytes.fromhex(script), b"", (), 1, 2, 3, True).height() == height
