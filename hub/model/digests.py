"""The modes of digests."""

from enum import StrEnum


class DigestMode(StrEnum):
    """From which delivery the window of a digest is measured."""

    FIXED = "FIXED"
    SLIDING = "SLIDING"
