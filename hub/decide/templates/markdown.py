"""The Markdown subset of texts: bold, italic, code, links, lists. No HTML, no images."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!<>|~&:/@])")


def escape_markdown(value: str) -> str:
    """Return a text in which no character means anything to Markdown; line breaks become spaces."""
    return _SPECIAL.sub(r"\\\1", " ".join(value.split("\n")))
