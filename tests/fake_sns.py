"""A fake Amazon SNS topic: it signs messages with its own key, serves the certificate, and records the requested
paths."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.fake_providers import FakeHTTPServer

CERTIFICATE = "/SimpleNotificationService-0123456789abcdef.pem"
SIGNED_FIELDS = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


class FakeSnsTopic(FakeHTTPServer):
    def __init__(self, arn: str) -> None:
        super().__init__()
        self.arn = arn
        self.requested_paths: list[str] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = create_certificate(self._key)

    async def respond(self, request: web.Request, body: bytes) -> web.Response:  # noqa: ARG002 - GET requests have no body
        self.requested_paths.append(request.path_qs)
        return web.Response(body=self.certificate if request.path == CERTIFICATE else b"<ok/>")

    def message(self, text: str, kind: str = "Notification", version: str = "2", **more: str) -> dict[str, Any]:
        """Return a message as SNS posts it."""
        created = {
            "Type": kind,
            "MessageId": str(uuid4()),
            "TopicArn": self.arn,
            "Message": text,
            "Timestamp": "2026-11-20T08:15:30.000Z",
            "SignatureVersion": version,
            "SigningCertURL": f"{self.url}{CERTIFICATE}",
            **more,
        }
        signed = "".join(f"{name}\n{created[name]}\n" for name in SIGNED_FIELDS if name in created)
        hash_ = hashes.SHA1() if version == "1" else hashes.SHA256()
        created["Signature"] = b64encode(self._key.sign(signed.encode(), padding.PKCS1v15(), hash_)).decode()
        return {**created, "UnsubscribeURL": f"{self.url}/?Action=Unsubscribe"}

    def ses_event(
        self, kind: str, provider_id: str, *addresses: str, version: str = "2", **more: Any
    ) -> dict[str, Any]:
        """Return a bounce, complaint or delivery event of SES."""
        recipients = [{"emailAddress": address} for address in addresses]
        details: dict[str, dict[str, Any]] = {
            "Bounce": {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": recipients},
            "Complaint": {"complainedRecipients": recipients},
            "Delivery": {"recipients": list(addresses)},
        }
        email = {"messageId": provider_id, "timestamp": more.pop("timestamp", "2026-11-20T08:15:29.000Z")}
        text = {"notificationType": kind, "mail": email, kind.lower(): {**details[kind], **more}}
        return self.message(json.dumps(text), version=version)


def create_certificate(key: rsa.RSAPrivateKey) -> bytes:
    """Return a self-signed certificate of SNS as PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    created = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    return created.public_bytes(serialization.Encoding.PEM)
