"""The kinds and modes of digests."""

from enum import StrEnum

ITEMS_SHOWN = 100
"""The number of newest items in the message of a digest and in the API."""


class DigestKind(StrEnum):
    """The deliveries that a digest gathers: those with one key, or those that quiet hours and do-not-disturb held."""

    DIGEST = "DIGEST"
    BRIEFING = "BRIEFING"


class DigestMode(StrEnum):
    """From which delivery the window of a digest is measured."""

    FIXED = "FIXED"
    SLIDING = "SLIDING"
