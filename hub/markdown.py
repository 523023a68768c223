r"""The Markdown subset of a notification's body: paragraphs, lists, bold, italic, code, and links.

Everything else is plain text, also HTML and images. Each line break is kept. A link has the scheme http or https, or is
a path within the app; the text of other links is not changed.

The parser is markdown-it-py with two rules of this module. `frontend-demo/packages/inbox/src/inbox/markdown.ts`
implements the same subset, and `tests/markdown_cases.json` contains texts that both must render equally.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, list_block
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup, escape
from msgspec import Struct

MARKDOWN_MAX_CHARS = 16 * 1024  # hostile texts of this length take a tenth of a second
URL_MAX_CHARS = 2048
NESTED_LISTS_MAX = 8  # deeper lists are paragraphs
NESTED_EMPHASIS_MAX = 8  # deeper text is not emphasized further
CACHE_SIZE = 16  # texts; all recipients of a send have the same text, which an email uses three times
BULLET = "• "

T = TypeVar("T")

ResolveLink = Callable[[str], str | None]
"""Returns the URL for the URL of a link, or None if the link cannot be opened outside the app."""

_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_URL_CHAR = rf"[^\x00-\x20\x7f-\x9f\u2028\u2029()<>\\]|\\{_PUNCTUATION}"
_TITLE = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_TARGET = re.compile(
    rf"\([ \n]*(?:<((?:{_URL_CHAR}|[()])+)>|((?:{_URL_CHAR}|\((?:{_URL_CHAR})*\))+))(?:[ \n]+(?:{_TITLE}))?[ \n]*\)",
    re.DOTALL,
)
"""The part of a link after its text: `(url)`, `(<url>)`, or `(url "title")`. Brackets in a URL must be balanced."""
_ESCAPE = re.compile(rf"\\({_PUNCTUATION})")
_URL = re.compile(r"https?://[^/\\]|/(?![/\\])", re.IGNORECASE)
_SPECIAL = re.compile(r"[\[\]\\]|`+")
_BACKTICKS = re.compile(r"`+")
_MARKUP_CHARS = re.compile(r"([\\`*_{}\[\]()#+\-.!<>|~&:/@])")


class Span(Struct, frozen=True):
    """A part of a line with one style. `url` is the target of a link."""

    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False
    url: str | None = None


Line = tuple[Span, ...]


class Block(Struct, frozen=True):
    """A paragraph or a list. `tokens` are those of markdown-it."""

    tokens: tuple[Token, ...]

    @property
    def is_list(self) -> bool:
        return self.tokens[0].tag != "p"

    def html(self, link: ResolveLink, styles: Mapping[str, str] | None = None) -> Markup:
        """Return the block as HTML. `styles` contains the value of the attribute `style` for the name of an element."""
        return Markup("").join(_block_html(self.tokens, link, styles or {}))

    def text(self, link: ResolveLink) -> str:
        """Return the block as plain text. A link is its text with the URL in brackets."""
        return "\n".join(prefix + line for prefix, line in _block_lines(self.tokens, _text_lines, link))

    def lines(self, link: ResolveLink) -> list[Line]:
        """Return the lines of the block, with the markers of list items as text."""
        return [
            (Span(prefix), *line) if prefix else line for prefix, line in _block_lines(self.tokens, _span_lines, link)
        ]


@lru_cache(CACHE_SIZE)
def parse(markdown: str) -> tuple[Block, ...]:
    """Return the blocks of a text."""
    tokens = _PARSER.parse(markdown.replace("\t", "    "))
    ends = [at + 1 for at, token in enumerate(tokens) if token.level == 0 and token.nesting == -1]
    return tuple(Block(tuple(tokens[start:end])) for start, end in pairwise([0, *ends]))


def without_url(_: str) -> None:
    """Return None: a link is only its text, without the URL."""


def plain_text(markdown: str, link: ResolveLink = without_url) -> str:
    """Return a text without markup."""
    parts: list[str] = []
    for gap, block in _spaced(parse(markdown)):
        if parts:
            parts.append("\n\n" if gap else "\n")
        parts.append(block.text(link))
    return "".join(parts)


def styled_lines(markdown: str, link: ResolveLink) -> list[Line]:
    """Return the lines of a text with their styles. An empty line separates blocks."""
    lines: list[Line] = []
    for gap, block in _spaced(parse(markdown)):
        lines += [(), *block.lines(link)] if gap and lines else block.lines(link)
    return lines


def _spaced(blocks: tuple[Block, ...]) -> Iterator[tuple[bool, Block]]:
    """Yield each block with True if an empty line separates it from the one before. A list follows its paragraph."""
    after_paragraph = False
    for block in blocks:
        yield not (block.is_list and after_paragraph), block
        after_paragraph = not block.is_list


def escape_markdown(value: str) -> str:
    """Return a value for a Markdown text, in which none of its characters is markup. Line breaks become spaces."""
    return _MARKUP_CHARS.sub(r"\\\1", " ".join(value.split("\n")))


def _link(state: StateInline, silent: bool) -> bool:
    """Parse a link. Its text contains no other link. This rule replaces the one of markdown-it."""
    start, end = state.pos + 1, state.posMax
    if state.src[state.pos] != "[" or (text_end := _link_text_end(state.src, start, end)) is None:
        return False
    target = _TARGET.match(state.src, text_end + 1, end)
    if not target:
        return False
    url = _ESCAPE.sub(r"\1", target[1] or target[2])
    if len(url) > URL_MAX_CHARS or not _URL.match(url):
        return False
    if not silent:
        state.push("link_open", "a", 1).attrs = {"href": url}
        state.pos, state.posMax = start, text_end
        state.md.inline.tokenize(state)
        state.push("link_close", "a", -1)
    state.pos, state.posMax = target.end(), end
    return True


def _link_text_end(source: str, start: int, end: int) -> int | None:
    """Return the position of the bracket that ends the text of a link, or None if another bracket begins before."""
    at = start
    while found := _SPECIAL.search(source, at, end):
        at = found.end()
        if found[0] == "]":
            return found.start()
        if found[0] == "[":
            return None
        if found[0] == "\\":
            at += 1
        else:
            closing = (run.end() for run in _BACKTICKS.finditer(source, at, end) if len(run[0]) == len(found[0]))
            at = next(closing, at)
    return None


def _list(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Parse a list, unless it is nested too deeply."""
    return (silent or state.level < 2 * NESTED_LISTS_MAX) and list_block(state, start, end, silent)


