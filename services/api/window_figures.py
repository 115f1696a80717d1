"""How the sums of a window stand in an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from services.api.options import ShareValueBasis
    from services.warehouse.queries import WindowSums

GIGA: Final = 1e9


def window_figures(name: str, sums: WindowSums, value: str, basis: ShareValueBasis) -> dict[str, Any]:
    """Fields by name, each ending in `_name`; those of the chosen basis begin with `value`."""
    return {
        f"hash_rate_{name}": sums.hash_rate / GIGA,
        f"shares_{name}": sums.shares,
        f"{value}_{name}": sums.actual if basis == "actual" else sums.credited,
        f"share_value_actual_{name}": sums.actual,
        f"share_value_credited_{name}": sums.credited,
    }
