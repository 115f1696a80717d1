from __future__ import annotations

import os
from typing import TYPE_CHECKING

from services.miner.kernels.object_cache import ObjectCache

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "a" / "b")
    assert cache.read("key") is None
    cache.write("key", b"code")
    assert cache.read("key") == b"code"
    assert ObjectCache(tmp_path / "a" / "b").read("key") == b"code"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_damage_is_as_if_there_were_nothing(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    cache.write("key", b"code")
    for content in (b"", b"short", (tmp_path / "key").read_bytes() + b"?"):
        (tmp_path / "key").write_bytes(content)
        assert cache.read("key") is None


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    cache = ObjectCache(folder)
    cache.write("key", b"code")
    folder.chmod(0o777)
    assert cache.read("key") is None
    cache.write("other", b"code")
    assert not (folder / "other").exists()


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    for number in range(40):
        cache.write(f"{number}", b"code")
        os.utime(tmp_path / "cache" / f"{number}", (number, number))
    assert cache.read("39") == b"code"
    assert cache.read("0") is None
    assert len(list((tmp_path / "cache").iterdir())) <= 33


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for cache in (ObjectCache(None), ObjectCache(tmp_path / "file" / "below")):
        cache.write("key", b"code")
        assert cache.read("key") is None
