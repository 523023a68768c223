"""Outgoing HTTP: what may not be called is not connected to, whatever it is written like; what may be is bounded.

Connections are counted twice: by a socket that listens on this machine, and by Python's own audit of every `connect`.
The listener's port counts as one that may be called, so that the address alone is what is refused.
"""

import asyncio
import gzip
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.platform import outbound_http
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP, OutboundHTTPError, denial_reason
from hub.settings import Settings
from tests.conftest import scaled

LOCAL = ["127.0.0.1/32"]
PROMPT_S = 8.0  # a generous bound for what must not hang

dialled: list[tuple[str, int]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple):
        dialled.append((str(args[1][0]), int(args[1][1])))


sys.addaudithook(_audit)


class Listener:
    """Accepts, counts, and says nothing."""

    def __init__(self) -> None:
        self.count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._sockets = [self._socket]
        if socket.has_ipv6:
            with socket.socket(socket.AF_INET6) as probe:
                try:
                    probe.bind(("::1", 0))
                except OSError:
                    return
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))

    async def __aenter__(self) -> "Listener":
        self._servers = [await asyncio.start_server(self._accept, sock=each) for each in self._sockets]
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    async def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        writer.close()


def certificate(name: str, folder: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    plain = serialization.NoEncryption()
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    async with Listener() as one:
        monkeypatch.setattr(outbound_http, "ALLOWED_PORTS", outbound_http.ALLOWED_PORTS | {one.port})
        yield one


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What names resolve to, instead of the DNS: the answers in turn, the last one for ever."""
    answers: dict[str, list[list[str]]] = {}

    def look_up(host: str, *_: object) -> list[tuple[int, str]]:
        known = answers.get(host)
        if not known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = known.pop(0) if len(known) > 1 else known[0]
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in found]

    monkeypatch.setattr(outbound_http, "resolve_name", look_up)
    return answers


FORBIDDEN_HOSTS = [
    # this machine, as people write it
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
FORBIDDEN_URLS = [
    # tricks around the host; `{port}` is the listener's
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


def forbidden() -> Iterator[str]:
    for host in FORBIDDEN_HOSTS:
        yield f"http://{host}:{{port}}/"
        yield f"https://{host}/"
    yield from FORBIDDEN_URLS


async def test_forbidden_address_is_never_connected_to(listener: Listener) -> None:
    assert len(FORBIDDEN_HOSTS) > 40
    dialled.clear()
    async with OutboundHTTP() as out:
        for form in forbidden():
            url = form.replace("{port}", str(listener.port))
            with pytest.raises(AddressNotAllowed):
                await out.post(url, b"{}", {}, PROMPT_S)
    assert listener.count == 0
    assert [one for one in dialled if one[1] in {listener.port, 80, 443}] == []


async def test_forbidden_forms_do_reach_this_machine_when_nobody_checks(listener: Listener) -> None:
    """That the test above proves something: the system's resolver takes these for this machine."""
    loop = asyncio.get_running_loop()
    for host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "0"):
        with socket.socket() as one:
            one.setblocking(False)
            [(*_, address), *_] = await loop.getaddrinfo(
                host, listener.port, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
            await loop.sock_connect(one, address)
    async with OutboundHTTP(LOCAL) as out:
        with pytest.raises(OutboundHTTPError):
            await out.post(f"http://127.0.0.1:{listener.port}/", b"{}", {}, PROMPT_S)
    async with asyncio.timeout(PROMPT_S):
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
async def test_name_with_any_forbidden_address_is_never_connected_to(
    listener: Listener, names: dict[str, list[list[str]]], addresses: list[str]
) -> None:
    names["hooks.example.org"] = [addresses]
    dialled.clear()
    async with OutboundHTTP() as out:
        with pytest.raises(AddressNotAllowed) as refused:
            await out.post(f"http://hooks.example.org:{listener.port}/", b"{}", {}, PROMPT_S)
    assert addresses[-1] not in str(refused.value), "who asks learns nothing of what a name resolves to in here"
    assert listener.count == 0
    assert [one for one in dialled if one[1] == listener.port] == []


async def test_forbidden_address_is_refused_even_past_the_resolver(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last word is at the socket: with a resolver that checks nothing, still nothing is connected to."""

    async def unchecked(_: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        answer = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0}
        return [answer | {"flags": family and socket.AI_NUMERICHOST}]

    monkeypatch.setattr(outbound_http._Resolver, "resolve", unchecked)
    async with OutboundHTTP() as out:
        with pytest.raises(AddressNotAllowed):
            await out.post(f"http://hooks.example.org:{listener.port}/", b"{}", {}, PROMPT_S)
    assert listener.count == 0


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server for any request; its port."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_name_that_resolves_differently_the_second_time_is_refused_then(
    names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One resolution serves the check and the connection, so that there is no second one in between."""
    monkeypatch.setattr(outbound_http, "DNS_CACHE_S", 0)
    names["turns.example.org"] = [["127.0.0.1"], ["127.0.0.2"]]

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(headers={"connection": "close"})

    async with serving(handler, "0.0.0.0") as port, OutboundHTTP(LOCAL) as out:
        url = f"http://turns.example.org:{port}/"
        dialled.clear()
        assert (await out.post(url, b"{}", {}, PROMPT_S)).status == 200
        with pytest.raises(AddressNotAllowed):
            await out.post(url, b"{}", {}, PROMPT_S)
    assert [one for one in dialled if one[1] == port] == [("127.0.0.1", port)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_an_answer_and_never_followed(listener: Listener, status: int) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, headers={"location": request.query["to"]})

    async with serving(handler) as port, OutboundHTTP(LOCAL) as out:
        dialled.clear()
        for to in ("http://169.254.169.254/latest/meta-data/", f"http://127.0.0.1:{listener.port}/"):
            answer = await out.post(f"http://127.0.0.1:{port}/?to={to}", b"{}", {}, PROMPT_S)
            assert (answer.status, answer.headers["location"]) == (status, to)
    assert listener.count == 0
    assert {one[1] for one in dialled} & {80, 443, listener.port} == set()


async def test_post_sends_what_it_is_given_and_keeps_connections(names: dict[str, list[list[str]]]) -> None:
    names["hooks.example.org"] = [["127.0.0.1"]]
    got: list[tuple[str, str, Any, bytes]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        got.append((request.method, request.path_qs, request.headers.copy(), await request.read()))
        return web.Response(status=202, body=b"fine", headers={"X-Answer": "Yes"})

    async with serving(handler) as port, OutboundHTTP(LOCAL) as out:
        dialled.clear()
        for _ in range(3):
            url = f"http://hooks.example.org:{port}/a%2Fb?c=%20d"
            answer = await out.post(url, b'{"a": 1}', {"x-given": "1", "content-type": "application/json"}, PROMPT_S)
    assert (answer.status, answer.body, answer.headers["x-answer"]) == (202, b"fine", "Yes")
    method, path, headers, body = got[0]
    assert (method, path, body) == ("POST", "/a%2Fb?c=%20d", b'{"a": 1}')
    assert (headers["Host"], headers["x-given"]) == (f"hooks.example.org:{port}", "1")
    assert "Cookie" not in headers
    assert [one for one in dialled if one[1] == port] == [("127.0.0.1", port)]


async def test_certificate_is_checked_against_the_name(
    names: dict[str, list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the connection goes to an address, TLS is with the name."""
    names["hooks.example.org"] = names["else.example.org"] = [["127.0.0.1"]]
    paths, asked = certificate("hooks.example.org", tmp_path), []
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(*paths)
    server_side.sni_callback = lambda _, name, __: asked.append(name)

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response()

    async with serving(handler, tls=server_side) as port:
        async with OutboundHTTP(LOCAL) as out:
            with pytest.raises(OutboundHTTPError, match="certificate"):  # of an authority that nobody knows
                await out.post(f"https://hooks.example.org:{port}/", b"{}", {}, PROMPT_S)
        trusting = ssl.create_default_context(cafile=str(paths[0]))
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
        async with OutboundHTTP(LOCAL) as out:
            assert (await out.post(f"https://hooks.example.org:{port}/", b"{}", {}, PROMPT_S)).status == 200
            for host in ("else.example.org", "127.0.0.1"):
                with pytest.raises(OutboundHTTPError, match="certificate"):
                    await out.post(f"https://{host}:{port}/", b"{}", {}, PROMPT_S)
    assert asked[:3] == ["hooks.example.org", "hooks.example.org", "else.example.org"]


@pytest.mark.parametrize("words", ["10.0.0.1/8", "example.org", "10.0.0.0/8 nothing"])
def test_allowed_networks_that_are_none_are_refused_at_the_start(words: str) -> None:
    with pytest.raises(ValueError, match="egress_allow"):
        Settings(jwt_secret=("s" * 32,), egress_allow=words)


async def test_answer_is_bounded_in_size() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/bomb":
            return web.Response(body=gzip.compress(b"0" * 50_000_000), headers={"content-encoding": "gzip"})
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"0" * 65_536)
        except OSError:
            pass
        return response

    async with serving(handler) as port, OutboundHTTP(LOCAL) as out:
        for path in ("bomb", "endless"):
            answer = await out.post(f"http://127.0.0.1:{port}/{path}", b"{}", {}, PROMPT_S)
            assert answer.status == 200
            assert 0 < len(answer.body) <= outbound_http.RESPONSE_MAX_BYTES
            assert answer.body[:2] == (b"\x1f\x8b" if path == "bomb" else b"00"), "nothing is unpacked"


async def test_silence_dripping_and_rubbish_end_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if b"/rubbish" in line:
                writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
            elif b"/drip" in line:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                while True:
                    writer.write(b"0")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            elif b"/headers" in line:
                writer.write(b"HTTP/1.1 200 OK\r\nx: " + b"0" * 1_000_000)
            elif b"/cut" in line:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0")
            else:
                await reader.read()  # until the caller gives up
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    released = threading.Event()
    monkeypatch.setattr(outbound_http, "resolve_name", lambda *_: released.wait(PROMPT_S) and [])
    async with server, OutboundHTTP(LOCAL) as out:
        began = time.monotonic()
        for path in ("silent", "drip", "rubbish", "headers", "cut"):
            with pytest.raises(OutboundHTTPError) as failed:
                await out.post(f"http://127.0.0.1:{port}/{path}", b"{}", {}, 0.4)
            assert not isinstance(failed.value, AddressNotAllowed)
            assert str(port) not in str(failed.value), "addresses may hold secrets"
        with pytest.raises(OutboundHTTPError):  # a name server that does not answer
            await out.post("http://slow.example.org/", b"{}", {}, 0.4)
        with pytest.raises(OutboundHTTPError, match=r"^Connection refused$"):  # nobody listens
            await out.post("http://127.0.0.1:1/", b"{}", {}, PROMPT_S)
        assert time.monotonic() - began < PROMPT_S
        released.set()


async def test_ports_are_80_and_443_and_any_of_what_is_allowed(names: dict[str, list[list[str]]]) -> None:
    names["inner.example.org"] = [["127.0.0.1"]]
    names["outer.example.org"] = [["8.8.8.8"]]
    async with OutboundHTTP() as out:
        for url in ("http://8.8.8.8:22/", "http://hooks.example.org:8080/", "https://[2606:4700:4700::1111]:6379/"):
            with pytest.raises(AddressNotAllowed, match="HUB_EGRESS_ALLOW"):
                await out.post(url, b"{}", {}, PROMPT_S)
        for url in ("https://hooks.example.org/x", "http://hooks.example.org:443", "https://8.8.8.8"):
            out.check(url)
        for url in ("https://name@8.8.8.8/", "https://name:word@hooks.example.org/", "https://@hooks.example.org/"):
            with pytest.raises(AddressNotAllowed, match="user"):
                out.check(url)
    async with OutboundHTTP(LOCAL) as out:
        dialled.clear()
        with pytest.raises(AddressNotAllowed):
            await out.post("http://outer.example.org:6379/", b"{}", {}, PROMPT_S)
        assert not dialled
        with pytest.raises(OutboundHTTPError) as failed:
            await out.post("http://inner.example.org:1/", b"{}", {}, PROMPT_S)
        assert not isinstance(failed.value, AddressNotAllowed)


# ---------------------------------------------------------------- properties

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
MANY = scaled(500, 20_000)


@settings(max_examples=MANY)
@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_what_may_be_called_is_global_and_nothing_special(address: IPv4Address | IPv6Address) -> None:
    if denial_reason(address, 443, ()) is None:
        assert address.is_global
        for kind in ("multicast", "reserved", "private", "loopback", "link_local", "unspecified"):
            assert not getattr(address, f"is_{kind}")
    assert denial_reason(address, 22, [ip_network(address)]) is None


@settings(max_examples=MANY)
@given(st.ip_addresses(v=4), st.sampled_from(sorted(EMBEDDINGS)))
def test_ipv4_within_ipv6_is_never_called(address: IPv4Address, embedding: str) -> None:
    assert denial_reason(IPv6Address(EMBEDDINGS[embedding](int(address))), 443, ()) is not None


@settings(max_examples=MANY)
@given(private, st.data())
def test_private_address_is_refused_however_its_parts_are_written(address: IPv4Address, data: st.DataObject) -> None:
    value = int(address)
    parts = data.draw(st.integers(1, 4))
    numbers = [value >> 24, value >> 16 & 0xFF, value >> 8 & 0xFF, value & 0xFF][: parts - 1]
    numbers.append(value & (1 << 8 * (5 - parts)) - 1)
    writings = [str, hex, lambda n: f"0{n:o}", lambda n: f"{n:04d}", lambda n: hex(n).upper()]
    host = ".".join(data.draw(st.sampled_from(writings))(number) for number in numbers) + data.draw(
        st.sampled_from(["", "."])
    )
    with pytest.raises(AddressNotAllowed):
        OutboundHTTP().check(f"http://{host}/")


@settings(max_examples=MANY)
@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://["]))
def test_any_text_is_refused_or_a_public_address_or_a_name(text: str, before: str) -> None:
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
def test_public_addresses_may_be_called(address: str) -> None:
    assert denial_reason(ip_address(address), 443, ()) is None
    assert denial_reason(ip_address(address), 8443, ()) is not None
