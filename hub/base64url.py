"""Base64 with the URL-safe alphabet and without padding (RFC 4648, section 5)."""

from base64 import b64decode, urlsafe_b64encode

_STANDARD_ALPHABET = str.maketrans("-_", "+/")


def encode(data: bytes) -> str:
    """Return `data` in base64url."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Return the bytes of a text in base64url or base64, with or without padding. Raise ValueError
    if it is invalid."""
    unpadded = text.rstrip("=").translate(_STANDARD_ALPHABET)
    try:
        return b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except ValueError:
        raise ValueError("this is not valid base64url") from None
