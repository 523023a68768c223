"""Verifies requests from Twilio.

The signature is the HMAC-SHA1 of the URL that Twilio called, followed by the names and values of the form, sorted by
name. Twilio adds or omits the default port. Its documentation does not say if the fragment of the URL is signed.

API: https://www.twilio.com/docs/usage/security#validating-requests
"""

import hmac
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha1
from urllib.parse import urlsplit

from hub.platform.twilio_callback import RETRY_FRAGMENT

DEFAULT_PORTS = {"https": 443, "http": 80}
Form = Sequence[tuple[str, str]]
"""The names and values of a form. A name may occur several times."""


def is_signed(signature: str, url: str, form: Form, auth_token: str) -> bool:
    """Return True if Twilio signed the request to `url` with the token."""
    return any(hmac.compare_digest(sign(one, form, auth_token), signature.encode()) for one in _spellings(url))


def sign(url: str, form: Form, auth_token: str) -> bytes:
    """Return the signature of a request."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    for name, value in form:
        values[name].add(value)
    signed = url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    return b64encode(hmac.new(auth_token.encode(), signed.encode(), sha1).digest())


def _spellings(url: str) -> Iterator[str]:
    """Yield the URL with and without its port, and with and without the fragment that makes Twilio repeat calls."""
    parts = urlsplit(url)
    host = parts.netloc.removesuffix(f":{parts.port}")
    for netloc in (host, f"{host}:{parts.port or DEFAULT_PORTS.get(parts.scheme, '')}"):
        spelling = parts._replace(netloc=netloc).geturl()
        yield from (spelling, spelling + RETRY_FRAGMENT)
