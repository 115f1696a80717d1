"""What a miner gets of the extensions that it asks for in mining.configure (BIP 310)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.stratum.miner_request import parse_minimum
from services.stratum.reject import StratumError
from services.stratum.version import parse_mask

if TYPE_CHECKING:
    from services.proxy.difficulty_policy import DedicatedDifficulty
    from services.proxy.negotiated_mask import NegotiatedMask
    from services.stratum.miner_request import Configure


def negotiate(configure: Configure, mask: NegotiatedMask, difficulty: DedicatedDifficulty) -> dict[str, Any]:
    """The answer: every extension that was asked for, with false for those that are unknown or cannot be had."""
    result: dict[str, Any] = dict.fromkeys(configure.extensions, False)
    parameters = configure.parameters
    if "version-rolling" in result and (agreed := mask.ask(parse_mask(parameters.get("version-rolling.mask")))):
        result["version-rolling"] = True
        result["version-rolling.mask"] = f"{agreed:08x}"
    if "minimum-difficulty" in result:
        result["minimum-difficulty"] = _take_minimum(difficulty, parameters.get("minimum-difficulty.value"))
    for extension in ("subscribe-extranonce", "info"):
        if extension in result:
            result[extension] = True
    return result


def _take_minimum(difficulty: DedicatedDifficulty, value: Any) -> bool:
    try:
        difficulty.minimum("", parse_minimum(value))
    except StratumError:
        return False
    return True
