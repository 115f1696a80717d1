from __future__ import annotations

import random

import pytest

from services.miner.tetrapow import LANES, TetraScan, tetrapow_hash


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "257cd98d7ed77578030d1f6f010403cfa3519d68f40fb03603fd539f635fcdd0"),
        (b"abc", "938510571882638756df665899152a54e7873463aa604ff76d9b852362cc2e7d"),
        (bytes(80), "42256a391206cadc767df012dcd75b16c3e05c1db6e9ed56bb60a19783ba5164"),
        (b"\xff" * 80, "d76522e7fbb4706d8bba9274aceac7c8e1a6ef595fd303976efd478ac480fdee"),
        (b"a" * 128, "adc41d3bc715274aa008724b46efe3f747066f90a014ed4f140c8caefaa34f14"),
        (b"a" * 200, "37b501d7f333ce7e5abf51d6444cb4057678629b57b1606105c5d12a0f1fa94b"),
    ],
)
def test_known_answers(data: bytes, expected: str) -> None:
    assert tetrapow_hash(data).hex() == expected


def test_only_the_first_512_bytes_are_read() -> None:
    data = random.Random(1).randbytes(700)
    assert tetrapow_hash(data) == tetrapow_hash(data[:512] + bytes(188))
    assert tetrapow_hash(data) != tetrapow_hash(data[:511] + bytes(189))


@pytest.mark.parametrize("first_nonce", [0, 12345, 2**31 - LANES // 2, 2**32 - LANES])
def test_every_lane_is_the_plain_hash(first_nonce: int) -> None:
    prefix = random.Random(first_nonce).randbytes(76)
    expected = [
        int.from_bytes(tetrapow_hash(prefix + nonce.to_bytes(4, "little"))[28:], "little")
        for nonce in range(first_nonce, first_nonce + LANES)
    ]
    assert list(TetraScan(prefix).top_words(first_nonce)) == expected


@pytest.mark.parametrize("prefix", [bytes(76), b"\xff" * 76])
def test_no_carry_runs_into_the_next_lane(prefix: bytes) -> None:
    words = TetraScan(prefix).top_words(2**32 - LANES)
    for lane in (0, 1, LANES // 2, LANES - 1):
        nonce = 2**32 - LANES + lane
        assert words[lane] == int.from_bytes(tetrapow_hash(prefix + nonce.to_bytes(4, "little"))[28:], "little")
