"""Tokens over HTTP and in `connection_init`: only valid ones are accepted."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.model import Role
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import SUBPROTOCOL, Json, Tenant, eventually
from tests.processes import SECRET, Deployment

ISSUER, AUDIENCE = "https://issuer.example", "hub"
OLD_SECRET = "the-secret-before-that-one-also-long-enough"


def claims(**more: Any) -> Json:
    """Return the claims of a valid token. Claims that are None are left out."""
    fields = {"sub": "alice", "tenant": "t", "role": "user", "exp": int(time.time()) + 600} | more
    return {name: value for name, value in fields.items() if value is not None}


def signed(secret: str = SECRET, algorithm: str = "HS256", **more: Any) -> str:
    return jwt.encode({"alg": algorithm}, claims(**more), OctKey.import_key(secret), algorithms=[algorithm])


def part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(**more: Any) -> Iterator[str]:
    for algorithm in ("none", "None", "NONE", ""):
        for signature in ("", "AAAA", signed().rpartition(".")[2]):
            yield f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims(**more))}.{signature}"


async def by_http(http: aiohttp.ClientSession, url: str, token: str) -> tuple[int, Json]:
    sent = {"authorization": f"Bearer {token}"}
    async with http.post(url, json={"query": "{ me { id } }"}, headers=sent) as response:
        result: Json = await response.json()
        return response.status, result


async def by_socket(url: str, token: str) -> Any:
    """Return `ack`, or the close code."""
    async with connect(url.replace("http", "ws", 1), subprotocols=[SUBPROTOCOL]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        try:
            return {"connection_ack": "ack"}[json.loads(await socket.recv())["type"]]
        except ConnectionClosed as closed:
            return closed.rcvd and closed.rcvd.code


async def is_rejected(http: aiohttp.ClientSession, url: str, token: str) -> bool:
    status, response = await by_http(http, url, token)
    if status != 401:
        return False
    assert [error["extensions"]["code"] for error in response["errors"]] == ["UNAUTHENTICATED"]
    assert "data" not in response
    assert await by_socket(url, token) == 4403
    return True


async def is_accepted(http: aiohttp.ClientSession, url: str, token: str) -> bool:
    status, response = await by_http(http, url, token)
    if status != 200:
        return False
    assert response == {"data": {"me": {"id": "alice"}}}
    assert await by_socket(url, token) == "ack"
    return True


def tampered(token: str, **more: Any) -> str:
    """Return a token with the signature of another one."""
    head, body, signature = token.split(".")
    output = json.loads(urlsafe_b64decode(body + "=="))
    return f"{head}.{part(output | more)}.{signature}"


def nested() -> str:
    """Return a signed token whose payload is not valid JSON."""
    output = json.dumps(claims()).removesuffix("}").encode() + b', "x": ' + b"[" * 2500 + b"]" * 2500 + b"}"
    return jws.serialize_compact({"alg": "HS256"}, output, OctKey.import_key(SECRET))


INVALID_CLAIMS = {
    "nothing": "",
    "no token at all": "x",
    "three empty parts": "..",
    "no JSON inside": "YQ.YQ.YQ",
    "too long": "x" * 9000,
    "expired": signed(exp=int(time.time()) - 1),
    "not valid yet": signed(nbf=int(time.time()) + 600),
    "no exp": signed(exp=None),
    "exp in words": signed(exp="tomorrow"),
    "exp null": f"{part({'alg': 'HS256'})}.{part(claims() | {'exp': None})}.x",
    "another secret": signed("another-secret-that-is-long-enough-too"),
    "another tenant under that signature": tampered(signed(), tenant="other"),
    "another role under that signature": tampered(signed(), role="admin"),
    "HS512": signed(algorithm="HS512"),
    "tenant with a slash": signed(tenant="a/b"),
    "tenant empty": signed(tenant=""),
    "tenant with a newline": signed(tenant="a\n"),
    "tenant too long": signed(tenant="a" * 65),
    "tenant a number": signed(tenant=1),
    "tenant a dot": signed(tenant="."),
    "tenant beyond ASCII": signed(tenant="ä"),
    "no sub": signed(sub=None),
    "sub empty": signed(sub=""),
    "sub a number": signed(sub=1),
    "sub with a space at its end": signed(sub="alice "),
    "sub with a zero-width space": signed(sub="ali\u200bce"),
    "sub with a direction mark": signed(sub="\u202ealice"),
    "iat beyond the leeway": signed(iat=time.time() + 600),
    "exp of 400 digits": signed(exp=int("9" * 400)),
    "payload nested deep": nested(),
    "sub with a NUL": signed(sub="a\0"),
    "sub too long": signed(sub="a" * 257),
    "role unknown": signed(role="root"),
    "role a list": signed(role=["admin"]),
    "role upper case": signed(role="ADMIN"),
}


@pytest.mark.parametrize("token", [pytest.param(token, id=name) for name, token in INVALID_CLAIMS.items()])
async def test_invalid_token_is_rejected(tenant: Tenant, token: str) -> None:
    assert await is_rejected(tenant.http, tenant.next_url(), token)


async def test_token_without_a_signature_is_rejected(tenant: Tenant) -> None:
    for token in unsigned():
        assert await is_rejected(tenant.http, tenant.next_url(), token)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"tenant": None},
        {"role": None},
        {"tenant": "A-z_0.9"},
        {"exp": time.time() + 86_400.5},
        {"exp": 9_999_999_999_999},
        {"iat": time.time() + 20.5, "nbf": time.time() + 20.5},
        {"iss": "anybody", "aud": ["a", "b"]},
    ],
)
async def test_valid_token_is_accepted(tenant: Tenant, more: Json) -> None:
    assert await is_accepted(tenant.http, tenant.next_url(), signed(**more))


async def test_request_without_a_token_is_rejected(tenant: Tenant) -> None:
    for headers in ({}, {"authorization": signed()}, {"authorization": f"Basic {signed()}"}):
        async with tenant.http.post(tenant.next_url(), json={"query": "{ me { id } }"}, headers=headers) as response:
            assert response.status == 401


async def test_token_that_expires_between_requests_is_rejected(tenant: Tenant) -> None:
    """A process caches verified tokens, but not after their expiry."""
    url, token = tenant.next_url(), signed(exp=int(time.time()) + 2)
    assert await is_accepted(tenant.http, url, token)

    async def check() -> bool:
        return await is_rejected(tenant.http, url, token)

    await eventually(check)


async def test_socket_is_closed_with_4403_when_its_token_expires(tenant: Tenant) -> None:
    expires_at = int(time.time()) + 2
    url = tenant.next_url().replace("http", "ws", 1)
    async with connect(url, subprotocols=[SUBPROTOCOL]) as socket:
        token = signed(tenant=tenant.name, exp=expires_at)
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(
            json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "subscription { inbox { kind } }"}})
        )
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 4403
        assert expires_at - 0.1 <= time.time() < expires_at + 2


async def test_event_stream_ends_when_its_token_expires(tenant: Tenant) -> None:
    expires_at = int(time.time()) + 2
    sent = {
        "authorization": f"Bearer {signed(tenant=tenant.name, exp=expires_at)}",
        "accept": "text/event-stream",
    }
    query = {"query": "subscription { inbox { kind } }"}
    async with asyncio.timeout(60), tenant.http.post(tenant.next_url(), json=query, headers=sent) as response:
        output = (await response.text()).strip(":\n").splitlines()
    assert expires_at - 0.1 <= time.time() < expires_at + 2
    assert output[0] == "event: next"
    [error] = json.loads(output[1].removeprefix("data: "))["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert "event: complete" in output


async def test_socket_accepts_the_token_of_its_http_header(tenant: Tenant) -> None:
    for token, expected in ((signed(), "connection_ack"), (signed(exp=1), None)):
        async with connect(
            tenant.next_url().replace("http", "ws", 1),
            subprotocols=[SUBPROTOCOL],
            additional_headers={"authorization": f"Bearer {token}"},
        ) as socket:
            await socket.send('{"type": "connection_init"}')
            if expected:
                assert json.loads(await socket.recv())["type"] == expected
            else:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 4403


@asynccontextmanager
async def hub_with_settings(
    servers: tuple[Mongod, Redis], **settings: str
) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    async with Deployment(servers[0].url, servers[1].url, apis=1, workers=0, **settings) as running:
        async with aiohttp.ClientSession() as http:
            yield http, running.urls[0]


async def test_old_and_new_secret_are_valid_during_rotation(servers: tuple[Mongod, Redis]) -> None:
    async with hub_with_settings(servers, jwt_secret=f"{SECRET} {OLD_SECRET}") as (http, url):
        assert await is_accepted(http, url, signed(SECRET))
        assert await is_accepted(http, url, signed(OLD_SECRET))
        assert await is_rejected(http, url, signed("another-secret-that-is-long-enough-too"))
        assert await is_rejected(http, url, signed(f"{SECRET} {OLD_SECRET}"))


class Issuer:
    """Publishes keys, and counts the requests."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.unreadable: list[Any] = []
        self.request_count = 0
        self.unavailable = False

    async def __aenter__(self) -> "Issuer":
        app = web.Application()
        app.router.add_get("/jwks", self._jwks)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/jwks"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _jwks(self, _: web.Request) -> web.Response:
        self.request_count += 1
        if self.unavailable:
            return web.Response(status=503)
        published = KeySet(self.keys).as_dict(private=False)["keys"]
        return web.json_response({"keys": [*self.unreadable, *published]})

    def token(self, key: RSAKey | ECKey, **more: Any) -> str:
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        output = claims(**{"iss": ISSUER, "aud": AUDIENCE} | more)
        return jwt.encode({"alg": algorithm, "kid": key.kid}, output, key, algorithms=[algorithm])


