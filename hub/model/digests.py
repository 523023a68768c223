"""Digests."""

from enum import StrEnum

ITEMS_SHOWN = 100
"""The number of newest items in the message of a digest and in the API."""


class DigestMode(StrEnum):
    """From which delivery the window of a digest is measured."""

    FIXED = "FIXED"
    SLIDING = "SLIDING"
