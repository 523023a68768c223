"""The public key that browsers use to subscribe to web push. Commands import this module, so it imports no server."""

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub import base64url
from hub.errors import Unavailable
from hub.settings.value_parsers import vapid_key


def vapid_public_key(private: str) -> str:
    """Return the public key of a private key, as an uncompressed point in base64url (RFC 8292).

    `private`: a key in the format of `hub vapid`, 32 bytes or DER in base64url. Raise Unavailable for anything else.
    """
    try:
        key = vapid_key(private)
    except ValueError:
        raise Unavailable(
            "Web push is misconfigured: HUB_VAPID_PRIVATE_KEY is not a valid key. `hub vapid` creates one."
        ) from None
    return base64url.encode(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
