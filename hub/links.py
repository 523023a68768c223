"""The rule for links in notifications."""

from urllib.parse import urlsplit

from hub.unicode_text import is_single_line

URL_MAX_CHARS = 2048
LINK_RULE = f"an http(s) URL or a path that starts with a single slash, with at most {URL_MAX_CHARS} characters"
"""Completes a sentence: `A link must be ...`."""


def is_link(url: str) -> bool:
    """Return True if a link follows LINK_RULE and therefore cannot run code."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        return False
    is_path = url.startswith("/") and not url.startswith(("//", "/\\"))
    return len(url) <= URL_MAX_CHARS and is_single_line(url) and (scheme in {"http", "https"} or is_path)
