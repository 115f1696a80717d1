from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.command.config_file import ConfigFile, read
from services.command.layers import Layer, load
from services.command.mistake import Mistake
from services.command.pools import Fallback, Pool, parse
from services.command.settings import Settings

ROOT = Path(__file__).parents[3]
GOOD = {"host": "pool.test", "port": 3333, "user": "wallet.{worker}", "pass": "x"}


def _parse(pools: object) -> tuple[Pool, ...]:
    assert isinstance(pools, dict)
    return parse(ConfigFile(Path("c.toml"), pools, Layer("c.toml", {})), Settings())


def _problems(pools: object) -> tuple[str, ...]:
    with pytest.raises(Mistake) as mistake:
        _parse(pools)
    return mistake.value.problems


def test_the_two_pools_of_the_document() -> None:
    pools = _parse({"normal": GOOD, "high_diff": {**GOOD, "port": 4444, "mode": "dedicated", "tls": False}})
    assert pools == (
        Pool("normal", 3331, "pool.test", 3333, "wallet.{worker}", "x"),
        Pool("high_diff", 3332, "pool.test", 4444, "wallet.{worker}", "x"),
    )
    assert "'x'" not in repr(pools)


def test_a_further_pool_gives_its_own_port() -> None:
    assert _parse({"rental": {**GOOD, "listen": 3340}})[0].listen == 3340
    assert _problems({"rental": GOOD}) == ("c.toml: pools.rental.listen: missing",)


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_key_is_named(key: str) -> None:
    pool = {name: value for name, value in GOOD.items() if name != key}
    assert _problems({"normal": pool}) == (f"c.toml: pools.normal.{key}: missing",)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("hots", "pool.test", "unknown; there are: host,"),
        ("host", "", "must not be empty"),
        ("host", 7, "must be a string"),
        ("host", "stratum+tcp://pool.test", "without stratum+tcp://"),
        ("host", "pool.test:3333", "its port stands in `port`"),
        ("host", "pool test", "alone"),
        ("host", "stratum.pool.com", "still the placeholder 'stratum.pool.com'"),
        ("host", "pool.example.com", "still the placeholder"),
        ("port", "3333", "from 1 to 65535, not '3333'"),
        ("port", 0, "from 1 to 65535, not 0"),
        ("port", True, "from 1 to 65535, not True"),
        ("port", 3333.0, "from 1 to 65535, not 3333.0"),
        ("user", "your_wallet.taohash", "still the placeholder 'your_wallet.taohash'"),
        ("user", "", "must not be empty"),
        ("user", "wallet.{name}", "only {worker} can stand in braces"),
        ("user", "wallet.{worker", "only {worker}"),
        ("user", "two\nlines", "one line"),
        ("user", "w" * 257, "256 bytes at most"),
        ("pass", 1, "must be a string"),
        ("listen", 70000, "from 1 to 65535"),
        ("mode", "solo", '"dedicated" or "shared"'),
        ("tls", "yes", "must be true or false"),
        ("reconnect_hosts", "pool.test", "must be a list of at most 32"),
        ("reconnect_hosts", ["pool.test:3333"], "'pool.test:3333': must be a host name"),
        ("reconnect_hosts", [7], "7: must be a string"),
        ("reconnect_hosts", ["a.*.test"], "only *. at its start"),
        ("reconnect_hosts", [""], "'': must not be empty"),
        ("reconnect_hosts", ["a"] * 33, "at most 32"),
        ("fallbacks", {}, "must be a list"),
        ("fallbacks", [GOOD] * 9, "at most 8"),
        ("vardiff", {}, 'only a pool with mode = "shared"'),
    ],
)
def test_what_cannot_stand_is_named_with_file_key_and_reason(key: str, value: object, reason: str) -> None:
    (problem,) = _problems({"normal": {**GOOD, key: value}})
    assert problem.startswith(f"c.toml: pools.normal.{key}: ")
    assert reason in problem


def test_hosts_to_which_a_pool_may_send_the_proxy() -> None:
    assert _parse({"normal": GOOD})[0].reconnect_hosts == ()
    (pool,) = _parse({"normal": {**GOOD, "reconnect_hosts": ["eu2.pool.test", "*.nodes.pool.test"]}})
    assert pool.reconnect_hosts == ("eu2.pool.test", "*.nodes.pool.test")


