"""From hashlib to compiled code: by way of a process of its own, from the cache, and where neither can be had."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import pytest

from services.miner import Chain
from services.miner.kernel_source import KernelSource

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_compiles_once_and_then_takes_what_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    source = KernelSource((Chain.BTC,), tmp_path / "cache")
    assert not source.is_compiled
    await source.improve()
    assert source.is_compiled
    assert [text.partition(":")[0].partition(";")[0] for text in caplog.messages] == [
        "Compiling for this CPU",
        "Mining on compiled code",
    ]
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    again = KernelSource((Chain.BTC,), tmp_path / "cache")
    await again.improve()
    assert again.is_compiled
    assert not again.is_loading


async def test_without_a_folder_to_keep_it_in_it_compiles_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    source = KernelSource((Chain.BTC,), tmp_path / "file" / "below")
    await source.improve()
    assert source.is_compiled


async def test_where_nothing_can_be_compiled_hashlib_stays_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    source = KernelSource((Chain.BTC,), tmp_path / "cache")
    await source.improve()
    assert not source.is_compiled
    assert "no code could be compiled" in caplog.text
    assert "/nonexistent/python" in caplog.text


async def test_stopped_while_it_compiles_it_leaves_no_process_behind(tmp_path: Path) -> None:
    source = KernelSource(tuple(Chain), tmp_path / "cache")
    started = asyncio.Event()
    create = asyncio.create_subprocess_exec
    processes = []

    async def note(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        process = await create(*arguments, **options)  # type: ignore[arg-type]
        processes.append(process)
        started.set()
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "create_subprocess_exec", note)
        task = asyncio.create_task(source.improve())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [process.returncode is not None for process in processes] == [True]
