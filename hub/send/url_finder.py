"""The search for URLs in plain text. Pure.

`linkify-it-py` 2.2 is not used because it misses a URL that follows a CJK letter, includes CJK punctuation and
typographic quotes in the URL, and ignores hosts with an underscore.
"""

import re
import unicodedata

from hub.platform.signed_links import http_url

CANDIDATE = re.compile(r"(?<![a-z0-9])https?://[^\s\x00-\x20\x7f<>\"`\\^|]+", re.IGNORECASE)
ADDRESS_MAX_CHARS = 2048
CLOSING = {")": "(", "]": "[", "}": "{"}
OPENING = frozenset(CLOSING.values())
TRAILING = frozenset(".,;:!?'*~") | OPENING
"""Characters that are allowed inside a URL but not at its end."""
INSIDE = frozenset("\u00b7\u30fb\u200c\u200d")  # middle dots and joiners, which are part of words
QUOTES_AND_BRACKETS = {"Pi", "Pf", "Ps", "Pe"}
WIDE = {"W", "F", "H"}  # East Asian width
END_CATEGORIES = {"Cc", "Cf", "Zl", "Zp", "Zs"}


def find_addresses(text: str) -> list[tuple[int, int]]:
    """Return the start and end of each http or https URL, without the surrounding punctuation."""
    spans, at = [], 0
    while match := CANDIDATE.search(text, at):
        start, at = match.start(), match.end()
        end = start + len(_trim(match[0][:ADDRESS_MAX_CHARS]))
        if end > start + len("https://") - 1 and _is_address(text[start:end]):
            spans.append((start, end))
            at = end
    return spans


def _trim(candidate: str) -> str:
    """Return the candidate up to the first quote, CJK punctuation, or unbalanced closing bracket."""
    open_brackets: list[str] = []
    end = len(candidate)
    for at, character in enumerate(candidate):
        if character in OPENING:
            open_brackets.append(character)
        elif opened := CLOSING.get(character):
            if not open_brackets or open_brackets.pop() != opened:
                end = at
                break
        elif not character.isascii() and _ends_url(character):
            end = at
            break
    while end and (candidate[end - 1] in TRAILING or _is_foreign_punctuation(candidate[end - 1])):
        end -= 1
    return candidate[:end]


def _ends_url(character: str) -> bool:
    """Return True if a non-ASCII character is whitespace, a quote, a bracket, or CJK punctuation."""
    if character in INSIDE:
        return False
    category = unicodedata.category(character)
    if category in END_CATEGORIES or category in QUOTES_AND_BRACKETS:
        return True
    return category.startswith("P") and unicodedata.east_asian_width(character) in WIDE


def _is_foreign_punctuation(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character) == "Po"


def _is_address(text: str) -> bool:
    """Return True if the URL is valid. IPv6 hosts are in brackets; other hosts begin with a letter or digit."""
    host = text.partition("://")[2]
    return bool(http_url(text)) and (host[:1].isalnum() or host[:1] == "[")