OTHER = {**GOOD, "host": "other.test"}


def test_fallbacks_in_their_order() -> None:
    (pool,) = _parse({"normal": {**GOOD, "fallbacks": [OTHER, {**OTHER, "port": 4444, "tls": True}]}})
    assert pool.fallbacks == (
        Fallback("other.test", 3333, "wallet.{worker}", "x"),
        Fallback("other.test", 4444, "wallet.{worker}", "x", tls=True),
    )
    assert "'x'" not in repr(pool)


@pytest.mark.parametrize(
    ("fallback", "problem"),
    [
        ("other.test:3333", "[1]: must be a table with host, port, user, pass"),
        ({**OTHER, "port": 0}, "[1].port: must be a port from 1 to 65535, not 0"),
        ({**OTHER, "listen": 3340}, "[1].listen: unknown; there are: host, port, user, pass, tls"),
        ({**OTHER, "tls": 1}, "[1].tls: must be true or false, not 1"),
        ({"host": "third.test", "port": 1, "user": "w"}, "[1].pass: missing"),
        ({**OTHER, "user": "your_wallet"}, "[1].user: still the placeholder 'your_wallet'; put your wallet"),
        (OTHER, "[1]: the same as one before it"),
        (GOOD, "[1]: the same as one before it"),
    ],
)
def test_a_fallback_that_cannot_stand_is_named(fallback: object, problem: str) -> None:
    told = _problems({"normal": {**GOOD, "fallbacks": [OTHER, fallback]}})[0]
    assert told.startswith(f"c.toml: pools.normal.fallbacks{problem}")


def test_a_password_is_never_quoted() -> None:
    assert "987654" not in str(_problems({"normal": {**GOOD, "pass": 987654}}))


@pytest.mark.parametrize("name", ["", "two words", "ü", "n" * 33, "all"])
def test_a_name_that_cannot_stand(name: str) -> None:
    assert _problems({name: GOOD})[0].startswith(f"c.toml: pools.{name}: ")


def test_two_pools_on_one_port() -> None:
    (problem,) = _problems({"normal": GOOD, "rental": {**GOOD, "listen": 3331}})
    assert problem == "c.toml: pools.rental.listen: port 3331 is that of pools.normal.listen already"


def test_no_pool_at_all() -> None:
    assert "there is no pool" in _problems({})[0]


def test_every_problem_is_told_at_once() -> None:
    assert len(_problems({"normal": {"port": 0}, "high_diff": "x"})) == 5


def test_the_shipped_file_is_refused_for_its_placeholders_alone() -> None:
    file = read(ROOT / "config" / "config.toml")
    with pytest.raises(Mistake) as mistake:
        parse(file, Settings())
    keys = [problem.split(": ")[1] for problem in mistake.value.problems]
    assert keys == ["pools.normal.host", "pools.normal.user", "pools.high_diff.host", "pools.high_diff.user"]


def test_listen_stands_between_environment_and_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.toml"
    tables = "\n".join(f"{key} = {json.dumps(value)}" for key, value in {**GOOD, "listen": 4000}.items())
    config.write_text(f"[pools.normal]\n{tables}\n")
    file = read(config)
    assert parse(file, load(file.layer, dotenv=tmp_path / ".env").settings)[0].listen == 4000
    monkeypatch.setenv("PROXY_PORT", "5000")
    assert parse(file, load(file.layer, dotenv=tmp_path / ".env").settings)[0].listen == 5000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["host", "port", "user", "pass", "listen", "tls", "mode", "fallbacks", "vardiff", "x"])


@given(st.dictionaries(st.text(max_size=10), VALUES | st.dictionaries(KEYS, VALUES, max_size=6), max_size=3))
def test_any_file_is_understood_or_refused(pools: dict[str, object]) -> None:
    try:
        parsed = _parse(pools)
    except Mistake as mistake:
        assert all(problem.startswith("c.toml: pools") for problem in mistake.problems)
    else:
        assert all(1 <= pool.listen <= 65535 and pool.host and pool.user for pool in parsed)
