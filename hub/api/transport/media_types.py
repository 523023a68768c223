"""Media types of request bodies and responses (RFC 9110, 8.3 and 12.5.1)."""

from functools import lru_cache

from msgspec import Struct

from hub.errors import WrongMediaType

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
EVENTS = "text/event-stream"
STREAM_RANGES = {EVENTS, "text/*"}  # media ranges that request a stream
CHARSETS = {"", "utf-8", "utf8", "us-ascii"}
IDENTITY_ENCODINGS = {"", "identity"}
EXPECTED = f"Send {JSON} in UTF-8, without a byte order mark and not compressed"
UNSUPPORTED_TYPE_HEADERS = {"accept-post": JSON, "accept-encoding": "identity"}
"""The headers of a 415 response (RFC 9110, 15.5.16)."""
QUOTED_MAX_CHARS = 80
CACHE_SIZE = 100  # number of parsed `Accept` headers


class AcceptedTypes(Struct, frozen=True):
    """`single`: the media type for a query or mutation. `events`: True if the client accepts an event stream."""

    single: str
    events: bool


@lru_cache(CACHE_SIZE)
def parse_accept(header: str) -> AcceptedTypes:
    """Parse an `Accept` header. Use the type with the highest q, or the first such type in the header.

    The default is `application/json`. A stream must be requested explicitly, because most clients send `*/*` and would
    wait for the end of the stream."""
    ranges: dict[str, tuple[float, int]] = {}
    for index, part in enumerate(header.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranges.setdefault(name, (_quality(parameters), index))
    ranked = []
    for order, media in enumerate((JSON, GRAPHQL_JSON, EVENTS)):
        quality, index = _match(ranges, media)
        if quality > 0 and (media != EVENTS or media in ranges):
            ranked.append((-quality, index, order, media))
    return AcceptedTypes(
        min(ranked)[3] if ranked else JSON, _match(ranges, EVENTS)[0] > 0 and bool(STREAM_RANGES & ranges.keys())
    )


def _match(ranges: dict[str, tuple[float, int]], media: str) -> tuple[float, int]:
    """Return the quality and position of the most specific range that matches a media type."""
    for name in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0, 0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def check_type(content_type: str, content_encoding: str) -> None:
    """Raise WrongMediaType if the headers do not describe uncompressed JSON in UTF-8."""
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media != JSON:
        raise WrongMediaType(
            f"{EXPECTED}, not {media[:QUOTED_MAX_CHARS] or 'a body without content-type'}.", "content-type"
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"')
        if name.strip() == "charset" and charset not in CHARSETS:
            raise WrongMediaType(f"{EXPECTED}, not in {charset[:QUOTED_MAX_CHARS]}.", "content-type")
    coding = content_encoding.strip().lower()
    if coding not in IDENTITY_ENCODINGS:
        raise WrongMediaType(f"{EXPECTED}: {coding[:QUOTED_MAX_CHARS]} is not supported.", "content-encoding")


def check_encoding(body: bytes | bytearray) -> None:
    """Raise WrongMediaType if the first bytes of the body show that it is not plain UTF-8."""
    start = bytes(body[:4])
    if start.startswith(b"\xef\xbb\xbf"):
        raise WrongMediaType(f"{EXPECTED}: the body begins with a byte order mark.", "body")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or 0 < start.count(0) < len(start):  # RFC 4627, 3
        raise WrongMediaType(f"{EXPECTED}: the body is UTF-16 or UTF-32.", "body")
    if start.startswith(b"\x1f\x8b"):
        raise WrongMediaType(f"{EXPECTED}: the body is gzip.", "body")
