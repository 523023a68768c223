"""`hub serve` with its own certificate."""

import asyncio
import json
import ssl
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime import tls
from hub.settings import Settings
from tests.certificates import create_certificate
from tests.cli_commands import Command, run_command
from tests.client import Tenant, eventually
from tests.processes import SECRET

PASSWORD = "open sesame"


async def wait_for_url(command: Command) -> str:
    """Return its URL once it serves."""

    async def serving() -> int:
        for line in command.err.splitlines():
            event = json.loads(line)
            if event["event"] == "serving":
                return int(event["port"])
        assert command.process.poll() is None, command.err
        return 0

    return f"https://127.0.0.1:{await eventually(serving)}/graphql"


async def test_serve_with_a_certificate_works_over_https_and_wss(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    """Sends, resumes and pushes arrive, in messages of one TLS record and of many. The close code is 1012."""
    mongod, redis = servers
    own = create_certificate(tmp_path, password=PASSWORD)
    options = ["--ssl-certfile", str(own.file), "--ssl-keyfile", str(own.key)]
    settings = {"mongo_url": mongod.url, "redis_url": redis.url, "redis_prefix": "tls:", "jwt_secret": SECRET}
    secret = {"ssl_keyfile_password": PASSWORD, "ssl_certfile": "/option/wins"}
    async with Command("serve", *options, **settings, **secret, port="0") as hub:
        url = await wait_for_url(hub)
        async with Tenant("tls", [url], own.trusting) as tenant:
            await tenant.send("alice", title="First")
            position = (await tenant.inbox("alice"))["position"]
            await tenant.fill_inbox("alice", 100)
            async with tenant.feed("alice", position) as feed, tenant.socket("alice") as idle:
                backlog = await feed.take(100)
                assert {event["kind"] for event in backlog} == {"ADDED"}
                for body in ("short", "long " * 3000):
                    await tenant.send("alice", body=body)
                    [event] = await feed.take(1)
                    assert event["notification"]["body"] == body
                stream = tenant.stream_events("alice", backlog[-1]["cursor"])
                assert (await anext(stream))["data"]["inbox"]["notification"]["body"] == "short"
                await stream.aclose()
                async with aiohttp.ClientSession() as stranger:
                    with pytest.raises(aiohttp.ClientConnectorCertificateError):
                        await stranger.get(url)
                    with pytest.raises(aiohttp.ClientError):
                        await stranger.get(url.replace("https", "http"))
                hub.process.terminate()
                for socket in (feed.socket, idle):
                    with pytest.raises(ConnectionClosed) as closed:
                        await socket.read()
                    assert closed.value.rcvd
                    assert closed.value.rcvd.code == 1012
                assert await hub.wait(10) == 0
        assert "Traceback" not in hub.err


async def test_serve_with_client_ca_requires_a_client_certificate(
    servers: tuple[Mongod, Redis], tmp_path: Path
) -> None:
    mongod, redis = servers
    own, foreign = create_certificate(tmp_path), create_certificate(tmp_path, "client")
    settings = {"mongo_url": mongod.url, "redis_url": redis.url, "redis_prefix": "tls:", "jwt_secret": SECRET}
    files = {"ssl_certfile": str(own.file), "ssl_keyfile": str(own.key), "ssl_ca_certs": str(foreign.file)}
    async with Command("serve", **settings, **files, port="0") as hub:
        url = (await wait_for_url(hub)).replace("/graphql", "/healthz")
        existing = ssl.create_default_context(cafile=str(own.file))
        async with aiohttp.ClientSession() as session:
            with pytest.raises((aiohttp.ClientError, OSError)):
                async with asyncio.timeout(60), session.get(url, ssl=existing):
                    pass
            existing = ssl.create_default_context(cafile=str(own.file))
            existing.load_cert_chain(foreign.file, foreign.key)
            async with session.get(url, ssl=existing) as response:
                assert response.status == 200


def test_serve_with_an_unusable_certificate_names_the_setting(tmp_path: Path) -> None:
    own, other = create_certificate(tmp_path), create_certificate(tmp_path, "other")
    locked = create_certificate(tmp_path, "locked", PASSWORD)
    empty = tmp_path / "empty.pem"
    empty.touch()
    missing = tmp_path / "missing.pem"
    cases: list[tuple[dict[str, Path | str], str]] = [
        ({"ssl_keyfile": own.key}, "HUB_SSL_CERTFILE (--ssl-certfile) is missing: TLS requires it."),
        ({"ssl_certfile": missing}, f"HUB_SSL_CERTFILE (--ssl-certfile): {missing} cannot be read (No such file"),
        ({"ssl_certfile": tmp_path}, f"HUB_SSL_CERTFILE (--ssl-certfile): {tmp_path} cannot be read (Is a directory"),
        ({"ssl_certfile": own.file, "ssl_keyfile": missing}, f"HUB_SSL_KEYFILE (--ssl-keyfile): {missing} cannot"),
        (
            {"ssl_certfile": empty, "ssl_keyfile": own.key},
            f"HUB_SSL_CERTFILE (--ssl-certfile): {empty} does not contain",
        ),
        (
            {"ssl_certfile": own.file},
            f"HUB_SSL_KEYFILE (--ssl-keyfile): {own.file} does not contain a private key in PEM format.",
        ),
        (
            {"ssl_certfile": own.file, "ssl_keyfile": other.key},
            f"HUB_SSL_KEYFILE (--ssl-keyfile): {other.key} is not the key of {own.file}.",
        ),
        (
            {"ssl_certfile": locked.file, "ssl_keyfile": locked.key},
            f"HUB_SSL_KEYFILE_PASSWORD (--ssl-keyfile-password) is not the password of {locked.key}.",
        ),
        (
            {"ssl_certfile": locked.file, "ssl_keyfile": locked.key, "ssl_keyfile_password": "wrong"},
            f"HUB_SSL_KEYFILE_PASSWORD (--ssl-keyfile-password) is not the password of {locked.key}.",
        ),
        (
            {"ssl_certfile": own.file, "ssl_keyfile": own.key, "ssl_ca_certs": empty},
            f"HUB_SSL_CA_CERTS (--ssl-ca-certs): {empty} does not contain a certificate in PEM format.",
        ),
    ]
    for fields, output in cases:
        with pytest.raises(tls.CertificateError) as refused:
            tls.server_context(Settings(jwt_secret=SECRET, **fields))  # type: ignore[arg-type]
        assert str(refused.value).startswith(output), fields
    done = run_command(
        "serve", "--ssl-certfile", str(own.file), "--ssl-keyfile", str(other.key), jwt_secret=SECRET, port="0"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"HUB_SSL_KEYFILE (--ssl-keyfile): {other.key} is not the key of {own.file}.\n"
