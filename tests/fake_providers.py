"""Fake providers of every channel: a mail server, Amazon's services and a push service. They validate requests, and can
be made to fail."""

import asyncio
import base64
import datetime
import email
import email.policy
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

import http_ece
from aiohttp import ClientSession, web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

HANG = "hang"
CUT = "cut"


class FakeMailServer:
    """Stores the emails that it accepted. `replies`: replies by command instead of the normal ones, for example
    `RCPT`: `550 ...`, HANG, or CUT, which aborts the connection. `close_after`: the number of emails after which it
    closes
    the connection with 421. `received_at`: when each Message-ID was accepted. It replies up to `max_delay_s` later."""

    def __init__(self, *, tls: Any = None, starttls: Any = None, utf8: bool = True, password: str = "") -> None:
        self.emails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.replies: dict[str, str] = {}
        self.connections = self.open = 0
        self.close_after = 0
        self.max_delay_s = 0.0
        self.received_at: defaultdict[str, list[float]] = defaultdict(list)
        self._tls, self._starttls, self._utf8, self._password = tls, starttls, utf8, password
        self._taken: dict[int, int] = {}

    async def __aenter__(self) -> "FakeMailServer":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._transports: list[SMTP] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def clear_fault(self) -> None:
        self.replies = {}

    async def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    async def reopen(self) -> None:
        """Listen again."""
        self._server = await asyncio.get_running_loop().create_server(self._connected, "127.0.0.1", self.port)

    def cut(self) -> None:
        """Abort all connections."""
        for protocol in self._transports:
            if isinstance(protocol.transport, asyncio.Transport):
                protocol.transport.abort()

    def _connected(self) -> SMTP:
        self.connections += 1
        protocol = SMTP(
            self,
            hostname="mail.test",
            enable_SMTPUTF8=self._utf8,
            tls_context=self._starttls,
            require_starttls=self._starttls is not None,
            authenticator=self._authenticate if self._password else None,
            auth_require_tls=True,
            loop=asyncio.get_running_loop(),
        )
        self._transports.append(protocol)
        return protocol

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        return AuthResult(success=data.password == self._password.encode(), handled=False)

    async def _reply(self, command: str) -> str | None:
        if self.replies.get(command) == HANG:
            await asyncio.Event().wait()
        if self.replies.get(command) == CUT:
            self.cut()
        return self.replies.get(command)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.close_after and self._taken.get(id(session), 0) >= self.close_after:
            assert server.transport
            asyncio.get_running_loop().call_soon(server.transport.close)
            return "421 4.7.0 too many messages in this session"
        if output := await self._reply("MAIL"):
            return output
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if output := await self._reply("RCPT"):
            return output.format(address=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if output := await self._reply("DATA"):
            return output
        self._taken[id(session)] = self._taken.get(id(session), 0) + 1
        self.envelopes.append(envelope)
        content = envelope.content
        assert isinstance(content, bytes)
        parsed = email.message_from_bytes(content, policy=email.policy.SMTPUTF8)
        assert isinstance(parsed, EmailMessage)
        self.emails.append(parsed)
        self.received_at[parsed["Message-ID"]].append(monotonic())
        await asyncio.sleep(random.uniform(0, self.max_delay_s))
        return f"250 2.0.0 Ok: queued as {len(self.emails):06X}"


class FakeHTTPServer:
    """An HTTP server that responds with `respond`, or with `fault` if set, up to `max_delay_s` later. `calls`: the
    number of requests. `received_at`: when each message was accepted, by address and id."""

    def __init__(self) -> None:
        self.calls = 0
        self.max_delay_s = 0.0
        self.received_at: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.fault: Callable[[], web.Response] | str | None = None

    async def respond(self, request: web.Request, body: bytes) -> web.Response:
        raise NotImplementedError

    async def __aenter__(self) -> Any:
        app = web.Application(client_max_size=4 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def clear_fault(self) -> None:
        self.fault = None

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        self.calls += 1
        body = await request.read()
        if self.fault == HANG:
            await asyncio.sleep(60)
        if callable(self.fault):
            return self.fault()
        response = await self.respond(request, body)
        await asyncio.sleep(random.uniform(0, self.max_delay_s))
        return response


class FakeAmazon(FakeHTTPServer):
    """A proxy in front of moto's server. `requests`: action or path, and parameters."""

    def __init__(self, moto_url: str) -> None:
        super().__init__()
        self._moto_url = moto_url
        self.requests: list[tuple[str, dict[str, Any]]] = []

    async def respond(self, request: web.Request, body: bytes) -> web.Response:
        if request.content_type == "application/json":
            self.requests.append((request.path, json.loads(body)))
        else:
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            self.requests.append((form.get("Action", ""), form))
        async with ClientSession(auto_decompress=False) as session:
            url = f"{self._moto_url}{request.path_qs}"
            async with session.request(request.method, url, data=body, headers=request.headers) as response:
                return web.Response(
                    status=response.status, body=await response.read(), content_type=response.content_type
                )

    @staticmethod
    def json_error(status: int, code: str, message: str = "No.", **headers: str) -> Callable[[], web.Response]:
        """Return an error response of SESv2."""
        return lambda: web.json_response(
            {"message": message}, status=status, headers={"x-amzn-ErrorType": code, **headers}
        )

    @staticmethod
    def xml_error(status: int, code: str, message: str = "No.", **headers: str) -> Callable[[], web.Response]:
        """Return an error response of SNS."""
        text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        return lambda: web.Response(status=status, text=text, content_type="text/xml", headers=headers)


class FastFakeAmazon(FakeHTTPServer):
    """The parts of SNS and SES that the hub calls. `received_at`: by the token of a phone, an email address, or a phone
    number, and the notification's id, the email's Message-ID, or the text of the SMS."""

    application = "arn:aws:sns:eu-west-1:123456789012:app/GCM/hub"

    async def respond(self, request: web.Request, body: bytes) -> web.Response:
        if request.path == "/v2/email/outbound-emails":
            requested = json.loads(body)
            message = email.message_from_bytes(
                base64.b64decode(requested["Content"]["Raw"]["Data"]), policy=email.policy.SMTP
            )
            [address] = requested["Destination"]["ToAddresses"]
            self.received_at[address, str(message["Message-ID"])].append(monotonic())
            return web.json_response({"MessageId": os.urandom(8).hex()})
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        action, inside = form["Action"], ""
        if action == "CreatePlatformEndpoint":
            inside = f"<EndpointArn>{self.application.replace(':app/', ':endpoint/')}/{form['Token']}</EndpointArn>"
        elif action == "Publish" and "PhoneNumber" in form:
            self.received_at[form["PhoneNumber"], form["Message"]].append(monotonic())
            inside = f"<MessageId>{os.urandom(8).hex()}</MessageId>"
        elif action == "Publish":
            received = json.loads(json.loads(form["Message"])["GCM"])["fcmV1Message"]["message"]
            self.received_at[form["TargetArn"].rpartition("/")[2], received["data"]["id"]].append(monotonic())
            inside = f"<MessageId>{os.urandom(8).hex()}</MessageId>"
        else:
            assert action == "SetEndpointAttributes"
        text = f"<{action}Response><{action}Result>{inside}</{action}Result></{action}Response>"
        return web.Response(text=text, content_type="text/xml")


class FakeBrowser:
    """A web push subscription with its private key, which decrypts pushes."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.auth = os.urandom(16)
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def p256dh_text(self) -> str:
        point = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    @property
    def auth_text(self) -> str:
        return base64.urlsafe_b64encode(self.auth).rstrip(b"=").decode()

    def read(self, body: bytes) -> dict[str, Any]:
        context: dict[str, Any] = json.loads(
            http_ece.decrypt(body, private_key=self._key, auth_secret=self.auth, version="aes128gcm")
        )
        return context


class FakePushService(FakeHTTPServer):
    """The application-server side of RFC 8030. Accepts only requests that are signed with `public_key` (RFC 8292), have
    the required headers, and are not larger than `max_bytes`. `replies`: statuses that it returns first, by path.
    `call_counts`: the number of calls by path."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey) -> None:
        super().__init__()
        self._key = public_key
        self.max_bytes = 4096
        self.pushes: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.subscriptions: dict[str, FakeBrowser] = {}
        self.replies: dict[str, list[int]] = {}
        self.call_counts: Counter[str] = Counter()

    def subscribe(self) -> FakeBrowser:
        path = f"/push/{len(self.subscriptions)}"
        browser = self.subscriptions[path] = FakeBrowser(self.url + path)
        return browser

    async def respond(self, request: web.Request, body: bytes) -> web.Response:
        self.call_counts[request.path] += 1
        if self.replies.get(request.path):
            return web.Response(status=self.replies[request.path].pop(0))
        if len(body) > self.max_bytes:
            return web.Response(status=413)
        if reason := self._forgery(request):
            return web.Response(status=403, text=reason)
        if not request.headers["ttl"].isdecimal() or request.headers["content-encoding"] != "aes128gcm":
            return web.Response(status=400)
        if len(request.headers.get("topic", "")) > 32:
            return web.Response(status=400)
        payload = self.subscriptions[request.path].read(body)
        self.pushes.append((payload, {name.lower(): v for name, v in request.headers.items()}))
        self.received_at[request.path, payload["id"]].append(monotonic())
        return web.Response(status=201, headers={"location": f"{self.url}/message/{len(self.pushes)}"})

    def _forgery(self, request: web.Request) -> str | None:
        scheme, _, parameters = request.headers["authorization"].partition(" ")
        token, key = (part.split("=", 1)[1] for part in parameters.split(","))
        point = self._key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        if scheme != "vapid" or base64.urlsafe_b64decode(key + "==") != point:
            return "another key"
        pem = self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        claims = jwt.decode(token, ECKey.import_key(pem), algorithms=["ES256"]).claims
        now = datetime.datetime.now(datetime.UTC).timestamp()
        valid = (
            claims["aud"] == self.url and now < claims["exp"] <= now + 86_400 and claims["sub"].startswith("mailto:")
        )
        return None if valid else "other claims"


def create_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    created = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(created.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
