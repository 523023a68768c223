"""Addresses that outgoing HTTP may not connect to, in every notation.

Connections are counted twice: by a listener on this machine, and by Python's audit hook for `connect`. The listener's
port is allowed, so only the address can be the reason of a refusal."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.platform import outbound_http
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP, OutboundHTTPError, denial_reason
from tests.conftest import scaled
from tests.local_servers import HANG_S, LOOPBACK, Listener, connected_addresses

DENIED_HOSTS = [
    # this machine, in common notations
    *("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "localhost", "LOCALHOST", "[::1]", "[::]"),
    # decimal, hexadecimal, octal, short, and mixed
    *("2130706433", "0x7f000001", "0x7F.0.0.1", "0x7f.0x0.0x0.0x1", "017700000001", "0177.0.0.1", "127.1", "127.0.1"),
    *("0", "1", "00000177.0.0.1", "127.0.0.01", "127.0.0.0x1", "4294967296", "256.0.0.1", "127.0.0.1.1"),
    # trailing dots, empty parts
    *("127.0.0.1.", "localhost.", "127.0.0.1..", ".127.0.0.1", "127..0.1"),
    # IPv4 within IPv6: mapped, compatible, NAT64, 6to4, Teredo, ISATAP
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]"),
    *("[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]"),
    *("[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::1]", "[fe80::5efe:127.0.0.1]"),
    # zone ids
    *("[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "[2606:4700:4700::1111%25lo]"),
    # private, link-local, metadata, carriers, documentation, benchmarks, multicast, broadcast
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "2852039166", "0xa9fea9fe"),
    *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
    *("198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[fec0::1]", "[ff02::1]", "[100::1]"),
    *("[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[2001:10::1]"),
    # letters, digits and dots that only look like it; escapes
    *("１２７.0.0.1", "127。0。0。1", "127．0．0．1", "①②⑦.⓪.⓪.①", "١٢٧.0.0.1", "ⓛocalhost", "loc\u00adalhost"),  # noqa: RUF001
    *("%31%32%37.0.0.1", "127.0.0.1%00.example.org", "127.0.0.1%2eexample.org", "localhost%23.example.org"),
    *("[127.0.0.1]", "[::1", "::1", "[]", "", "[v1.127]", "-", "a" * 300),
]
DENIED_URLS = [
    # tricks around the host; `{port}` is the port of the listener
    "http://example.org@127.0.0.1:{port}/",
    "http://example.org:80@127.0.0.1:{port}/",
    "http://@127.0.0.1:{port}/",
    "http://:@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.org/",
    "http://example.org\\@127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    "http:/127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\r\nHost: example.org",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1:{port}#@example.org/",
    "http://127.0.0.1:{port}?@example.org/",
    "http://127.0.0.1:+{port}/",
    "http://127.0.0.1:0{port}/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:-1/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_",
    "unix:///run/docker.sock",
    "ws://127.0.0.1:{port}/",
    "http+unix://%2Frun%2Fdocker.sock/",
    "javascript:alert(1)",
    "http://127.0.0.1:{port}/" + "a" * 3000,
]


def denied_urls() -> Iterator[str]:
    for host in DENIED_HOSTS:
        yield f"http://{host}:{{port}}/"
        yield f"https://{host}/"
    yield from DENIED_URLS


async def test_denied_address_is_never_connected_to(listener: Listener) -> None:
    assert len(DENIED_HOSTS) > 40
    connected_addresses.clear()
    async with OutboundHTTP() as out:
        for form in denied_urls():
            url = form.replace("{port}", str(listener.port))
            with pytest.raises(AddressNotAllowed):
                await out.post(url, b"{}", {}, HANG_S)
    assert listener.count == 0
    assert [one for one in connected_addresses if one[1] in {listener.port, 80, 443}] == []


async def test_denied_notations_reach_this_machine_without_the_check(listener: Listener) -> None:
    """Proof that the test above can fail: the system's resolver accepts these notations for this machine."""
    loop = asyncio.get_running_loop()
    for host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "0"):
        with socket.socket() as one:
            one.setblocking(False)
            [(*_, address), *_] = await loop.getaddrinfo(
                host, listener.port, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
            await loop.sock_connect(one, address)
    async with OutboundHTTP(LOOPBACK) as out:
        with pytest.raises(OutboundHTTPError):
            await out.post(f"http://127.0.0.1:{listener.port}/", b"{}", {}, HANG_S)
    async with asyncio.timeout(HANG_S):
        while listener.count < 7:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["2606:4700:4700::1111", "::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["fe80::1%lo"],
    ],
)
async def test_name_with_any_denied_address_is_never_connected_to(
    listener: Listener, fake_dns: dict[str, list[list[str]]], addresses: list[str]
) -> None:
    fake_dns["hooks.example.org"] = [addresses]
    connected_addresses.clear()
    async with OutboundHTTP() as out:
        with pytest.raises(AddressNotAllowed) as refused:
            await out.post(f"http://hooks.example.org:{listener.port}/", b"{}", {}, HANG_S)
    assert addresses[-1] not in str(refused.value), "the error does not reveal the addresses of a name"
    assert listener.count == 0
    assert [one for one in connected_addresses if one[1] == listener.port] == []


