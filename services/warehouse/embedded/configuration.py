"""The engine's configuration, rendered into the data folder at each start.

The engine's one user holds only what this project's statements need: no SOURCES grant (file, url, s3, remote ...), no
SYSTEM, access management or functions; BACKUP only to a folder of its own. So what a client's statement may reach is
decided by the engine itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from services.warehouse.embedded import backups as backup
from services.warehouse.embedded.allowed import HELD_SETTINGS, HELD_TABLE_SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

# What a client may do, on ClickHouse's own server too.
GRANTS = (
    "SELECT",
    "INSERT",
    "SHOW",
    "CREATE DATABASE",
    "CREATE TABLE",
    "CREATE VIEW",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "OPTIMIZE",
    "KILL QUERY",
)

# Of this server itself (insert.py): the guard lets no client make one.
_STAGING = "CREATE TEMPORARY TABLE"

# What a client may only read: without these, neither the engine nor the guard works.
OWN_DATABASES = ("system", "information_schema", "INFORMATION_SCHEMA")
CHANGES = "INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER, DROP, TRUNCATE, OPTIMIZE"

LOCAL_STORAGE = (
    "<storage_configuration><policies><tiered><volumes><hot><disk>default</disk></hot></volumes></tiered></policies>"
    "</storage_configuration>"
)


class ConfigurationError(ValueError):
    """A setting or storage XML that cannot be used; the message names it and the remedy."""


def _storage_element(storage: Path | None) -> ElementTree.Element:
    if storage is None:
        return ElementTree.fromstring(LOCAL_STORAGE)  # noqa: S314 - our own text
    try:
        root = ElementTree.fromstring(storage.read_text())  # noqa: S314 (the operator's own file)
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigurationError(f"{storage}: not readable as ClickHouse configuration ({error})") from error
    element = root.find("storage_configuration")
    if element is None:
        raise ConfigurationError(f"{storage}: has no <storage_configuration>")
    return element


def _add_backups(storage: ElementTree.Element, folder: Path) -> str:
    """Adds the disk `backups`; gives the element that lets BACKUP use it, and nothing else."""
    disks = storage.find("disks")
    if disks is None:
        disks = ElementTree.SubElement(storage, "disks")
    disk = ElementTree.SubElement(disks, backup.DISK)
    ElementTree.SubElement(disk, "type").text = "local"
    ElementTree.SubElement(disk, "path").text = f"{folder}/"
    return (
        f"<backups><allowed_disk>{backup.DISK}</allowed_disk>"
        f"<allowed_path>{escape(str(folder))}/</allowed_path></backups>"
    )


def write_configuration(folder: Path, storage: Path | None, backups: Path | None = None) -> Path:
    """Write engine.xml and users.xml into `folder` and give the path of engine.xml.

    `backups` is the folder that BACKUP may write to; without one, there is no BACKUP.
    """
    users = folder / "users.xml"
    grants = f"<query>GRANT {', '.join((*GRANTS, _STAGING))} ON *.*</query>"
    grants += "".join(f"<query>REVOKE {CHANGES} ON {database}.*</query>" for database in OWN_DATABASES)
    grants += "".join(f"<query>{grant}</query>" for grant in backup.GRANTS) if backups is not None else ""
    held = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in HELD_SETTINGS.items())
    constraints = "".join(
        f"<{name}><const/></{name}>"
        for name in (*HELD_SETTINGS, *(f"merge_tree_{setting}" for setting in HELD_TABLE_SETTINGS))
    )
    users.write_text(
        # An insert is acknowledged when its part is written.
        f"<clickhouse><profiles><default><async_insert>0</async_insert>{held}"
        f"<constraints>{constraints}</constraints></default></profiles><quotas><default/></quotas><users><default>"
        "<no_password>1</no_password><networks><ip>::/0</ip></networks>"
        f"<profile>default</profile><quota>default</quota><grants>{grants}</grants>"
        "</default></users></clickhouse>\n"
    )
    engine = folder / "engine.xml"
    element = _storage_element(storage)
    allowed = "" if backups is None else _add_backups(element, backups)
    engine.write_text(
        f"<clickhouse><users_config>{escape(str(users))}</users_config>"
        f"{ElementTree.tostring(element, encoding='unicode')}{allowed}</clickhouse>\n"
    )
    return engine
