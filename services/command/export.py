"""`sharehouse shares export`."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.command import options, storage
from services.command.database import sentence
from services.command.mistake import Mistake
from services.command.storage import Bucket
from services.command.storage_report import size
from services.warehouse.audit import Scope
from services.warehouse.export import Export, ExportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.command.configuration import Configuration
    from services.warehouse.export import ExportState, Target

_TELL_AGAIN_SECONDS = 2.0


class _LocalFile:
    """Has another name until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._file: BinaryIO = self._part.open("wb")

    def write(self, piece: bytes, /) -> None:
        self._file.write(piece)

    def close(self) -> None:
        self._file.close()
        self._part.rename(self._path)

    def discard(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


class Folder:
    """Files in a local folder, which is empty. Raises Mistake where it is not, or cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            is_empty = next(path.iterdir(), None) is None
        except OSError as error:
            raise Mistake(f"{path}: {error.strerror}; name a folder that can be written") from None
        if not is_empty:
            raise Mistake(f"{path} is not empty; name a new folder, so that no two exports are mixed")

    def open(self, name: str) -> _LocalFile:
        return _LocalFile(self._path / name)


class _ObjectFile:
    """Gathered in a temporary file, and put when it is whole."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._file = tempfile.TemporaryFile()

    def write(self, piece: bytes, /) -> None:
        self._file.write(piece)

    def close(self) -> None:
        with self._file:
            self._file.seek(0)
            storage.upload(self._bucket, self._name, self._file)

    def discard(self) -> None:
        self._file.close()


class Prefix:
    """Objects below a prefix of a bucket, where there are none yet. Raises Mistake."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        if storage.has_object(bucket, ""):
            raise Mistake(
                f"s3://{bucket.name}/{bucket.prefix}/ is not empty; name a new prefix, so that no two exports are mixed"
            )

    def open(self, name: str) -> _ObjectFile:
        return _ObjectFile(self._bucket, name)


def target(configuration: Configuration, destination: str) -> Target:
    """What `destination` names, a folder or s3://BUCKET/PREFIX. Raises Mistake."""
    if not destination.startswith("s3://"):
        return Folder(Path(destination))
    name, _, prefix = destination.removeprefix("s3://").strip("/").partition("/")
    settings = configuration.settings
    if not (name and prefix):
        raise Mistake(f"{destination}: name a bucket and a prefix in it, as in s3://exports/2026-11")
    keys = {key: getattr(settings, key).get_secret_value() for key in ("aws_access_key_id", "aws_secret_access_key")}
    if missing := [key.upper() for key, value in keys.items() if not value]:
        raise Mistake(f"{destination}: {' and '.join(missing)} must be set to write to S3")
    return Prefix(Bucket(name, prefix, settings.aws_region, settings.aws_s3_endpoint, *keys.values()))


def export(
    configuration: Configuration, start: int, end: int, worker: str | None, destination: str, say: Callable[[str], None]
) -> None:
    """Write the shares of a period, and their jobs. Raises Mistake where that cannot be."""
    address = options.address(configuration).everywhere
    run = Export(address, Scope(start, end, worker), target(configuration, destination), _Teller(say))
    began = time.monotonic()
    try:
        done = asyncio.run(run.run())
    except ExportError as error:
        raise Mistake(f"the export was cut short: {error}; its own log tells why") from None
    except (ClickHouseError, aiohttp.ClientError) as error:
        raise Mistake(
            f"the export was cut short: ClickHouse at {address.host}:{address.port} {sentence(error, address.user)}"
        ) from None
    except OSError as error:
        raise Mistake(
            f"the export was cut short: {error.strerror or error}; see that ClickHouse runs at"
            f" {address.host}:{address.port} and that {destination} has room"
        ) from None
    say(
        f"exported {done.rows:,} shares and {done.jobs:,} jobs to {destination}: {done.files:,} files,"
        f" {size(done.bytes)}, in {time.monotonic() - began:.1f} s"
    )


class _Teller:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next = time.monotonic() + _TELL_AGAIN_SECONDS

    def __call__(self, state: ExportState) -> None:
        now = time.monotonic()
        if now >= self._next and state.total_rows:
            self._next = now + _TELL_AGAIN_SECONDS
            share = 100 * state.rows // state.total_rows
            self._say(f"{state.rows:,} of {state.total_rows:,} shares ({share} %), {size(state.bytes)}")