def _create_parser() -> MarkdownIt:
    parser = MarkdownIt("zero").enable(["list", "newline", "escape", "backticks", "emphasis", "link"])
    parser.inline.ruler.at("link", _link)
    parser.block.ruler.at("list", _list, {"alt": ["paragraph"]})
    return parser


_PARSER = _create_parser()


def _block_html(tokens: tuple[Token, ...], link: ResolveLink, styles: Mapping[str, str]) -> Iterator[Markup]:
    previous = ""
    without_tag = False  # the first paragraph of a list item
    for token in tokens:
        if token.type == "inline":
            yield from _inline_html(token.children or [], link, styles)
        elif token.nesting == 1:
            without_tag = token.tag == "p" and previous == "list_item_open"
            if not without_tag:
                yield _start_tag(token.tag, styles, **token.attrs)
        elif token.tag != "p" or not without_tag:
            yield Markup("</{}>").format(token.tag)
        previous = token.type


def _inline_html(tokens: list[Token], link: ResolveLink, styles: Mapping[str, str]) -> Iterator[Markup]:
    open_tags: list[str] = []  # an empty text for an element that is left out
    for token in tokens:
        if token.type == "text":
            yield escape(token.content)
        elif token.type == "code_inline":
            yield _start_tag("code", styles) + escape(token.content) + Markup("</code>")
        elif token.tag == "br":
            yield Markup("<br>")
        elif token.nesting == 1:
            url = link(str(token.attrs["href"])) if token.tag == "a" else None
            left_out = url is None if token.tag == "a" else len(open_tags) >= NESTED_EMPHASIS_MAX
            open_tags.append("" if left_out else token.tag)
            if not left_out:
                yield _start_tag(token.tag, styles, **({"href": url} if url else {}))
        elif tag := open_tags.pop():
            yield Markup("</{}>").format(tag)


def _start_tag(tag: str, styles: Mapping[str, str], **attributes: object) -> Markup:
    if tag in styles:
        attributes["style"] = styles[tag]
    written = Markup("").join(Markup(' {}="{}"').format(name, value) for name, value in attributes.items())
    return Markup("<{}{}>").format(tag, written)


def _block_lines(
    tokens: tuple[Token, ...], split_lines: Callable[[list[Token], ResolveLink], list[T]], link: ResolveLink
) -> Iterator[tuple[str, T]]:
    """Yield each line as its indentation and list marker, and as what `split_lines` returns for its text."""
    numbers: list[int | None] = []  # the number of the next item of each list; None for bullets
    widths: list[int] = []  # the indentation by each item
    prefix = ""  # of the item's first line
    for token in tokens:
        indent = " " * sum(widths)
        if token.type == "inline":
            for line in split_lines(token.children or [], link):
                yield prefix or indent, line
                prefix = ""
        elif token.type == "list_item_open":
            number = numbers[-1]
            marker = BULLET if number is None else f"{number}. "
            numbers[-1] = None if number is None else number + 1
            prefix = (prefix or indent) + marker
            widths.append(len(marker))
        elif token.type == "list_item_close":
            if prefix:
                yield prefix.rstrip(), split_lines([], link)[0]
                prefix = ""
            widths.pop()
        elif token.tag != "p" and token.nesting == 1:
            numbers.append(int(token.attrs.get("start", 1)) if token.tag == "ol" else None)
        elif token.tag != "p":
            numbers.pop()


def _text_lines(tokens: list[Token], link: ResolveLink) -> list[str]:
    parts: list[str] = []
    url, text_start = None, 0
    for token in tokens:
        if token.type == "link_open":
            url, text_start = link(str(token.attrs["href"])), len(parts)
        elif token.type == "link_close":
            if url and "".join(parts[text_start:]) != url:
                parts.append(f" ({url})")
        else:
            parts.append("\n" if token.tag == "br" else token.content)
    return "".join(parts).split("\n")


def _span_lines(tokens: list[Token], link: ResolveLink) -> list[Line]:
    lines: list[list[Span]] = [[]]
    open_tags: Counter[str] = Counter()
    url: str | None = None
    for token in tokens:
        if token.type == "link_open":
            url = link(str(token.attrs["href"]))
        elif token.type == "link_close":
            url = None
        elif token.tag == "br":
            lines.append([])
        elif token.nesting:
            open_tags[token.tag] += token.nesting
        elif token.content:
            bold, italic = open_tags["strong"] > 0, open_tags["em"] > 0
            lines[-1].append(Span(token.content, bold, italic, token.type == "code_inline", url))
    return [tuple(spans) for spans in lines]
