"""Verifies messages from Amazon SNS with signature versions 1 and 2.

The certificate is fetched from the URL in the message. The URL must belong to SNS: https, the SNS host of the topic's
region, and the path of an SNS certificate. The origin of AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_SNS), for example of a
local replacement for SNS, is also accepted.

API: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import asyncio
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import orjson
import structlog
from cachetools import LRUCache
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hub.errors import Forbidden, Unavailable
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP, OutboundHTTPError
from hub.settings.value_parsers import TOPIC

NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"
SIGNED_FIELDS = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
NOTIFICATION_SIGNED_FIELDS = tuple(name for name in SIGNED_FIELDS if name not in {"SubscribeURL", "Token"})
HASHES: Mapping[str, type[hashes.SHA1 | hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}
CERTIFICATE_PATH = re.compile(r"/(?:[\w-]+/)*SimpleNotificationService-[0-9a-zA-Z]+\.pem")
TIMEOUT_S = 5.0
CONCURRENT_FETCHES_MAX = 4  # certificate fetches; limited because anyone can send a URL
CACHED_CERTIFICATES_MAX = 16

log = structlog.get_logger(__name__)


class SNSVerifier:
    """`topics`: HUB_SNS_TOPICS. `endpoint_override`: AWS_ENDPOINT_URL, or empty."""

    def __init__(self, outbound_http: OutboundHTTP, topics: tuple[str, ...], endpoint_override: str = "") -> None:
        self._outbound_http = outbound_http
        self._topics = frozenset(topics)
        self._endpoint_override = endpoint_override
        self._certificates: LRUCache[str, x509.Certificate] = LRUCache(CACHED_CERTIFICATES_MAX)
        self._fetching: dict[str, asyncio.Task[x509.Certificate]] = {}

    async def verify(self, body: bytes) -> Mapping[str, str]:
        """Return the string fields of a message.

        Raise Forbidden if the message is not signed by one of `topics`, or Unavailable if the signature cannot be
        verified now."""
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            fields = None
        if not isinstance(fields, dict):
            raise Forbidden("The body is not a message of Amazon SNS.")
        message = {name: value for name, value in fields.items() if isinstance(value, str)}
        if message.get("TopicArn") not in self._topics:
            raise Forbidden("HUB_SNS_TOPICS does not contain this topic.")
        url = message.get("SigningCertURL", "")
        if not self.is_sns_url(url, message["TopicArn"]) or not CERTIFICATE_PATH.fullmatch(urlsplit(url).path):
            raise Forbidden("SigningCertURL is not a URL of Amazon SNS.")
        if not _has_valid_signature(message, await self._certificate(url)):
            raise Forbidden("The signature is not valid.")
        return message

    async def confirm(self, message: Mapping[str, str]) -> None:
        """Confirm the subscription of a verified message. Raise Forbidden or Unavailable."""
        url = message.get("SubscribeURL", "")
        if not self.is_sns_url(url, message["TopicArn"]):
            raise Forbidden("SubscribeURL is not a URL of Amazon SNS.")
        if (status := (await self._get(url))[0]) != 200:
            raise Unavailable(f"Amazon SNS returned HTTP {status}.")
        log.info("sns_subscribed", topic=message["TopicArn"])

    def is_sns_url(self, url: str, topic: str) -> bool:
        """Return True if a URL belongs to SNS in the region of the topic."""
        arn = TOPIC.fullmatch(topic)
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        origin = f"{parts.scheme}://{parts.netloc}"
        if not arn or "\\" in url or any(not "!" <= letter <= "~" for letter in url):
            return False
        host = f"sns.{arn[2]}.amazonaws.com{'.cn' if arn[1] == 'aws-cn' else ''}"
        return origin == f"https://{host}" or (
            bool(self._endpoint_override) and origin == self._endpoint_override.rstrip("/")
        )

    async def _certificate(self, url: str) -> x509.Certificate:
        """Return the certificate. Concurrent callers share one request."""
        if certificate := self._certificates.get(url):
            return certificate
        if url not in self._fetching:
            if len(self._fetching) >= CONCURRENT_FETCHES_MAX:
                raise Unavailable("Too many certificates are being fetched. Send the message again.")
            task = self._fetching[url] = asyncio.create_task(self._fetch(url))
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(self._fetching[url])

    async def _fetch(self, url: str) -> x509.Certificate:
        status, body = await self._get(url)
        if status != 200:
            raise Forbidden(f"SigningCertURL returned HTTP {status}.")
        try:
            certificate = x509.load_pem_x509_certificate(body)
        except ValueError:
            raise Forbidden("SigningCertURL did not return a certificate.") from None
        self._certificates[url] = certificate
        return certificate

    async def _get(self, url: str) -> tuple[int, bytes]:
        try:
            response = await self._outbound_http.get(url, TIMEOUT_S)
        except AddressNotAllowed as error:
            raise Forbidden(str(error)) from None
        except OutboundHTTPError as error:
            raise Unavailable(f"Amazon SNS is unavailable: {error}") from None
        return response.status, response.body


def _has_valid_signature(message: Mapping[str, str], certificate: x509.Certificate) -> bool:
    """Return True if the certificate is valid now and signed the message."""
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
