"""An embedded ClickHouse for one benchmark: in a folder of its own, without tables, gone with its data afterwards."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from services.bench.processes import free_port, service, wait_for_clickhouse
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def empty_clickhouse(
    *, core: int | None, within: Path | None = None, data: Path | None = None
) -> Iterator[ClickHouseAddress]:
    """Open for questions, on one core or on all (None); ``within`` names where its folder is made.

    With ``data`` that is its folder, which stays with what is in it.
    """
    made = tempfile.TemporaryDirectory(prefix="sharehouse-bench-", dir=within)
    with made if data is None else contextlib.nullcontext(data) as folder:
        address = ClickHouseAddress(port=free_port(), password="bench")
        options = EmbeddedOptions(data=Path(folder), port=address.port, password=address.password)
        with service(_serve, options, core=core):
            wait_for_clickhouse(address.port)
            yield address


async def _serve(options: EmbeddedOptions) -> None:
    # Here, so that the processes under measurement, which import this module too, do not hold the engine in memory.
    from services.warehouse.embedded.server import serve

    await serve(options)
