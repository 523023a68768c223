"""The parts of a message that Slack, Discord, and Teams show. Pure.

A card consists of spans, which are text and a style. Each chat writes spans in its own markup, so text cannot become
markup. Links go directly to their targets: several people may read a chat, and a click of one of them must not mark the
notification of another as read.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from hub import markdown
from hub.decide.templates.digest_texts import item_body, item_title, more_text
from hub.markdown import Line, Span
from hub.platform.signed_links import absolute_url, http_url
from hub.platform.translations import because
from hub.send.buttons import Button, buttons, recipient_language
from hub.send.message import Message
from hub.send.url_finder import find_addresses
from hub.unicode_text import cut, is_blank

ELLIPSIS = "…"
LINE_BREAK = re.compile(r"\r\n?|\n")
LINK_DELIMITERS = re.compile(r"[\s<>()\[\]|\\\"`*]")


class Card(Struct, frozen=True):
    """The content of a message in a chat. `footer`: the reason why the recipient gets it. `lines` and `footer` may be
    longer than a chat allows."""

    title: str
    title_url: str | None
    lines: tuple[Line, ...]
    image_url: str | None
    buttons: tuple[Button, ...]
    footer: str


def card(message: Message) -> Card:
    """Return the card of a message."""
    n, links = message.notification, buttons(message)
    url = http_url(n.action_url) or (links[0].url if links else None)
    return Card(
        title=n.title if not is_blank(n.title) else message.tenant.name or n.category,
        title_url=url and link_target(url),
        lines=tuple(_lines(message)),
        image_url=http_url(n.image_url),
        buttons=tuple(replace(button, url=link_target(button.url)) for button in links),
        footer=because(n, recipient_language(message)),
    )


def _lines(message: Message) -> list[Line]:
    n = message.notification
    if message.items:
        return _digest_lines(message)
    if n.markdown:
        return markdown.styled_lines(n.body, lambda url: _link(absolute_url(url, message.app_url)))
    return [_with_links(line) for line in LINE_BREAK.split(n.body.strip())] if n.body.strip() else []


def _digest_lines(message: Message) -> list[Line]:
    """Return the items of a digest: each title in bold with the beginning of its text."""
    lines: list[Line] = []
    for item in message.items:
        n = item.notification
        title = item_title(n.title, n.collapsed_count)
        lines.append((Span(title, bold=True, url=_link(n.action_url)),))
        if body := item_body(n):
            lines.append((Span(body),))
        lines.append(())
    if (more := message.item_count - len(message.items)) > 0:
        lines.append((Span(more_text(more, recipient_language(message))),))
    return lines if more > 0 else lines[:-1]


def _with_links(line: str) -> Line:
    """Return a line of plain text, in which URLs are links."""
    spans, done = [], 0
    for start, end in find_addresses(line):
        spans += [Span(line[done:start]), Span(line[start:end], url=_link(line[start:end]))]
        done = end
    return tuple(span for span in (*spans, Span(line[done:])) if span.text)


def _link(url: str | None) -> str | None:
    target = http_url(url)
    return target and link_target(target)


def link_target(url: str) -> str:
    """Return a URL in which the characters that end a link in a chat's markup are percent-encoded."""
    return LINK_DELIMITERS.sub(lambda match: quote(match[0], safe=""), url)


def has_text(lines: Sequence[Line]) -> bool:
    return any(not is_blank(span.text) for line in lines for span in line)


def fit(lines: Sequence[Line], size: Callable[[Span], int], max_size: int, line_size: int = 1) -> tuple[Line, ...]:
    """Return the lines, or as much of their beginning as fits. Text that is cut ends with an ellipsis.

    `size` returns the size of a span. `line_size` is what each line but the first adds."""
    if sum(line_size + sum(map(size, line)) for line in lines) <= max_size + line_size:
        return tuple(lines)
    left = max_size + line_size - size(Span(ELLIPSIS))
    fitting: list[Line] = []
    for line in lines:
        left -= line_size
        kept: list[Span] = []
        for span in line:
            if (needed := size(span)) > left:
                return (*fitting, (*kept, *_cut_span(span, size, left), Span(ELLIPSIS)))
            kept.append(span)
            left -= needed
        fitting.append(tuple(kept))
    return (*fitting, (Span(ELLIPSIS),))


def _cut_span(span: Span, size: Callable[[Span], int], max_size: int) -> tuple[Span, ...]:
    def shortened(chars: int) -> Span:
        return replace(span, text=cut(span.text, chars))

    chars = bisect_right(range(1, len(span.text)), max_size, key=lambda chars: size(shortened(chars)))
    return (shortened(chars),) if chars and shortened(chars).text else ()


def shorten(text: str, size: Callable[[str], int], max_size: int) -> str:
    """Return a text of one line, cut with an ellipsis if its size exceeds `max_size`."""
    [line] = fit([(Span(text),)], lambda span: size(span.text), max_size, line_size=0)
    return "".join(span.text for span in line)


def parts(text: str) -> tuple[str, str, str]:
    """Return the white space before a text, the text, and the white space after it. Styles must not include them."""
    inner = text.strip()
    start = text.index(inner)
    return (text[:start], inner, text[start + len(inner) :]) if inner else (text, "", "")


def utf16_units(text: str) -> int:
    """Return the length of a text as chats count it at most: an emoji counts as two or more."""
    return len(text.encode("utf-16-le")) // 2
