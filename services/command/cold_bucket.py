"""The bucket as the embedded ClickHouse asks for it at a start, and what the data folder remembers of it.

A mark in the bucket, an object beside ClickHouse's, tells whether an S3 server that answers is the one that has this
folder's shares: where the mark was once written and is gone, nothing else can be trusted to be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command import storage
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from services.command.data_folder import DataFolder
    from services.command.storage import Bucket

_MARK = "sharehouse-store"
_MARKED = "marked"


class ColdBucket:
    """One bucket and prefix, used by the tables of one data folder."""

    def __init__(self, bucket: Bucket, folder: DataFolder) -> None:
        self._bucket = bucket
        self._record = record(folder)
        self.url = bucket.url

    def keep(self) -> None:
        """Remember in the data folder that its tables go to this bucket."""
        if _MARKED not in _lines(self._record)[1:]:
            self._record.write_text(f"{place(self._bucket)}\n")

    def unreachable(self) -> str:
        """Why old shares cannot be read; '' where they can."""
        marked = _MARKED in _lines(self._record)[1:]
        try:
            there = storage.has_object(self._bucket, _MARK if marked else "")
        except Mistake as mistake:
            return str(mistake)
        if there:
            return ""
        return (
            f"S3 answers, but nothing of this data folder is at {self.url}; correct AWS_S3_BUCKET, AWS_S3_PREFIX and"
            f" AWS_S3_ENDPOINT, or restore the objects (and write {_MARK} there yourself, if that alone is gone)"
        )

    def unusable(self) -> str:
        """Why shares cannot be moved there; '' where they can, and then the mark is there too."""
        try:
            storage.check(self._bucket, lambda _: None)
            if _MARKED not in _lines(self._record)[1:]:
                storage.put_object(self._bucket, _MARK, b"Old shares of one sharehouse data folder; do not delete.\n")
                self._record.write_text(f"{place(self._bucket)}\n{_MARKED}\n")
        except Mistake as mistake:
            return str(mistake)
        return ""


def place(bucket: Bucket) -> str:
    """Bucket and prefix; not the server, whose address may change."""
    return f"{bucket.name}/{bucket.prefix}"


def record(folder: DataFolder) -> Path:
    """The file that remembers where this folder's old shares go; missing where they stay local."""
    return folder.path / "s3_place"


def refuse_another_place(bucket: Bucket | None, folder: DataFolder) -> None:
    """Raises Mistake where the folder's tables go to a bucket, and the settings name none, or another."""
    lines = _lines(record(folder))
    if not lines:
        return
    if bucket is None:
        name, _, prefix = lines[0].partition("/")
        raise Mistake(
            f"AWS_S3_BUCKET is not set, but old shares of {folder.path} go to bucket {name}, prefix {prefix}; set"
            f" AWS_S3_BUCKET={name} and the keys again (shares that lie there cannot be read without)"
        )
    # Without a mark, that place could never be used, and nothing lies there.
    if place(bucket) != lines[0] and _MARKED in lines[1:]:
        raise Mistake(
            f"old shares of {folder.path} go to {lines[0]} on S3, but AWS_S3_BUCKET and AWS_S3_PREFIX now say"
            f" {place(bucket)}; set them as they were, or, where all objects were copied there, delete {record(folder)}"
        )


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
