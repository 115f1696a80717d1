"""Everything that one run was told: settings with their origins, the config file, the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.command import config_file, credentials, layers, limits, pools, tls
from services.command.data_folder import DataFolder

if TYPE_CHECKING:
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
        return tls.parse(self.file, self.pools())

    def limits(self) -> Limits:
        """The limits on what one miner may cost. Raises Mistake where one cannot stand."""
        return limits.parse(self.file)


def load(config: Path = DEFAULT_CONFIG, data: Path = DEFAULT_DATA, *, need_config: bool = False) -> Configuration:
    """Read every source once. Raises Mistake; a config file that is missing is one only where it is needed."""
    file = config_file.read(config) if need_config else config_file.read_if_there(config)
    folder = DataFolder(data)
    return Configuration(layers.load(file.layer, credentials.layer(folder.secrets)), file, folder)
