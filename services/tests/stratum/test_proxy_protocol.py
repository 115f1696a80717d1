from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum.proxy_protocol import MAX_HEADER_BYTES, SIGNATURE_V2, ProxyHeader, read_header
from services.stratum.reject import ProtocolError

PORTS = st.integers(0, 65535)
PAIRS = st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)) | st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
Address = IPv4Address | IPv6Address


def v1(pair: tuple[Address, Address], port: int) -> bytes:
    return f"PROXY TCP{pair[0].version} {pair[0]} {pair[1]} {port} 3331\r\n".encode()


def v2(pair: tuple[Address, Address], port: int, more: bytes = b"", command: int = 0x21) -> bytes:
    family = 0x11 if pair[0].version == 4 else 0x21
    body = pair[0].packed + pair[1].packed + struct.pack("!HH", port, 3331) + more
    return SIGNATURE_V2 + struct.pack("!BBH", command, family, len(body)) + body


@given(PAIRS, PORTS, st.binary(max_size=100), st.binary(max_size=50), st.booleans())
def test_both_versions_tell_the_source_however_the_bytes_are_split(
    pair: tuple[Address, Address], port: int, more: bytes, rest: bytes, second: bool
) -> None:
    header = v2(pair, port, more) if second else v1(pair, port)
    assert all(read_header(header[:size]) is None for size in range(len(header)))
    found = read_header(header + rest)
    assert found is not None
    assert found.size == len(header)
    assert found.source is not None
    mapped = pair[0].ipv4_mapped if isinstance(pair[0], IPv6Address) else None
    assert (ip_address(found.source[0]), found.source[1]) == (mapped or pair[0], port)


@pytest.mark.parametrize("second", [False, True])
def test_an_ipv4_address_that_is_written_as_an_ipv6_one(second: bool) -> None:
    pair = (IPv6Address("::ffff:192.0.2.7"), IPv6Address("::1"))
    found = read_header(v2(pair, 7) if second else v1(pair, 7))
    assert found is not None
    assert found.source == ("192.0.2.7", 7)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        SIGNATURE_V2 + b"\x20\x00\x00\x00",
        SIGNATURE_V2 + b"\x20\x11\x00\x0c" + bytes(12),
        SIGNATURE_V2 + b"\x21\x00\x00\x03abc",
        SIGNATURE_V2 + b"\x21\x31\x00\xd8" + bytes(216),
    ],
)
def test_a_balancer_that_speaks_for_itself(header: bytes) -> None:
    assert read_header(header + b"{}\n") == ProxyHeader(None, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":1}\n',
        b"PROXX",
        b"PROXY \r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 a.b.c.d 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 \xff.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY " + b"x" * 101,
        SIGNATURE_V2 + b"\x11\x11\x00\x0c" + bytes(12),
        SIGNATURE_V2 + b"\x22\x11\x00\x0c" + bytes(12),
        SIGNATURE_V2 + b"\x21\x12\x00\x0c" + bytes(12),
        SIGNATURE_V2 + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE_V2 + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_header(data)


STARTS = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE_V2, SIGNATURE_V2 + b"\x21\x11\x00\x0c"])


@given(STARTS, st.binary(max_size=300))
def test_any_bytes_are_a_header_or_refused_and_never_wait_for_too_many(start: bytes, rest: bytes) -> None:
    data = start + rest
    try:
        found = read_header(data)
    except ProtocolError:
        return
    if found is None:
        assert len(data) < MAX_HEADER_BYTES
    else:
        assert found.size <= min(len(data), MAX_HEADER_BYTES)
        assert read_header(data[: found.size]) == found


def test_a_port_that_is_no_ascii_digit() -> None:
    with pytest.raises(ProtocolError):
        read_header("PROXY TCP4 1.2.3.4 5.6.7.8 ² 2\r\n".encode())
