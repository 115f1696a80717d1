"""Integers in a query, as a program writes them: digits, and nothing that has to be guessed at (1.0, 1_0, +5)."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_DIGITS: Final = re.compile(r"-?[0-9]+", re.ASCII)


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise PydanticCustomError("int_parsing", "Input should be an integer in decimal digits")
    return value


PLAIN_INTEGER: Final = BeforeValidator(_digits)
"""Stands behind the bounds: `Annotated[int, Query(ge=0), PLAIN_INTEGER]`, which are else lost to the description."""
