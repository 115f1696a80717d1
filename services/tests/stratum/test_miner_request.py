from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum import miner_request
from services.stratum.miner_request import (
    Authorize,
    Submit,
    Subscribe,
    parse_authorize,
    parse_configure,
    parse_difficulty,
    parse_submit,
    parse_subscribe,
    parse_target,
)
from services.stratum.password import PasswordOptions, parse_password
from services.stratum.reject import StratumError
from services.tests.stratum.test_message import json_values

GOOD = ["farm.rig", "j1", "0000abCD", "65a0b0c0", "DEADbeef"]


@given(json_values)
def test_any_parameters_raise_nothing_but_stratum_errors(params: Any) -> None:
    parse_subscribe(params)
    for parse in (parse_authorize, parse_submit, parse_configure, parse_difficulty, parse_target):
        try:
            parse(params)
        except StratumError as error:
            assert error.code == 20


def test_submit() -> None:
    assert parse_submit(GOOD) == Submit("farm.rig", "j1", bytes.fromhex("0000abcd"), 0x65A0B0C0, 0xDEADBEEF, None)
    assert parse_submit([*GOOD, "00002000"]).version_bits == 0x2000
    assert parse_submit([*GOOD, "2000"]).version_bits == 0x2000
    assert parse_submit([*GOOD, None]).version_bits is None


@pytest.mark.parametrize(
    ("position", "value", "named"),
    [
        (0, "", "worker"),
        (0, "a" * 129, "128"),
        (0, "é" * 65, "128"),
        (0, "rig\n", "printable"),
        (0, "\ud800", "printable"),
        (1, 7, "job id"),
        (1, "j" * 129, "job id"),
        (2, "0x00", "extranonce2"),
        (2, "ab cd ", "extranonce2"),
        (3, "65a0b0c", "ntime"),
        (3, "65a0b0c0c0", "ntime"),
        (4, "0xadbeef", "nonce"),
        (4, -1, "nonce"),
        (4, None, "nonce"),
    ],
)
def test_malformed_submits_name_the_field(position: int, value: Any, named: str) -> None:
    params: list[Any] = list(GOOD)
    params[position] = value
    with pytest.raises(StratumError, match=named):
        parse_submit(params)


@pytest.mark.parametrize("bits", ["123456789", "xyz", 5, "-1"])
def test_malformed_version_bits(bits: Any) -> None:
    with pytest.raises(StratumError, match="version bits"):
        parse_submit([*GOOD, bits])


def test_subscribe_takes_what_comes() -> None:
    assert parse_subscribe(None) == parse_subscribe([]) == Subscribe("", "")
    assert parse_subscribe(["cgminer/4.12", None, "host", "3333"]) == Subscribe("cgminer/4.12", "")
    assert parse_subscribe(["a\x00b" * 200, "s" * 999]) == Subscribe(("ab" * 200)[:200], "s" * 128)


def test_authorize_and_its_silence_about_the_password() -> None:
    assert parse_authorize(["rig"]) == Authorize("rig", "")
    assert parse_authorize(["rig", None]) == Authorize("rig", "")
    assert "secret" not in repr(parse_authorize(["rig", "secret"]))


def test_configure() -> None:
    parsed = parse_configure([["version-rolling", 5, "info"], {"version-rolling.mask": "ff"}])
    assert parsed.extensions == ("version-rolling", "info")
    assert parsed.parameters == {"version-rolling.mask": "ff"}
    assert parse_configure([["x"] * 100]).extensions == ("x",) * miner_request.MAX_EXTENSIONS


@pytest.mark.parametrize(("params", "expected"), [([512], 512.0), (0.001, 0.001), (["16.5"], 16.5), ("8", 8.0)])
def test_suggested_difficulty(params: Any, expected: float) -> None:
    assert parse_difficulty(params) == expected


def test_suggested_target() -> None:
    assert parse_target(["00000000ffff" + "0" * 52]) == 1.0
    with pytest.raises(StratumError):
        parse_target(["0" * 64])


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("x;md=10000;", PasswordOptions(minimum=10000)),
        ("d=512,MD=0.5", PasswordOptions(minimum=0.5, fixed=512)),
        ("  md=1 d=2  ", PasswordOptions(minimum=1, fixed=2)),
        ("x", PasswordOptions()),
        ("", PasswordOptions()),
        ("md=1;md=2", PasswordOptions(minimum=2)),
        ("md=abc;d=-5", PasswordOptions(ignored=("md", "d"))),
        ("md=nan,d=inf", PasswordOptions(ignored=("md", "d"))),
        ("md=1e400", PasswordOptions(ignored=("md",))),
        ("md=0", PasswordOptions(ignored=("md",))),
        ("md=18446744073709551616,d=2e19", PasswordOptions(minimum=2.0**64, ignored=("d",))),
        ("fd=5;th=9;id=4", PasswordOptions()),
        ("md=", PasswordOptions(ignored=("md",))),
    ],
)
def test_passwords(password: str, expected: PasswordOptions) -> None:
    assert parse_password(password) == expected


@given(st.text())
def test_any_password(password: str) -> None:
    parse_password(password)
