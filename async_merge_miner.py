"""Merge miner for BTC, RollPoW and Tetra-PoW over Stratum: a module, and a program (python3 async_merge_miner.py).

The code is in services/miner. This file must parse on old Pythons, to tell them what is wrong.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (it is for those who have not read the requirements)
    _PROBLEM = f"async_merge_miner.py needs Python 3.11 or newer; this is Python {sys.version.split()[0]}."
    if __name__ == "__main__":
        sys.exit(_PROBLEM)
    raise ImportError(_PROBLEM)

try:
    from services.miner import (
        AsyncMergeMiner,
        AsyncStratumClient,
        bits_to_target,
        save_block_to_file,
        sha256d,
        tetrapow_hash,
    )
    from services.miner.direct import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "services":
        raise
    _PROBLEM = "async_merge_miner.py needs the folder services beside it: run it in a clone of its repository."
    if __name__ == "__main__":
        sys.exit(_PROBLEM)
    raise ImportError(_PROBLEM) from None
except KeyboardInterrupt:
    if __name__ == "__main__":
        sys.exit(130)
    raise

__all__ = [
    "AsyncMergeMiner",
    "AsyncStratumClient",
    "bits_to_target",
    "main",
    "save_block_to_file",
    "sha256d",
    "tetrapow_hash",
]

if __name__ == "__main__":
    sys.exit(main())
