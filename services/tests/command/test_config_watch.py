"""A changed config file is noticed however it was written, once it is whole, and nothing else is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import watchfiles

from services.command import config_watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Changes:
    """Counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def note(self) -> None:
        self.count += 1
        self._event.set()

    async def next(self) -> None:
        async with asyncio.timeout(50):
            await self._event.wait()
        self._event.clear()


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Changes]:
    changes = Changes()
    task = asyncio.create_task(config_watch.watch(path, changes.note))
    # What changes before the watch stands is seen when it looks by itself.
    await asyncio.sleep(0.3)
    try:
        yield changes
    finally:
        task.cancel()
        async with asyncio.timeout(30):
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_watch, "LOOK_SECONDS", 2.0)


async def test_edited_replaced_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("one")
    async with watching(path) as changes:
        path.write_text("two")
        await changes.next()
        other = tmp_path / "new"
        other.write_text("three")
        other.rename(path)
        await changes.next()
        path.unlink()
        await changes.next()
        path.write_text("four")
        await changes.next()


async def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes replaces the files of a ConfigMap."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "config.toml").write_text(f"version {number}")
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "config.toml").symlink_to("data/config.toml")
    async with watching(tmp_path / "config.toml") as changes:
        (tmp_path / "next").symlink_to("v2")
        (tmp_path / "next").rename(tmp_path / "data")
        await changes.next()


async def test_only_another_content_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("one")
    async with watching(path) as changes:
        path.touch()
        path.write_text("one")
        (tmp_path / "neighbour").write_text("something")
        await asyncio.sleep(1.0)
        assert changes.count == 0
        path.write_text("two")
        await changes.next()
        assert changes.count == 1


async def test_a_file_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("before")
    digest = config_watch._digest_now(path)
    seen: list[str] = []

    async def write_slowly() -> None:
        with path.open("w") as file:
            for part in range(5):
                file.write(f"part {part}\n")
                file.flush()
                await asyncio.sleep(config_watch._SETTLE_SECONDS / 4)

    writing = asyncio.create_task(write_slowly())
    await asyncio.sleep(0)
    await config_watch._look(path, digest, lambda: seen.append(path.read_text()))
    await writing
    assert [text.count("part") for text in seen] == [5]


async def test_where_no_change_is_told_it_looks_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is another one, so that nothing is ever told of."""
    path, elsewhere = tmp_path / "config.toml", tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.write_text("one")
    told = watchfiles.awatch
    monkeypatch.setattr(watchfiles, "awatch", lambda _folder, **how: told(elsewhere, **how))
    async with watching(path) as changes:
        path.write_text("two")
        await changes.next()


@pytest.mark.parametrize(
    ("changed", "concerns"), [("config.toml", True), ("..data", True), ("accepted.log", False), ("config.toml~", False)]
)
def test_other_files_of_the_folder_wake_nobody(tmp_path: Path, changed: str, concerns: bool) -> None:
    assert config_watch._concerns(tmp_path / "config.toml", str(tmp_path / changed)) is concerns
