from __future__ import annotations

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from async_merge_miner import save_block_to_file
from services.miner.block_file import problem_of

if TYPE_CHECKING:
    from pathlib import Path

BLOCK: dict[str, Any] = {"type": "BTC", "nonce": 12345, "height": 800000, "hash": "00" * 32}


def test_a_list_with_an_indent_of_four(tmp_path: Path) -> None:
    path = tmp_path / "found_blocks" / "blocks.json"
    save_block_to_file(BLOCK, path)
    save_block_to_file(BLOCK | {"type": "RollPoW"}, path)
    assert json.loads(path.read_text()) == [BLOCK, BLOCK | {"type": "RollPoW"}]
    assert path.read_text().startswith('[\n    {\n        "type": "BTC",\n        "nonce": 12345,\n')


def test_the_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_block_to_file(BLOCK)
    assert json.loads((tmp_path / "found_blocks/pool_merge_mining_blocks.json").read_text()) == [BLOCK]


@pytest.mark.parametrize("content", ["", "[{", '{"a": 1}', "[" * 100_000, "\x00\x01"])
def test_a_corrupt_file_is_set_aside(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "blocks.json"
    for _ in range(2):
        path.write_text(content)
        with caplog.at_level(logging.WARNING):
            save_block_to_file(BLOCK, path)
        assert json.loads(path.read_text()) == [BLOCK]
    aside = sorted(tmp_path.glob("blocks.json.corrupt-*"))
    assert [file.read_text() for file in aside] == [content, content]
    assert all(file.name in caplog.text for file in aside)


def test_threads_do_not_undo_each_other(tmp_path: Path) -> None:
    path = tmp_path / "blocks.json"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda nonce: save_block_to_file(BLOCK | {"nonce": nonce}, path), range(40)))
    assert sorted(block["nonce"] for block in json.loads(path.read_text())) == list(range(40))


def test_processes_do_not_undo_each_other(tmp_path: Path) -> None:
    path = tmp_path / "blocks.json"
    program = (
        "import sys, pathlib; from async_merge_miner import save_block_to_file\n"
        "for n in range(20): save_block_to_file({'nonce': n}, pathlib.Path(sys.argv[1]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(json.loads(path.read_text())) == 60


def test_where_nothing_can_be_written_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "blocks.json"
    save_block_to_file(BLOCK, path)
    with pytest.raises(TypeError):
        save_block_to_file({"hash": b"not JSON"}, path)
    assert json.loads(path.read_text()) == [BLOCK]


def test_what_stands_in_the_way_is_told_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert problem_of(tmp_path / "new" / "folder" / "blocks.json") is None
    assert problem_of(tmp_path / "file") is None
    assert problem_of(tmp_path) == "it is a folder"
    assert problem_of(tmp_path / "file" / "blocks.json") == f"{tmp_path / 'file'} is no folder"
    assert problem_of(tmp_path / ("x" * 300) / "blocks.json") is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"], "and nothing was touched"
