"""Everything that one run was told: settings with their origins, the config file, the data folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.command import config_file, credentials, layers, limits, pools, tls
from services.command.data_folder import DataFolder
from services.command.mistake import Problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.command.settings import Settings
    from services.proxy.options import Limits, TlsOptions

DEFAULT_CONFIG = Path("config/config.toml")
DEFAULT_DATA = Path("data")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a subcommand works from; `services.command.options` turns it into each room's options."""

    loaded: layers.Loaded
    file: config_file.ConfigFile
    data: DataFolder

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.loaded.settings

    def pools(self) -> tuple[pools.Pool, ...]:
        """The pools of the config file. Raises Mistake where one cannot stand."""
        return pools.parse(self.file, self.settings)

    def tls(self) -> TlsOptions | None:
        """The certificate of the TLS listeners. Raises Mistake where it cannot serve."""
        return tls.parse(self.file, pools.listeners(self.file, self.settings))

    def limits(self) -> Limits:
        """The limits on what one miner may cost. Raises Mistake where one cannot stand."""
        return limits.parse(self.file)


def load(config: Path = DEFAULT_CONFIG, data: Path = DEFAULT_DATA, *, need_config: bool = False) -> Configuration:
    """Read every source once. Raises Mistake with everything that cannot stand.

    With `need_config` the config file must be there, and its pools and limits are looked into as well.
    """
    problems = Problems()
    file = None
    with problems.gathered():
        file = config_file.read_gathering(problems, config) if need_config or config.exists() else None
    found = read_rest(problems, file or config_file.empty(config), DataFolder(data))
    if need_config and file is not None:
        examine_file(problems, found)
    problems.tell()
    return found


def read_rest(
    problems: Problems, file: config_file.ConfigFile, data: DataFolder, made: Mapping[str, str] | None = None
) -> Configuration:
    """Everything beside the config file; what cannot stand is added to `problems`.

    `made` are passwords and tokens as if they lay in the data folder already.
    """
    kept = layers.Layer(str(data.secrets), {})
    with problems.gathered():
        kept = credentials.layer(data.secrets)
    kept = replace(kept, values={**kept.values, **(made or {})})
    return Configuration(layers.load_gathering(problems, file.layer, kept), file, data)


def examine_file(problems: Problems, found: Configuration) -> None:
    """Adds what cannot stand in the file's pools, limits and certificate."""
    if found.loaded.is_sound:
        with problems.gathered():
            found.pools()
    else:
        # Among ports that stand in for bad ones, some would clash that do not.
        problems.add(*pools.problems(found.file))
    with problems.gathered():
        found.limits()
    with problems.gathered():
        found.tls()
