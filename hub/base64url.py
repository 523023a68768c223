"""Base64 with the URL-safe alphabet and without padding (RFC 4648, section 5)."""

from base64 import b64decode
from binascii import b2a_base64

_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_URL_SAFE_ALPHABET = bytes.maketrans(b"+/", b"-_")


def encode(data: bytes) -> str:
    """Return `data` in base64url."""
    return b2a_base64(data, newline=False).translate(_URL_SAFE_ALPHABET).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes of a text in base64url or base64, with or without padding. Raise ValueError
    if it is invalid."""
    unpadded = text.rstrip("=").translate(_STANDARD_ALPHABET)
    try:
        return b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except ValueError:
        raise ValueError("this is not valid base64url") from None
