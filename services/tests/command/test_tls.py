from __future__ import annotations

from pathlib import Path

import pytest

from services.command import configuration
from services.command.mistake import Mistake

FILES = Path(__file__).parents[1] / "proxy" / "certificates"
POOL = """
[pools.normal]
host = "pool.test"
port = 3333
user = "wallet"
pass = "x"
tls_listen = 4331
"""


def load(folder: Path, text: str) -> configuration.Configuration:
    (folder / "config.toml").write_text(text)
    for file in FILES.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return configuration.load(folder / "config.toml", folder / "data")


def test_the_files_are_found_beside_the_config_file(tmp_path: Path) -> None:
    found = load(tmp_path, f'{POOL}[tls]\ncertificate = "first.pem"\nkey = "{tmp_path}/first.key"\n')
    tls = found.tls()
    assert tls is not None
    assert (tls.certificate, tls.key) == (tmp_path / "first.pem", tmp_path / "first.key")
    assert found.pools()[0].tls_listen == 4331


def test_without_tls_nothing_is_needed(tmp_path: Path) -> None:
    assert load(tmp_path, POOL.replace("tls_listen = 4331\n", "")).tls() is None


@pytest.mark.parametrize(
    ("table", "key", "why"),
    [
        ("", "pools.normal.tls_listen", "needs a certificate; add [tls]"),
        ("[tls]\ncertificate = 1\nkey = 'first.key'", "tls.certificate", "must be a file's name in quotes"),
        ("[tls]\ncertificate = 'first.pem'", "tls.key", "must be a file's name"),
        ("[tls]\ncertificate = 'first.pem'\nkey = 'first.key'\nchain = 'x'", "tls.chain", "unknown"),
        (
            "[tls]\ncertificate = 'none.pem'\nkey = 'first.key'",
            "tls.certificate",
            "name a file that this user can read",
        ),
        ("[tls]\ncertificate = 'first.pem'\nkey = 'second.key'", "tls.key", "not the key of"),
    ],
)
def test_what_cannot_serve_is_named_with_file_and_key(tmp_path: Path, table: str, key: str, why: str) -> None:
    found = load(tmp_path, POOL + table)
    with pytest.raises(Mistake, match=why.replace("[", r"\[")) as mistake:
        found.tls()
    assert mistake.value.problems[0].startswith(f"{tmp_path / 'config.toml'}: {key}: ")


def test_a_port_is_given_once(tmp_path: Path) -> None:
    found = load(tmp_path, POOL.replace("4331", "3331"))
    with pytest.raises(Mistake, match="tls_listen: port 3331 is that of pools.normal.listen already"):
        found.pools()
