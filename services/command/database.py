"""`sharehouse db migrate`."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.command import options
from services.command.mistake import Mistake
from services.warehouse import migrate as migrations

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.command.configuration import Configuration

# ClickHouse's codes (src/Common/ErrorCodes.cpp): WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED and others.
_UNKNOWN_USER = frozenset({192, 193, 194, 516})
_UNKNOWN_TABLE = frozenset({60, 81})  # or database
_ACCESS_DENIED = 497
_S3_ERROR = 499


def migrate(configuration: Configuration, say: Callable[[str], None]) -> None:
    """Bring the tables up to date and tell what was applied. Raises Mistake where ClickHouse is away or refuses."""
    address = options.address(configuration)
    retention = options.retention(configuration)
    try:
        applied = asyncio.run(migrations.migrate(address, retention))
    except (ClickHouseError, aiohttp.ClientError, OSError) as error:
        raise Mistake(f"ClickHouse at {address.host}:{address.port} {sentence(error, address.user)}") from None
    for name in applied:
        say(f"applied {name}")
    if not applied:
        say("nothing to apply: the tables are up to date")


def sentence(error: Exception, user: str) -> str:
    """What ClickHouse did, and the remedy. The client's own texts speak of its workings."""
    code = error.code if isinstance(error, Error) else None
    if code in _UNKNOWN_USER:
        return f"refuses user {user} or its password; correct CLICKHOUSE_USER and CLICKHOUSE_PASSWORD"
    if code == _ACCESS_DENIED:
        return f"does not let user {user} make tables; grant it that, or set CLICKHOUSE_USER to one who may"
    if code in _UNKNOWN_TABLE:
        return "has no tables of Sharehouse, or not all; sharehouse db migrate makes them"
    if code == _S3_ERROR:
        return "cannot read old shares, for S3 does not give them; sharehouse s3 check says why"
    if code is not None:
        told = re.search(r"DB::Exception: (.*?)(?: \(for url .*)?$", str(error).splitlines()[0])
        return f"refused with code {code}: {told[1] if told else 'it did not say why'}; its own log may tell more"
    return "does not answer; see that it runs, and correct CLICKHOUSE_HOST and CLICKHOUSE_PORT"