async def test_tokens_signed_with_published_keys_are_accepted(servers: tuple[Mongod, Redis]) -> None:
    rsa, ec = RSAKey.generate_key(2048, auto_kid=True), ECKey.generate_key("P-256", auto_kid=True)
    later, never = ECKey.generate_key("P-256", auto_kid=True), RSAKey.generate_key(2048, auto_kid=True)
    async with Issuer() as issuer:
        issuer.keys = [rsa, ec]
        settings = {"jwks_url": issuer.url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
        async with hub_with_settings(servers, **settings) as (http, url):
            for key in (rsa, ec):
                assert await is_accepted(http, url, issuer.token(key))
                assert await is_accepted(http, url, issuer.token(key, aud=["other", AUDIENCE]))
                for invalid in (
                    {"iss": "https://else.example"},
                    {"iss": None},
                    {"aud": "other"},
                    {"aud": None},
                    {"aud": []},
                    {"exp": None},
                    {"exp": int(time.time()) - 1},
                ):
                    assert await is_rejected(http, url, issuer.token(key, **invalid))
                assert await is_rejected(http, url, tampered(issuer.token(key), role="admin"))
            assert await is_rejected(http, url, issuer.token(never))
            for forged in confused_tokens(rsa, ec):
                assert await is_rejected(http, url, forged)
            for token in unsigned(iss=ISSUER, aud=AUDIENCE):
                assert await is_rejected(http, url, token)

            # A key published later is found without a restart. A withdrawn key is no longer accepted.
            issuer.keys = [ec, later]

            async def key_is_accepted() -> bool:
                return await is_accepted(http, url, issuer.token(later))

            await eventually(key_is_accepted)
            assert await is_accepted(http, url, issuer.token(ec))
            assert await is_rejected(http, url, issuer.token(rsa, jti="never seen before"))
            # Invalid tokens cannot make the hub request the keys repeatedly.
            requested = issuer.request_count
            for number in range(50):
                assert (await by_http(http, url, issuer.token(never, jti=str(number))))[0] == 401
            assert issuer.request_count <= requested + 2

            # While the issuer is unavailable, cached keys are used.
            issuer.unavailable = True
            assert await is_accepted(http, url, issuer.token(ec, jti="away"))


def confused_tokens(rsa: RSAKey, ec: ECKey) -> Iterator[str]:
    """HS256 with public data as the secret: the public keys, in every spelling. RS256 with an EC key, and the other way
    round."""
    output = part(claims(iss=ISSUER, aud=AUDIENCE))
    for key in (rsa, ec):
        for secret in (
            key.as_pem(private=False),
            key.as_pem(private=False).strip(),
            key.as_der(private=False),
            json.dumps(key.as_dict(private=False)).encode(),
            json.dumps(KeySet([rsa, ec]).as_dict(private=False)).encode(),
            b"",
        ):
            for header in ({"alg": "HS256", "kid": key.kid}, {"alg": "HS256"}):
                text = f"{part(header)}.{output}"
                signature = hmac.digest(secret, text.encode(), "sha256")
                yield f"{text}.{urlsafe_b64encode(signature).decode().rstrip('=')}"
    for key, kid in ((rsa, ec.kid), (ec, rsa.kid)):
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        yield jwt.encode({"alg": algorithm, "kid": kid}, claims(iss=ISSUER, aud=AUDIENCE), key, algorithms=[algorithm])


async def test_unreadable_key_of_an_issuer_is_skipped(servers: tuple[Mongod, Redis]) -> None:
    """The other keys are used."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    async with Issuer() as issuer:
        issuer.keys = [key]
        issuer.unreadable = [
            {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "unknown-curve"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "kid": "no-y"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "not-on-the-curve"},
            {"kty": "RSA", "e": "AQAB", "kid": "no-n"},
            {"kty": "RSA", "n": 1, "e": [], "kid": "numbers"},
            {"kty": "later", "kid": ["a", "list"]},
            {"kid": "nothing else"},
            {},
            "no key",
            None,
        ]
        async with hub_with_settings(servers, jwks_url=issuer.url) as (http, url):
            assert await is_accepted(http, url, issuer.token(key))


async def test_issuer_that_does_not_respond_is_unavailable_until_it_does(servers: tuple[Mongod, Redis]) -> None:
    key = ECKey.generate_key("P-256", auto_kid=True)
    async with Issuer() as issuer:
        issuer.keys, issuer.unavailable = [key], True
        async with hub_with_settings(servers, jwks_url=issuer.url) as (http, url):
            status, response = await by_http(http, url, issuer.token(key))
            assert (status, response["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
            # 1013, try again later: after 1011 the npm client gives up.
            assert await by_socket(url, issuer.token(key)) == 1013
            # The hub's own tokens need no issuer.
            assert await is_accepted(http, url, signed())
            issuer.unavailable = False

            async def key_is_accepted() -> bool:
                return await is_accepted(http, url, issuer.token(key))

            await eventually(key_is_accepted)


async def test_token_determines_the_role(tenant: Tenant) -> None:
    async def codes(role: Role) -> list[str]:
        sent = {"authorization": f"Bearer {signed(tenant=tenant.name, role=role.value)}"}
        query = {"query": "{ sends { nodes { id } } }"}
        async with tenant.http.post(tenant.next_url(), json=query, headers=sent) as response:
            return [error["extensions"]["code"] for error in (await response.json()).get("errors", [])]

    assert await codes(Role.USER) == ["FORBIDDEN"]
    assert await codes(Role.SERVICE) == await codes(Role.ADMIN) == []
