"""Rules for Unicode text: identifiers, single lines, blank texts, case folding for searches, and similar names."""

import re
import unicodedata
from collections.abc import Collection
from difflib import get_close_matches

SIMILARITY = 0.8  # of a name that is suggested, from 0 to 1
SIMILAR_MAX_CHARS = 64  # longer names are not compared
IDENTIFIER_MAX_CHARS = 256
IDENTIFIER_RULE = (
    f"1 to {IDENTIFIER_MAX_CHARS} characters in Unicode form NFC, with no control, formatting or invisible characters, "
    "no space other than U+0020, and none at its ends"
)
"""Completes a sentence: `An id is ...`."""

# Default_Ignorable_Code_Point in Unicode 16 (DerivedCoreProperties.txt), except characters of category Cf.
_IGNORABLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff"
)
_FORMAT = (  # characters of category Cf
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)
_CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_OTHER_SPACE = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"
_JOINER = "\u200d"
CONTROL_CHARACTERS = re.compile(f"[{_CONTROL}]")
UNSEEN = re.compile(f"[{_CONTROL}{_FORMAT}{_IGNORABLE}{_OTHER_SPACE}]")
BLANK = re.compile(f"[{_CONTROL}{_FORMAT}{_IGNORABLE}{_OTHER_SPACE} ]*")
IGNORED = re.compile(f"[{_FORMAT}{_IGNORABLE}]")
EMOJI_PARTS = re.compile(f"[{_JOINER}\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")  # joiner, skin tones, tags
FLAG_LETTERS = "\U0001f1e6", "\U0001f1ff"  # the first and the last; two letters are one flag
CLUSTER_MAX_CHARS = 64  # longer sequences of marks are cut anywhere


def is_identifier(text: str) -> bool:
    """Return True if `text` follows IDENTIFIER_RULE, which ensures that different identifiers also look different."""
    if not 0 < len(text) <= IDENTIFIER_MAX_CHARS or text[0] == " " or text[-1] == " ":
        return False
    return (text.isascii() and text.isprintable()) or (
        not UNSEEN.search(text) and unicodedata.is_normalized("NFC", text)
    )


def is_single_line(text: str) -> bool:
    """Return True if `text` contains no control characters and no line breaks. Joiners and emoji are allowed."""
    return not CONTROL_CHARACTERS.search(text)


def single_line(text: str) -> str:
    """Return `text` with each run of control characters, line breaks, and whitespace replaced by one space."""
    return " ".join(CONTROL_CHARACTERS.sub(" ", text).split())


def cut(text: str, max_chars: int) -> str:
    """Return the longest beginning of a text with at most `max_chars` characters that does not end within an emoji or
    between a letter and its marks (Unicode, UAX 29)."""
    if len(text) <= max_chars:
        return text
    end = max_chars
    while max_chars - CLUSTER_MAX_CHARS < end > 0 and not _is_boundary(text, end):
        end -= 1
    return text[: end if _is_boundary(text, end) else max_chars]


def _is_boundary(text: str, at: int) -> bool:
    """Return True if a text can be cut before the character at `at`."""
    if at == 0:
        return True
    if EMOJI_PARTS.match(text, at) or unicodedata.category(text[at])[0] == "M" or text[at - 1] == _JOINER:
        return False
    start, (first, last) = at, FLAG_LETTERS
    while start and first <= text[start - 1] <= last:
        start -= 1
    return not ((at - start) % 2 and first <= text[at] <= last)


def is_blank(text: str) -> bool:
    """Return True if `text` contains no visible character."""
    return BLANK.fullmatch(text) is not None


def folded(text: str) -> str:
    """Return the form of a text that searches compare: NFKC_Casefold (Unicode 3.13). The dotted and dotless letters I
    of Turkish become one letter, because the language of a text is unknown."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = unicodedata.normalize("NFKC", IGNORED.sub("", text))
    return text.replace("i\u0307", "i").replace("\u0131", "i")


def needs_folding(text: str) -> bool:
    """Return True if a case-insensitive comparison of single characters misses matches that `folded` finds."""
    if text.isascii():
        return False
    form = folded(text)
    return len(form) != len(text) or form != text.lower()


def similar_names(name: str, names: Collection[str], count: int = 1) -> list[str]:
    """Return up to `count` of `names` that are similar to a misspelled name, the most similar first."""
    if len(name) > SIMILAR_MAX_CHARS:
        return []
    return get_close_matches(name, [one for one in names if len(one) <= SIMILAR_MAX_CHARS], count, SIMILARITY)
