"""`python -m services.tests.containers.narrowed IMAGE ARGUMENT...`: the command with no package that IMAGE lacks."""

from __future__ import annotations

import re
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

LOCKS = Path(__file__).parents[3] / "requirements" / "images"


class Narrowed(MetaPathFinder):
    """Lets no module in whose packages are not in the image's lock."""

    def __init__(self, image: str) -> None:
        held = set(re.findall(r"^([a-z0-9-]+)==", (LOCKS / f"{image}.txt").read_text(), re.MULTILINE))
        self._missing = {
            module
            for module, names in packages_distributions().items()
            if not {re.sub(r"[._]", "-", name.lower()) for name in names} & held and module != "services"
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises ModuleNotFoundError, as Python in the image does; leaves the rest to whoever comes next."""
        if fullname.split(".")[0] in self._missing:
            raise ModuleNotFoundError(f"No module named {fullname!r} in this image", name=fullname)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Narrowed(sys.argv[1]))
    from services.command.main import app

    app(sys.argv[2:])
