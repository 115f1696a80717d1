"""Compiled code kept on disk: a start with it takes hundredths of a second instead of one or more."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_PRIVATE = 0o700
_KEPT_FILES = 32


def default_folder() -> Path | None:
    """The folder for it in this user's home; None for a user without one."""
    try:
        return Path.home() / ".cache" / "sharehouse" / "kernels"
    except RuntimeError:
        return None


class ObjectCache:
    """One file for each key. What cannot be read or written, or is damaged, is as if it were not there.

    The code in it is run, so a folder that is not this user's alone is not used.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """What was written under that key."""
        folder = self._own_folder()
        if folder is None:
            return None
        try:
            content = (folder / key).read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return code if hashlib.sha256(code).digest() == digest else None

    def write(self, key: str, code: bytes) -> None:
        """Keeps it, as a whole or not at all."""
        folder = self._own_folder()
        if folder is None:
            return
        temporary = folder / f".{key}.{os.getpid()}"
        try:
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
            temporary.replace(folder / key)
            _forget_oldest(folder)
        except OSError as error:
            log.debug("compiled code is not kept: %s", error)

    def _own_folder(self) -> Path | None:
        folder = self._folder
        if folder is None:
            return None
        try:
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            found = folder.stat()
        except OSError as error:
            log.debug("compiled code is not kept: %s", error)
            return None
        owned = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        return folder if owned and not stat.S_IMODE(found.st_mode) & 0o022 else None


def _forget_oldest(folder: Path) -> None:
    """Each version of the project, and of LLVM, has keys of its own."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in files[:-_KEPT_FILES]:
        path.unlink(missing_ok=True)
