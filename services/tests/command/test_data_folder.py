from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.command.data_folder import DataFolder, FolderLock, new_prefix
from services.command.mistake import Mistake

HOLDER = """
import pathlib, subprocess, sys
from services.command.data_folder import DataFolder, FolderLock
lock = FolderLock(DataFolder(pathlib.Path(sys.argv[1])))
{first}
print("held", flush=True)
sys.stdin.read()
"""


def _holder(folder: DataFolder, first: str = "") -> subprocess.Popen[str]:
    """A process that takes the lock, does `first`, and holds it until it is killed."""
    command = [sys.executable, "-c", HOLDER.format(first=first), str(folder.path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_it_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    folder.create()
    folder.create()
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("data", ["file", "file/data", "file/a/b"])
def test_a_file_is_no_data_folder(tmp_path: Path, data: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Mistake, match=f"^{tmp_path / 'file'} is a file, not a folder; .*--data DIR$"):
        DataFolder(tmp_path / data).create()


@pytest.mark.parametrize("name", ["clickhouse", "spool", "secrets", "demo"])
def test_a_file_in_place_of_one_of_its_folders_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(Mistake, match=f"^{tmp_path / name} is a file, not a folder; move it away"):
        DataFolder(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_read_only_file_system_is_refused() -> None:
    with pytest.raises(Mistake, match="cannot be written"):
        DataFolder(Path("/proc/sharehouse")).create()


def test_the_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with _holder(folder) as holder:
        with pytest.raises(Mistake, match=rf"in use by another `sharehouse up` \(process {holder.pid}\).*--data DIR"):
            FolderLock(folder)
        holder.kill()
    waits: list[str] = []
    with FolderLock(folder, waits.append):
        assert waits == []


def test_the_s3_prefix_is_kept_once_and_differs_between_folders(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.s3_prefix() is None
    first, second = new_prefix(), new_prefix()
    assert first != second
    folder.keep_s3_prefix(first)
    folder.keep_s3_prefix(second)
    assert folder.s3_prefix() == first


def test_a_lock_given_back_leaves_nothing(tmp_path: Path) -> None:
    with FolderLock(DataFolder(tmp_path)):
        assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]
    assert list(tmp_path.iterdir()) == []


def test_the_services_of_a_killed_run_are_waited_for(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with _holder(folder, "subprocess.Popen(['sleep', '1.5'], pass_fds=(lock.descriptor,))") as holder:
        holder.kill()
    waits: list[str] = []
    with FolderLock(folder, waits.append):
        assert waits == [f"the last run on {tmp_path} was killed; waiting for its services to end"]
