"""Limits of a template's source, checked before any parser reads it.

The parsers have no limits of their own: python-liquid's time grows with the number and length of tags, and the HTML
parsers recurse: 3,000 nested elements end the process. Every check here reads the source once.
"""

import re

from hub.decide.templates.errors import TemplateError

SOURCE_MAX_LENGTH = 64 * 1024
HTML_SOURCE_MAX_LENGTH = 256 * 1024
SOURCE_MAX_TAGS = 500  # of `{{` and `{%`: 13,000 take a quarter of a second to parse
SOURCE_MAX_FILTERS = 1_000
TAG_MAX_LENGTH = 4_000  # characters: a condition of 7,000 terms takes a tenth of a second to parse
BRACKETS_MAX_DEPTH = 30
HTML_MAX_ELEMENTS = 10_000
HTML_MAX_DEPTH = 200

_BRACKETS = re.compile(rf"(?:\[[^\[\]]*){{{BRACKETS_MAX_DEPTH + 1}}}")
_HTML_TOKEN = re.compile(r"<!--|-->|<(/?)([a-zA-Z][\w:-]*)|(/?)>")
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)


def check_source(source: str, max_length: int = SOURCE_MAX_LENGTH) -> None:
    """Raise TemplateError if the Liquid of a source exceeds a limit, or if a tag is not closed."""
    if len(source) > max_length:
        raise TemplateError(f"the template has more than {max_length} characters")
    if source.count("{{") + source.count("{%") > SOURCE_MAX_TAGS:
        raise TemplateError(f"the template has more than {SOURCE_MAX_TAGS} tags")
    if source.count("|") > SOURCE_MAX_FILTERS:
        raise TemplateError(f"the template has more than {SOURCE_MAX_FILTERS} filters")
    for opening, closing in (("{{", "}}"), ("{%", "%}")):
        start = source.find(opening)
        while start >= 0:
            end = source.find(closing, start)
            if end < 0:
                raise TemplateError(f"`{opening}` is not closed", source.count("\n", 0, start) + 1)
            if end - start > TAG_MAX_LENGTH:
                reason = f"a tag is longer than {TAG_MAX_LENGTH} characters"
                raise TemplateError(reason, source.count("\n", 0, start) + 1)
            start = source.find(opening, end)
    if _BRACKETS.search(source):
        raise TemplateError("an expression is nested too deeply")


def check_html(source: str) -> None:
    """Raise TemplateError if HTML or MJML has too many elements, or if they are nested too deeply.

    Depth counts every element that is opened and not closed by a tag of its own name, as the parsers do at worst.
    """
    open_names: list[str] = []
    elements = 0
    name = ""
    in_comment = False
    for match in _HTML_TOKEN.finditer(source):
        if in_comment or match[0] == "<!--":
            in_comment = match[0] != "-->"
        elif match[2]:
            name = match[2].lower()
            elements += 1
            if not match[1]:
                open_names.append(name)
            elif open_names and name == open_names[-1]:
                open_names.pop()
        elif name and match[0] != "-->":
            self_closed = bool(match[3]) and name.startswith("mj-")
            if open_names and open_names[-1] == name and (self_closed or name in _VOID):
                open_names.pop()
            name = ""
        if elements > HTML_MAX_ELEMENTS:
            raise TemplateError(f"the HTML has more than {HTML_MAX_ELEMENTS} elements")
        if len(open_names) > HTML_MAX_DEPTH:
            reason = f"the HTML has more than {HTML_MAX_DEPTH} nested or unclosed elements"
            raise TemplateError(reason, source.count("\n", 0, match.start()) + 1)
