"""BACKUP and RESTORE, the one way in which a client's statement may reach files: a database, to disk `backups` alone.

The disk is a folder of its own, which the engine never leaves (allowed_disk, and paths that lead out are refused). The
engine's one user has the rights BACKUP and READ, WRITE ON DISK for this; no table function or engine needs the latter.
"""

from __future__ import annotations

import re
from typing import Final

from services.warehouse.embedded.engine_error import ACCESS_DENIED, READONLY, EngineError

KINDS: Final = frozenset({"BackupQuery", "RestoreQuery"})
DISK: Final = "backups"
GRANTS: Final = ("GRANT BACKUP ON *.*", "GRANT READ, WRITE ON DISK")
_OWN: Final = frozenset({"system", "information_schema", "INFORMATION_SCHEMA"})
_PLACE: Final = rf"Disk\('{DISK}', '[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}'\)"
_ASYNC: Final = "async = (?:true|1)"
_RESTORE: Final = "(?:structure_only|allow_different_table_def) = (?:true|1)"
_FORM: Final = re.compile(
    rf"(?:BACKUP DATABASE `?(\w{{1,63}})`? TO {_PLACE}(?: SETTINGS {_ASYNC})?"
    rf"|RESTORE DATABASE `?(\w{{1,63}})`? FROM {_PLACE}(?: SETTINGS (?:{_RESTORE}, )*(?:{_RESTORE}|{_ASYNC}))?)",
    re.ASCII,
)


def check_backup(statement: str) -> None:
    """Raises EngineError unless the canonical `statement` copies one database of ours to or from a file or folder."""
    found = _FORM.fullmatch(statement)
    if found is None or (found[1] or found[2]) in _OWN:
        raise EngineError.own(
            ACCESS_DENIED,
            "Not served by the embedded server: a BACKUP other than BACKUP DATABASE name TO Disk('backups', 'file')"
            " [ASYNC], and RESTORE the same way (SETTINGS structure_only = true, allow_different_table_def = true);"
            " letters, digits, dots, hyphens and _ alone may be in the file's name",
        )


def refuse_read_only(kind: str) -> None:
    """Raises EngineError for a statement of this kind in a request that may only read: the engine lets BACKUP pass."""
    if kind in KINDS:
        raise EngineError.own(READONLY, "Cannot execute query in readonly mode")
