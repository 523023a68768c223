"""Outgoing HTTP: resolution, redirects, TLS, bounds and ports."""

import asyncio
import gzip
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hub.platform import outbound_http
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP, OutboundHTTPError
from hub.settings import Settings
from tests.local_servers import HANG_S, LOOPBACK, Listener, connected_addresses, create_dns_certificate, serve


async def test_name_that_resolves_to_a_denied_address_later_is_rejected(
    fake_dns: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check and the connection use the same resolution, not a second one."""
    monkeypatch.setattr(outbound_http, "DNS_CACHE_S", 0)
    fake_dns["turns.example.org"] = [["127.0.0.1"], ["127.0.0.2"]]

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(headers={"connection": "close"})

    async with serve(handler, "0.0.0.0") as port, OutboundHTTP(LOOPBACK) as out:
        url = f"http://turns.example.org:{port}/"
        connected_addresses.clear()
        assert (await out.post(url, b"{}", {}, HANG_S)).status == 200
        with pytest.raises(AddressNotAllowed):
            await out.post(url, b"{}", {}, HANG_S)
    assert [one for one in connected_addresses if one[1] == port] == [("127.0.0.1", port)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_returned_and_not_followed(listener: Listener, status: int) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, headers={"location": request.query["to"]})

    async with serve(handler) as port, OutboundHTTP(LOOPBACK) as out:
        connected_addresses.clear()
        for to in ("http://169.254.169.254/latest/meta-data/", f"http://127.0.0.1:{listener.port}/"):
            response = await out.post(f"http://127.0.0.1:{port}/?to={to}", b"{}", {}, HANG_S)
            assert (response.status, response.headers["location"]) == (status, to)
    assert listener.count == 0
    assert {one[1] for one in connected_addresses} & {80, 443, listener.port} == set()


async def test_post_sends_the_request_and_reuses_connections(fake_dns: dict[str, list[list[str]]]) -> None:
    fake_dns["hooks.example.org"] = [["127.0.0.1"]]
    got: list[tuple[str, str, Any, bytes]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        got.append((request.method, request.path_qs, request.headers.copy(), await request.read()))
        return web.Response(status=202, body=b"fine", headers={"X-Answer": "Yes"})

    async with serve(handler) as port, OutboundHTTP(LOOPBACK) as out:
        connected_addresses.clear()
        for _ in range(3):
            url = f"http://hooks.example.org:{port}/a%2Fb?c=%20d"
            response = await out.post(url, b'{"a": 1}', {"x-given": "1", "content-type": "application/json"}, HANG_S)
    assert (response.status, response.body, response.headers["x-answer"]) == (202, b"fine", "Yes")
    method, path, headers, body = got[0]
    assert (method, path, body) == ("POST", "/a%2Fb?c=%20d", b'{"a": 1}')
    assert (headers["Host"], headers["x-given"]) == (f"hooks.example.org:{port}", "1")
    assert "Cookie" not in headers
    assert [one for one in connected_addresses if one[1] == port] == [("127.0.0.1", port)]


async def test_certificate_is_checked_against_the_name(
    fake_dns: dict[str, list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to an IP address, but TLS verifies the name."""
    fake_dns["hooks.example.org"] = fake_dns["else.example.org"] = [["127.0.0.1"]]
    paths, requested = create_dns_certificate("hooks.example.org", tmp_path), []
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(*paths)
    server_side.sni_callback = lambda _, name, __: requested.append(name)

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response()

    async with serve(handler, tls=server_side) as port:
        async with OutboundHTTP(LOOPBACK) as out:
            with pytest.raises(OutboundHTTPError, match="certificate"):  # signed by an unknown authority
                await out.post(f"https://hooks.example.org:{port}/", b"{}", {}, HANG_S)
        trusting = ssl.create_default_context(cafile=str(paths[0]))
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
        async with OutboundHTTP(LOOPBACK) as out:
            assert (await out.post(f"https://hooks.example.org:{port}/", b"{}", {}, HANG_S)).status == 200
            for host in ("else.example.org", "127.0.0.1"):
                with pytest.raises(OutboundHTTPError, match="certificate"):
                    await out.post(f"https://{host}:{port}/", b"{}", {}, HANG_S)
    assert requested[:3] == ["hooks.example.org", "hooks.example.org", "else.example.org"]


@pytest.mark.parametrize("words", ["10.0.0.1/8", "example.org", "10.0.0.0/8 nothing"])
def test_invalid_allowed_network_prevents_the_start(words: str) -> None:
    with pytest.raises(ValueError, match="egress_allow"):
        Settings(jwt_secret=("s" * 32,), egress_allow=words)


async def test_response_size_is_bounded() -> None:
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

    async with serve(handler) as port, OutboundHTTP(LOOPBACK) as out:
        for path in ("bomb", "endless"):
            result = await out.post(f"http://127.0.0.1:{port}/{path}", b"{}", {}, HANG_S)
            assert result.status == 200
            assert 0 < len(result.body) <= outbound_http.RESPONSE_MAX_BYTES
            assert result.body[:2] == (b"\x1f\x8b" if path == "bomb" else b"00"), "the response is not decompressed"


async def test_silent_slow_or_invalid_response_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
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
                await reader.read()  # until the caller times out
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    released = threading.Event()
    monkeypatch.setattr(outbound_http, "resolve_name", lambda *_: released.wait(HANG_S) and [])
    async with server, OutboundHTTP(LOOPBACK) as out:
        started_at = time.monotonic()
        for path in ("silent", "drip", "rubbish", "headers", "cut"):
            with pytest.raises(OutboundHTTPError) as failed:
                await out.post(f"http://127.0.0.1:{port}/{path}", b"{}", {}, 0.4)
            assert not isinstance(failed.value, AddressNotAllowed)
            assert str(port) not in str(failed.value), "URLs may contain secrets"
        with pytest.raises(OutboundHTTPError):  # a name server that does not respond
            await out.post("http://slow.example.org/", b"{}", {}, 0.4)
        with pytest.raises(OutboundHTTPError, match=r"^Connection refused$"):  # nothing listens
            await out.post("http://127.0.0.1:1/", b"{}", {}, HANG_S)
        assert time.monotonic() - started_at < HANG_S
        released.set()


async def test_ports_are_80_and_443_or_any_in_allowed_networks(fake_dns: dict[str, list[list[str]]]) -> None:
    fake_dns["inner.example.org"] = [["127.0.0.1"]]
    fake_dns["outer.example.org"] = [["8.8.8.8"]]
    async with OutboundHTTP() as out:
        for url in ("http://8.8.8.8:22/", "http://hooks.example.org:8080/", "https://[2606:4700:4700::1111]:6379/"):
            with pytest.raises(AddressNotAllowed, match="HUB_EGRESS_ALLOW"):
                await out.post(url, b"{}", {}, HANG_S)
        for url in ("https://hooks.example.org/x", "http://hooks.example.org:443", "https://8.8.8.8"):
            out.check(url)
        for url in ("https://name@8.8.8.8/", "https://name:word@hooks.example.org/", "https://@hooks.example.org/"):
            with pytest.raises(AddressNotAllowed, match="user"):
                out.check(url)
    async with OutboundHTTP(LOOPBACK) as out:
        connected_addresses.clear()
        with pytest.raises(AddressNotAllowed):
            await out.post("http://outer.example.org:6379/", b"{}", {}, HANG_S)
        assert not connected_addresses
        with pytest.raises(OutboundHTTPError) as failed:
            await out.post("http://inner.example.org:1/", b"{}", {}, HANG_S)
        assert not isinstance(failed.value, AddressNotAllowed)
