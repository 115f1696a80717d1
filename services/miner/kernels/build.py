"""Compiles kernels into a cache folder, as a process of its own: python -m services.miner.kernels.build FOLDER CHAIN...

So the miner's threads go on meanwhile, Ctrl-C ends it at once, and the compiler's memory is given back.
"""

from __future__ import annotations

import sys
from pathlib import Path

from services.miner.chain import Chain
from services.miner.kernels.compiler import compiled
from services.miner.kernels.cpu import Cpu, proofs_for
from services.miner.kernels.object_cache import ObjectCache


def main(arguments: list[str]) -> None:
    """Returns when the folder has the code."""
    folder, *names = arguments
    cpu = Cpu.host()
    proofs = proofs_for(cpu)
    for name in names:
        compiled(proofs[Chain[name]], cpu, ObjectCache(Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
