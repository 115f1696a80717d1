from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.demo.chain import FIRST_HEIGHT, ChainStateError, SolvedBlock, SyntheticChain
from services.stratum.difficulty import bits_to_target, target_of

if TYPE_CHECKING:
    from pathlib import Path

    from services.stratum.job import Job


def template(chain: SyntheticChain, branches: int = 3, difficulty: float = 2.0**-20) -> Job:
    return chain.template(network_difficulty=difficulty, merkle_branches=branches, extranonce_bytes=12, clean_jobs=True)


def test_a_restart_goes_on_at_the_same_block(tmp_path: Path) -> None:
    chain = SyntheticChain(tmp_path / "chain.json")
    assert template(chain).height() == FIRST_HEIGHT
    chain.append(SolvedBlock(template(chain), b"", b"", b"\x07" * 32), 0.25)
    again = SyntheticChain(tmp_path / "chain.json")
    assert again.state == chain.state
    job = template(again)
    assert (job.height(), job.prevhash) == (FIRST_HEIGHT + 1, b"\x07" * 32)


def test_no_two_templates_share_id_coinbase_or_branch(tmp_path: Path) -> None:
    chains = [SyntheticChain(tmp_path / "chain.json") for _ in range(2)]
    jobs = [template(chain) for chain in chains for _ in range(3)]
    assert len({job.job_id for job in jobs}) == 6
    assert len({job.coinbase1 for job in jobs}) == 6
    assert len({job.merkle_branch for job in jobs}) == 6


@pytest.mark.parametrize("branches", [0, 12])
def test_merkle_branches_as_many_as_asked(tmp_path: Path, branches: int) -> None:
    assert len(template(SyntheticChain(tmp_path / "chain.json"), branches).merkle_branch) == branches


def test_nbits_are_the_difficulty_but_never_an_impossible_target(tmp_path: Path) -> None:
    chain = SyntheticChain(tmp_path / "chain.json")
    target = bits_to_target(template(chain, difficulty=2.0**-16).nbits.to_bytes(4, "big"))
    assert target == pytest.approx(target_of(2.0**-16), rel=1e-4)
    assert bits_to_target(template(chain, difficulty=2.0**-60).nbits.to_bytes(4, "big")) < 1 << 255


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"height": 5, "tip": "00", "work_per_second": 0}',
        b'{"height": -5, "tip": "' + b"00" * 32 + b'", "work_per_second": 0}',
        b'{"height": 5, "tip": "' + b"00" * 32 + b'", "work_per_second": -1}',
    ],
)
def test_a_foreign_state_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "chain.json"
    path.write_bytes(content)
    with pytest.raises(ChainStateError, match="move it away"):
        SyntheticChain(path)
    assert path.read_bytes() == content
