"""The address that an output's script pays, as people write it: Bitcoin's main network.

Base58Check for P2PKH and P2SH; BIP 173 (bech32) and BIP 350 (bech32m) for witness programs.
"""

from __future__ import annotations

from typing import Final

from services.stratum.header import sha256d

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_NETWORK: Final = "bc"
_CHECK_OF_VERSION_0: Final = 1
_CHECK_FROM_VERSION_1: Final = 0x2BC830A3
_OP_RETURN: Final = 0x6A


def payee(script: bytes) -> str:
    """The address, `OP_RETURN` for an output that only carries data, '' for any other script."""
    if script[:1] == bytes((_OP_RETURN,)):
        return "OP_RETURN"
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return _base58(b"\x00" + script[3:23])
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return _base58(b"\x05" + script[2:22])
    return _witness_address(script)


def _base58(payload: bytes) -> str:
    data = payload + sha256d(payload)[:4]
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _witness_address(script: bytes) -> str:
    """BIP 141: a version (OP_0 to OP_16) and one push of 2 to 40 bytes; 20 or 32 of version 0."""
    if not (4 <= len(script) <= 42 and script[1] == len(script) - 2):
        return ""
    if script[0] == 0 and len(script) in (22, 34):
        version = 0
    elif 0x51 <= script[0] <= 0x60:
        version = script[0] - 0x50
    else:
        return ""
    values = [version, *_groups_of_five(script[2:])]
    check = _CHECK_FROM_VERSION_1 if version else _CHECK_OF_VERSION_0
    expanded = [ord(letter) >> 5 for letter in _NETWORK] + [0] + [ord(letter) & 31 for letter in _NETWORK]
    remainder = _polymod([*expanded, *values, 0, 0, 0, 0, 0, 0]) ^ check
    checksum = [remainder >> 5 * (5 - at) & 31 for at in range(6)]
    return f"{_NETWORK}1" + "".join(_BECH32[value] for value in (*values, *checksum))


def _groups_of_five(data: bytes) -> list[int]:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]


def _polymod(values: list[int]) -> int:
    generator = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(generator):
            if top >> bit & 1:
                remainder ^= term
    return remainder
