"""What the person at the keyboard got wrong, told in one place."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENVIRONMENTAL = frozenset(
    {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR}
)


EXIT_MISTAKE = 2
"""How a process ends whose person must mend something first."""


class Mistake(Exception):  # noqa: N818 - it is the person's, not an error of ours
    """A setting, file, folder or port that cannot stand. Each problem is one sentence with its remedy.

    The command prints the problems on stderr, one a line, and ends with exit code 2.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Problems:
    """Gathers what is wrong in several places, so that all of it is told at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, *problems: str) -> None:
        """Note them, each once."""
        self._found += [problem for problem in dict.fromkeys(problems) if problem not in self._found]

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """A Mistake in this block is noted, and what follows the block goes on."""
        try:
            yield
        except Mistake as mistake:
            self.add(*mistake.problems)

    def tell(self) -> None:
        """Raises Mistake with all that was noted, where there is anything."""
        if self._found:
            raise Mistake(*self._found)


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn a room's own refusal of its options, and what the machine refuses, into a Mistake."""
    try:
        yield
    except Exception as error:
        cause = _sole_cause(error)
        if _is_refusal(cause):
            raise Mistake(_sentence(cause)) from error
        raise


def _sole_cause(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _is_refusal(error: Exception) -> bool:
    # Rooms tell a user's mistake by a ValueError or OSError class of their own; a bare ValueError is a fault of ours.
    if isinstance(error, OSError) and error.errno in _ENVIRONMENTAL:
        return True
    if type(error) is OSError and error.errno is None:
        return True
    return isinstance(error, (ValueError, OSError)) and type(error).__module__.startswith("services.")


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())
