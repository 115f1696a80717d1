"""The PROXY protocol's header, with which a load balancer tells whose connection it hands on.

Source: HAProxy, "The PROXY protocol", versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from services.stratum.reject import ProtocolError

SIGNATURE_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_SIGNATURE_V1 = b"PROXY "
HEADER_BEGINNINGS = (_SIGNATURE_V1, SIGNATURE_V2)
_MAX_V1_BYTES = 107
_FIXED_V2_BYTES = 16
MAX_HEADER_BYTES = 4096
"""Version 2 could say 64 KiB; what comes beyond the addresses is only passed over, and balancers add little."""
_LOCAL, _PROXY = 0x20, 0x21
# Address family and transport: where the ports stand, and how long the addresses are.
_ADDRESSES_V2: dict[int, tuple[str, type[IPv4Address | IPv6Address]]] = {
    0x11: ("!4s4sHH", IPv4Address),
    0x21: ("!16s16sHH", IPv6Address),
}
_WITHOUT_ADDRESS_V2 = (0x00, 0x31, 0x32)


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """``source`` is the real peer (address, port), None where the balancer speaks for itself (LOCAL, UNKNOWN).

    ``size`` is how many bytes the header took.
    """

    source: tuple[str, int] | None
    size: int


def may_start_header(data: bytes) -> bool:
    """Whether a connection that starts so may have a header, as far as its bytes say."""
    return SIGNATURE_V2.startswith(data[: len(SIGNATURE_V2)]) or _SIGNATURE_V1.startswith(data[: len(_SIGNATURE_V1)])


def read_header(data: bytes) -> ProxyHeader | None:
    """The header that a connection starts with, None while it is not whole.

    Raises ProtocolError for anything else. At most MAX_HEADER_BYTES are ever needed.
    """
    if SIGNATURE_V2.startswith(data[: len(SIGNATURE_V2)]):
        return _read_v2(data)
    if _SIGNATURE_V1.startswith(data[: len(_SIGNATURE_V1)]):
        return _read_v1(data)
    raise ProtocolError("no PROXY protocol header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _MAX_V1_BYTES)
    if end < 0:
        if len(data) >= _MAX_V1_BYTES:
            raise ProtocolError("a PROXY protocol header of version 1 that does not end")
        return None
    fields = data[:end].decode("ascii", "replace").split(" ")
    size = end + 2
    if fields[1] == "UNKNOWN":
        return ProxyHeader(None, size)
    if len(fields) != 6 or fields[1] not in ("TCP4", "TCP6"):
        raise ProtocolError("a PROXY protocol header of version 1 without addresses")
    family = IPv4Address if fields[1] == "TCP4" else IPv6Address
    try:
        source, destination = ip_address(fields[2]), ip_address(fields[3])
    except ValueError:
        raise ProtocolError("a PROXY protocol header with an address that is none") from None
    if not isinstance(source, family) or not isinstance(destination, family):
        raise ProtocolError("a PROXY protocol header with an address of the other family")
    _port(fields[5])
    return ProxyHeader((_plain(source), _port(fields[4])), size)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5) or int(text) > 65535:
        raise ProtocolError("a PROXY protocol header with a port that is none")
    return int(text)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED_V2_BYTES:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(SIGNATURE_V2))
    size = _FIXED_V2_BYTES + length
    if command not in (_LOCAL, _PROXY):
        raise ProtocolError("a PROXY protocol header of another version or command")
    if size > MAX_HEADER_BYTES:
        raise ProtocolError(f"a PROXY protocol header of more than {MAX_HEADER_BYTES} bytes")
    if len(data) < size:
        return None
    if command == _LOCAL or family in _WITHOUT_ADDRESS_V2:
        return ProxyHeader(None, size)
    if family not in _ADDRESSES_V2:
        raise ProtocolError("a PROXY protocol header for something else than TCP")
    layout, address = _ADDRESSES_V2[family]
    if length < struct.calcsize(layout):
        raise ProtocolError("a PROXY protocol header too short for its addresses")
    source, _, port, _ = struct.unpack_from(layout, data, _FIXED_V2_BYTES)
    return ProxyHeader((_plain(address(source)), port), size)


def _plain(address: IPv4Address | IPv6Address) -> str:
    """An IPv4 address that is written as an IPv6 one is an IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
