"""Messages of Amazon SNS, and whether they are: signature version 1 and 2.

The certificate that checks a signature is fetched from the address that the message itself names, so that address may
only be SNS's own: https, the host of the topic's own region, SNS's name for a certificate. Where AWS_ENDPOINT_URL (or
AWS_ENDPOINT_URL_SNS) says that Amazon is elsewhere, as with a stand-in on one's own machine, that origin is as good.
"""

import asyncio
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import orjson
import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hub.errors import Forbidden, Unavailable
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP, OutboundHTTPError
from hub.settings.values import TOPIC

NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"
SIGNED_FIELDS = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
NOTIFICATION_SIGNED_FIELDS = tuple(name for name in SIGNED_FIELDS if name not in {"SubscribeURL", "Token"})
HASHES: Mapping[str, type[hashes.SHA1 | hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}
CERTIFICATE_PATH = re.compile(r"/(?:[\w-]+/)*SimpleNotificationService-[0-9a-zA-Z]+\.pem")
TIMEOUT_S = 5.0
CONCURRENT_FETCHES_MAX = 4  # at once, of certificates that strangers may name
CACHED_CERTIFICATES_MAX = 16  # kept

log = structlog.get_logger(__name__)


class SNSVerifier:
    """`topics`: HUB_SNS_TOPICS. `elsewhere`: where AWS_ENDPOINT_URL puts Amazon, or empty."""

    def __init__(self, egress: OutboundHTTP, topics: tuple[str, ...], endpoint_override: str = "") -> None:
        self._egress = egress
        self._topics = frozenset(topics)
        self._endpoint_override = endpoint_override
        self._certificates: dict[str, x509.Certificate] = {}
        self._fetching: dict[str, asyncio.Task[x509.Certificate]] = {}

    async def verify(self, body: bytes) -> Mapping[str, str]:
        """The texts of a message. Forbidden for what no topic of ours has signed, Unavailable where that can't be said
        now."""
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError:
            given = None
        if not isinstance(given, dict):
            raise Forbidden("This is no message of Amazon SNS.")
        message = {name: value for name, value in given.items() if isinstance(value, str)}
        if message.get("TopicArn") not in self._topics:
            raise Forbidden("HUB_SNS_TOPICS does not name this topic.")
        url = message.get("SigningCertURL", "")
        if not self.is_sns_url(url, message["TopicArn"]) or not CERTIFICATE_PATH.fullmatch(urlsplit(url).path):
            raise Forbidden("Its certificate is not at an address of Amazon SNS.")
        if not _has_valid_signature(message, await self._certificate(url)):
            raise Forbidden("Its signature does not fit.")
        return message

    async def confirm(self, message: Mapping[str, str]) -> None:
        """Subscribes, as a verified message asks. Raises Unavailable."""
        url = message.get("SubscribeURL", "")
        if not self.is_sns_url(url, message["TopicArn"]):
            raise Forbidden("What it asks to be called is not Amazon SNS.")
        if (status := (await self._get(url))[0]) != 200:
            raise Unavailable(f"Amazon SNS answered {status}.")
        log.info("sns_subscribed", topic=message["TopicArn"])

    def is_sns_url(self, url: str, topic: str) -> bool:
        """Whether an address is SNS's own, in the region of that topic."""
        found = TOPIC.fullmatch(topic)
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        origin = f"{parts.scheme}://{parts.netloc}"
        if not found or "\\" in url or any(not "!" <= letter <= "~" for letter in url):
            return False
        host = f"sns.{found[2]}.amazonaws.com{'.cn' if found[1] == 'aws-cn' else ''}"
        return origin == f"https://{host}" or (
            bool(self._endpoint_override) and origin == self._endpoint_override.rstrip("/")
        )

    async def _certificate(self, url: str) -> x509.Certificate:
        """Each is fetched once, however many wait for it."""
        if found := self._certificates.get(url):
            return found
        if url not in self._fetching:
            if len(self._fetching) >= CONCURRENT_FETCHES_MAX:
                raise Unavailable("Too many certificates are being fetched.")
            task = self._fetching[url] = asyncio.create_task(self._fetch(url))
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(self._fetching[url])

    async def _fetch(self, url: str) -> x509.Certificate:
        status, body = await self._get(url)
        if status != 200:
            raise Forbidden("There is no certificate where it says.")
        try:
            certificate = x509.load_pem_x509_certificate(body)
        except ValueError:
            raise Forbidden("There is no certificate where it says.") from None
        if len(self._certificates) >= CACHED_CERTIFICATES_MAX:
            self._certificates.clear()
        self._certificates[url] = certificate
        return certificate

    async def _get(self, url: str) -> tuple[int, bytes]:
        try:
            answer = await self._egress.get(url, TIMEOUT_S)
        except AddressNotAllowed as error:
            raise Forbidden(str(error)) from None
        except OutboundHTTPError as error:
            raise Unavailable(f"Amazon SNS does not answer: {error}") from None
        return answer.status, answer.body


def _has_valid_signature(message: Mapping[str, str], certificate: x509.Certificate) -> bool:
    key, hash_ = certificate.public_key(), HASHES.get(message.get("SignatureVersion", ""))
    valid = certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc
    if not isinstance(key, rsa.RSAPublicKey) or hash_ is None or not valid:
        return False
    names = NOTIFICATION_SIGNED_FIELDS if message.get("Type") == NOTIFICATION else SIGNED_FIELDS
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    try:
        key.verify(b64decode(message.get("Signature", "")), text.encode(), padding.PKCS1v15(), hash_())
    except (InvalidSignature, ValueError):
        return False
    return True