async def test_denied_address_is_rejected_even_without_the_resolver_check(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket has the last check: with a resolver that checks nothing, no connection is made."""

    async def unchecked(_: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        response = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0}
        return [response | {"flags": family and socket.AI_NUMERICHOST}]

    monkeypatch.setattr(outbound_http._Resolver, "resolve", unchecked)
    async with OutboundHTTP() as out:
        with pytest.raises(AddressNotAllowed):
            await out.post(f"http://hooks.example.org:{listener.port}/", b"{}", {}, HANG_S)
    assert listener.count == 0


PRIVATE = [
    IPv4Network(one) for one in ("127.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12")
]
private = st.one_of(*(st.ip_addresses(network=network) for network in PRIVATE)).map(lambda one: IPv4Address(str(one)))
EMBEDDINGS: dict[str, Callable[[int], int]] = {
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "compatible": lambda v4: v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: int(IPv6Address("64:ff9b::")) | v4,
    "local NAT64": lambda v4: int(IPv6Address("64:ff9b:1::")) | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80,
    "Teredo": lambda v4: 0x20010000 << 96 | (v4 ^ 0xFFFFFFFF),
    "Teredo server": lambda v4: 0x20010000 << 96 | v4 << 64,
}
MAX_EXAMPLES = scaled(500, 20_000)


@settings(max_examples=MAX_EXAMPLES)
@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_allowed_address_is_global_and_not_special(address: IPv4Address | IPv6Address) -> None:
    if denial_reason(address, 443, ()) is None:
        assert address.is_global
        for kind in ("multicast", "reserved", "private", "loopback", "link_local", "unspecified"):
            assert not getattr(address, f"is_{kind}")
    assert denial_reason(address, 22, [ip_network(address)]) is None


@settings(max_examples=MAX_EXAMPLES)
@given(st.ip_addresses(v=4), st.sampled_from(sorted(EMBEDDINGS)))
def test_ipv4_embedded_in_ipv6_is_denied(address: IPv4Address, embedding: str) -> None:
    assert denial_reason(IPv6Address(EMBEDDINGS[embedding](int(address))), 443, ()) is not None


@settings(max_examples=MAX_EXAMPLES)
@given(private, st.data())
def test_private_address_is_denied_in_every_notation(address: IPv4Address, data: st.DataObject) -> None:
    value = int(address)
    parts = data.draw(st.integers(1, 4))
    numbers = [value >> 24, value >> 16 & 0xFF, value >> 8 & 0xFF, value & 0xFF][: parts - 1]
    numbers.append(value & (1 << 8 * (5 - parts)) - 1)
    writings: list[Callable[[int], str]] = [
        str,
        hex,
        lambda n: f"0{n:o}",
        lambda n: f"{n:04d}",
        lambda n: hex(n).upper(),
    ]
    host = ".".join(data.draw(st.sampled_from(writings))(number) for number in numbers) + data.draw(
        st.sampled_from(["", "."])
    )
    with pytest.raises(AddressNotAllowed):
        OutboundHTTP().check(f"http://{host}/")


@settings(max_examples=MAX_EXAMPLES)
@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://["]))
def test_random_text_is_rejected_or_a_public_address_or_a_name(text: str, before: str) -> None:
    try:
        host = OutboundHTTP().check(before + text).raw_host
    except AddressNotAllowed:
        return
    try:
        assert denial_reason(ip_address(host or ""), 80, ()) is None
    except ValueError:
        assert host
        assert outbound_http.HOST_NAME.fullmatch(host.lower())


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1"],
)
def test_public_address_is_allowed(address: str) -> None:
    assert denial_reason(ip_address(address), 443, ()) is None
    assert denial_reason(ip_address(address), 8443, ()) is not None
