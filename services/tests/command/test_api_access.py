"""Names of validators, revoked tokens, and files that change."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from services.command import api_access, configuration, options
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config file's path in the working directory, without one there."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_TOKENS", "REWARDS_POST_TOKEN", "API_JWT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config.toml"


def write(path: Path, text: str) -> None:
    """As an editor does: another file under the same name."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    os.replace(beside, path)


def test_aliases_name_tokens_of_the_environment_and_of_dotenv(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = '[validators]\n"Validator A" = "VALIDATOR_A"\n"The operator" = "REWARDS_POST_TOKEN"\nB = "TOKENS_OF_B"\n'
    (config.parent / "validator_access.toml").write_text(names)
    (config.parent / ".env").write_text("TOKENS_OF_B=token-b1, token-b2\nAPI_TOKENS=token-a,token-c\n")
    monkeypatch.setenv("VALIDATOR_A", "token-a")
    monkeypatch.setenv("REWARDS_POST_TOKEN", "token-admin")
    chosen = options.api(configuration.load(config))
    assert chosen.token_names == {
        "token-a": "Validator A",
        "token-admin": "The operator",
        "token-b1": "B",
        "token-b2": "B",
    }
    assert set(chosen.read_tokens) == {"token-a", "token-b1", "token-b2", "token-c"}
    assert chosen.admin_tokens == ("token-admin",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[validators", "is not valid TOML"),
        ("[validator]\n", r"holds one table, \[validators\]"),
        ("validators = 3\n", r"holds one table, \[validators\]"),
        ("[validators]\nA = 3\n", "validators.A: must be the name of an environment variable"),
        ('[validators]\nA = "not a name"\n', "validators.A: must be the name of an environment variable"),
        ('[validators]\n"a\\u0007b" = "NAME"\n', "the alias must be printable"),
        ('[validators]\nA = "NOBODY_SETS_THIS"\n', "validators.A: NOBODY_SETS_THIS is not set"),
    ],
)
def test_what_cannot_stand_is_told_with_its_place(config: Path, text: str, problem: str) -> None:
    path = config.parent / "validator_access.toml"
    path.write_text(text)
    with pytest.raises(Mistake, match=problem) as mistake:
        api_access.token_names(config)
    assert str(path) in str(mistake.value)


def test_revoked_tokens_stand_one_a_line(config: Path) -> None:
    assert api_access.revoked(config) == frozenset()
    (config.parent / "revoked_tokens.txt").write_text("# stolen\n8f2c  # in May\n\n  77aa\n")
    assert api_access.revoked(config) == {"8f2c", "77aa"}


def test_a_change_of_any_file_gives_options_anew(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    dotenv = config.parent / ".env"
    dotenv.write_text("API_TOKENS=first\n")
    watch = api_access.TokenWatch(config, config.parent / "data")
    assert watch() is None
    write(dotenv, "API_TOKENS=first,second\n")
    changed = watch()
    assert changed is not None
    assert changed.read_tokens == ("first", "second")
    assert watch() is None
    write(config.parent / "revoked_tokens.txt", "8f2c\n")
    changed = watch()
    assert changed is not None
    assert changed.revoked == {"8f2c"}
    # What cannot stand changes nothing, and is looked at again once it is mended.
    write(dotenv, "API_TOKENS=\n")
    assert watch() is None
    write(dotenv, "API_TOKENS=third\n")
    changed = watch()
    assert changed is not None
    assert changed.read_tokens == ("third",)
    secrets = config.parent / "data" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "rewards_post_token").write_text("made\n")
    changed = watch()
    assert changed is not None
    assert changed.admin_tokens == ("made",)


def test_a_public_key_that_is_none_is_told(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_JWT_PUBLIC_KEY", str(config.parent / "none.pem"))
    with pytest.raises(Mistake, match="API_JWT_PUBLIC_KEY"):
        options.api(configuration.load(config))
    (config.parent / "none.pem").write_text("no key")
    with pytest.raises(Mistake, match="API_JWT_PUBLIC_KEY names a file without an Ed25519 public key"):
        options.api(configuration.load(config))
