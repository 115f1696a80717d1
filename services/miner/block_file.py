"""The JSON file of found blocks."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

try:
    import fcntl
except ImportError:  # not a Unix: only one process may write a file there
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

DEFAULT_BLOCK_FILE: Final = Path("found_blocks/pool_merge_mining_blocks.json")
_in_this_process = threading.Lock()


def save_block_to_file(block_data: dict[str, Any], file_path: Path = DEFAULT_BLOCK_FILE) -> None:
    """Appends a block to the JSON list in ``file_path``, on disk when this returns; makes the folder where needed.

    The file is replaced as a whole, so that no reader and no crash ever meets half of it. One that is no JSON list is
    set aside under a new name, with a warning. Several threads and processes may write to one file. Raises OSError.
    """
    save_blocks_to_file([block_data], file_path)


def save_blocks_to_file(blocks: Sequence[dict[str, Any]], file_path: Path) -> None:
    """Like :func:`save_block_to_file`, for several at once."""
    file_path = Path(file_path)
    file_path.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(file_path):
        content = json.dumps([*_read(file_path), *blocks], indent=4)
        temporary = file_path.with_name(f".{file_path.name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(content + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(file_path)
        _sync_folder(file_path.parent)


def problem_of(file_path: Path) -> str | None:
    """Why nothing could be written to ``file_path``, as far as that can be told without touching anything."""
    file_path = Path(file_path)
    try:
        if file_path.is_dir():
            return "it is a folder"
        folder = next(parent for parent in file_path.absolute().parents if parent.exists())
    except OSError as error:
        return error.strerror or str(error)
    if not folder.is_dir():
        return f"{folder} is no folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written to"


@contextlib.contextmanager
def _exclusive(file_path: Path) -> Iterator[None]:
    with _in_this_process, file_path.with_name(f".{file_path.name}.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(file_path: Path) -> list[Any]:
    try:
        blocks = json.loads(file_path.read_bytes())
        if isinstance(blocks, list):
            return blocks
        problem = "it is not a JSON list"
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        problem = str(error)
    aside = _free_name(file_path)
    file_path.rename(aside)
    log.warning("%s cannot be read (%s): set aside as %s, a new file is begun", file_path, problem, aside.name)
    return []


def _free_name(file_path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S")
    names = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    candidates = (file_path.with_name(f"{file_path.name}.corrupt-{stamp}{suffix}") for suffix in names)
    return next(candidate for candidate in candidates if not candidate.exists())


def _sync_folder(folder: Path) -> None:
    if fcntl is None:  # where there is no flock, a folder cannot be opened either
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
