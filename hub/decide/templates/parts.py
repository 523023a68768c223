"""A whole template: each of its texts with the right syntax, and the checks after rendering.

A text that is too long is cut, control characters are removed, and a link that could run code is an error: the data of
a send cannot make a title a second header of an email, nor a button a script.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from hub.decide.templates.email_html_compiler import compile_html
from hub.decide.templates.errors import MissingValue, RenderTimeError, TemplateError
from hub.decide.templates.liquid_rendering import RENDER_MAX_S, ParsedTemplate, Syntax, parse
from hub.decide.templates.render_input import RenderInput
from hub.decide.templates.source_limits import check_source
from hub.links import LINK_RULE, is_link
from hub.markdown import MARKDOWN_MAX_CHARS
from hub.model import Action, Channel, TemplateTexts
from hub.platform.cpu_timer import CpuTimer
from hub.unicode_text import CONTROL_CHARACTERS, is_blank, single_line

T = TypeVar("T")
LABEL_MAX_CHARS = 256
WHATSAPP_VARIABLE_MAX_CHARS = 1024
EMAIL_CLIPPED_BYTES = 102 * 1024  # Gmail hides the rest of a longer email behind a link
ELLIPSIS = "…"
SLOW_S = 0.005  # processor time of the texts for one channel
WITHOUT_TITLE = frozenset({Channel.SMS, Channel.WHATSAPP})
"""The channels whose messages have no title."""
SAMPLE_CHANNELS = (Channel.IN_APP, Channel.EMAIL, Channel.WHATSAPP)
"""Channels that together use all texts of a template."""

_LINE_BREAK = re.compile("\r\n?|[\u2028\u2029]")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_HTML_URL = re.compile(
    r"""[\s"'/](?:href|src|srcset|action|formaction|background|poster)\s*=\s*(?:"([^"]*)|'([^']*)|([^\s>"']+))""",
    re.IGNORECASE,
)
_SCRIPT_URL = re.compile(r"(?:javascript|vbscript|data(?!:image/(?:png|jpeg|gif|webp)))\s*:", re.IGNORECASE)


class TextLimits(Struct, frozen=True):
    """The limits of a notification's content."""

    title_max_chars: int
    body_max_bytes: int


class Rendered(Struct, frozen=True, kw_only=True):
    """The rendered texts of a template for one channel."""

    body: str
    markdown: bool = False
    title: str | None = None
    subject: str | None = None
    html: str | None = None
    preheader: str | None = None
    action_url: str | None = None
    image_url: str | None = None
    actions: tuple[Action, ...] = ()
    whatsapp_content_sid: str | None = None
    whatsapp_variables: tuple[str, ...] = ()


class Reads(Struct, frozen=True):
    """What texts read. `personal`: something that recipients of one send do not share."""

    personal: bool
    locale: bool
    timezone: bool


def _render(parsed: ParsedTemplate, given: RenderInput, timer: CpuTimer | None) -> str:
    return parsed.render(given.values, locale=given.locale, timezone=given.timezone, now=given.now, timer=timer)


class StoredTemplate:
    """The texts of a template, each parsed when it is first used. `version`: 0 if the texts are not stored."""

    def __init__(self, texts: TemplateTexts, version: int = 0) -> None:
        self.texts = texts
        self.version = version
        self._slow: set[Channel] = set()
        self._sources = {name: (source, syntax) for name, source, syntax in _sources(texts)}
        self._parsed: dict[str, ParsedTemplate] = {}
        self._parts_for: dict[Channel, tuple[str, ...]] = {}
        self._reads: dict[Channel, Reads] = {}

    def __contains__(self, part: str) -> bool:
        return part in self._sources

    def part(self, name: str) -> ParsedTemplate:
        """Return a text of the template. Raise TemplateError if this version of the hub cannot parse it."""
        parsed = self._parsed.get(name)
        if parsed is None:
            source, syntax = self._sources[name]
            if name == "html" and self.texts.compiled_html is not None:
                source = self.texts.compiled_html
            try:
                parsed = self._parsed[name] = parse(source, syntax)
            except TemplateError as error:
                raise TemplateError(error.reason, error.line, name) from error
        return parsed

    def render_part(self, name: str, given: RenderInput, timer: CpuTimer | None = None) -> str:
        """Return a text as it is rendered, before the checks. Raise TemplateError. `timer` was started with the first
        of the texts that share the time limit."""
        try:
            return _render(self.part(name), given, timer)
        except TemplateError as error:
            reason, line = error.reason, error.line
            if name == "html":  # the lines of compiled HTML are not those of the source
                line = self._line_in_source(given)
            raise type(error)(reason, line, name) from error

    def _line_in_source(self, given: RenderInput) -> int | None:
        try:
            _render(parse(*self._sources["html"]), given, None)
        except TemplateError as error:
            return error.line
        return None

    @contextmanager
    def timed(self, channel: Channel) -> Iterator[CpuTimer]:
        """Measure the rendering of the texts for a channel."""
        timer = CpuTimer()
        try:
            yield timer
        finally:
            if timer.exceeds(SLOW_S):
                self._slow.add(channel)
            else:
                self._slow.discard(channel)

    def is_slow(self, channel: Channel) -> bool:
        """Return True if the texts for a channel took longer than SLOW_S when they were last rendered."""
        return channel in self._slow

    @property
    def heading(self) -> str | None:
        """The name of the text that is the title. `subject` and `title` stand for each other."""
        return next((name for name in ("title", "subject") if name in self), None)

    @property
    def subject(self) -> str | None:
        """The name of the text that is the subject of an email."""
        return "subject" if "subject" in self else self.heading

    def parts_for(self, channel: Channel) -> tuple[str, ...]:
        """Return the names of the texts that a channel uses."""
        if (names := self._parts_for.get(channel)) is None:
            names = self._parts_for[channel] = self._find_parts(channel)
        return names

    def _find_parts(self, channel: Channel) -> tuple[str, ...]:
        used = {self.heading, "body", "actionUrl", "imageUrl"}
        if channel is Channel.EMAIL:
            used |= {self.subject, "html", "preheader"}
        variables = channel is Channel.WHATSAPP
        return tuple(
            name
            for name in self._sources
            if name in used or name.startswith("actions.") or (variables and name.startswith("whatsappVariables."))
        )

    def reads(self, channel: Channel) -> "Reads":
        """Return what the texts for a channel read. Raise TemplateError."""
        if (reads := self._reads.get(channel)) is None:
            parts = [self.part(name) for name in self.parts_for(channel)]
            reads = self._reads[channel] = Reads(
                personal=any(part.personal for part in parts),
                locale=any(part.uses_locale for part in parts),
                timezone=any(part.uses_timezone for part in parts),
            )
        return reads


def _sources(texts: TemplateTexts) -> Iterator[tuple[str, str, Syntax]]:
    """Yield name, source and syntax of each text that is set."""
    plain = {
        "subject": texts.subject,
        "title": texts.title,
        "preheader": texts.preheader,
        "actionUrl": texts.action_url,
        "imageUrl": texts.image_url,
    }
    for name, source in plain.items():
        if source is not None:
            yield name, source, Syntax.TEXT
    yield "body", texts.body, Syntax.MARKDOWN if texts.markdown else Syntax.TEXT
    if texts.html is not None:
        yield "html", texts.html, Syntax.HTML
    for index, action in enumerate(texts.actions):
        yield f"actions.{index}.label", action.label, Syntax.TEXT
        if action.url is not None:
            yield f"actions.{index}.url", action.url, Syntax.TEXT
    for index, variable in enumerate(texts.whatsapp_variables):
        yield f"whatsappVariables.{index}", variable, Syntax.TEXT


def compiled(texts: TemplateTexts) -> TemplateTexts:
    """Return the texts with compiled HTML and the names of their variables.

    Raises:
        TemplateError: a text is not valid. The error names the text and the line.
    """
    _check_sources(texts)
    variables: set[str] = set()
    for name, source, syntax in _sources(texts):
        try:
            variables |= set(parse(source, syntax).variables)
            if name == "html":
                texts = replace(texts, compiled_html=compile_html(source))
        except TemplateError as error:
            raise TemplateError(error.reason, error.line, name) from error
    if texts.compiled_html is not None:
        StoredTemplate(texts).part("html")  # compiled HTML is longer than its source
    return replace(texts, variables=tuple(sorted(variables)))


def _check_sources(texts: TemplateTexts) -> None:
    """Check each text, and all texts except the HTML together, before any of them is parsed."""
    small = []
    for name, source, syntax in _sources(texts):
        if syntax is Syntax.HTML:
            continue
        try:
            check_source(source)
        except TemplateError as error:
            raise TemplateError(error.reason, error.line, name) from error
        small.append(source)
    check_source("\n".join(small))


def render(template: StoredTemplate, channel: Channel, given: RenderInput, limits: TextLimits) -> Rendered:
    """Return the texts that a channel uses.

    Raises:
        TemplateError: a value is missing, a limit of rendering is exceeded, the title is blank, or a link could run
            code. The error names the text, the line and the variable.
    """
    texts = template.texts
    rendered = _in_time(lambda: _render_parts(template, channel, given))
    title = _line(rendered.get(template.heading or ""), limits.title_max_chars)
    if title is None and channel not in WITHOUT_TITLE and not given.stand_in:
        raise TemplateError("no visible character is left after rendering", part=template.heading or "title")
    body_max_bytes = min(limits.body_max_bytes, MARKDOWN_MAX_CHARS) if texts.markdown else limits.body_max_bytes
    email = channel is Channel.EMAIL
    html = rendered.get("html")
    return Rendered(
        title=title,
        subject=_line(rendered[template.subject], limits.title_max_chars) if email and template.subject else None,
        body=_cut_bytes(_plain(rendered["body"]), body_max_bytes),
        markdown=texts.markdown,
        html=None if html is None else _checked_html(html),
        preheader=_line(rendered.get("preheader"), LABEL_MAX_CHARS),
        action_url=_link(rendered, "actionUrl"),
        image_url=_link(rendered, "imageUrl"),
        actions=tuple(_actions(texts, rendered)),
        whatsapp_content_sid=texts.whatsapp_content_sid if channel is Channel.WHATSAPP else None,
        whatsapp_variables=tuple(
            _line(value, WHATSAPP_VARIABLE_MAX_CHARS) or ""
            for name, value in rendered.items()
            if name.startswith("whatsappVariables.")
        ),
    )


def render_html(template: StoredTemplate, given: RenderInput) -> str:
    """Return the HTML of an email layout. Raise TemplateError."""
    return _checked_html(_in_time(lambda: template.render_part("html", given)))


def _in_time(render: Callable[[], T]) -> T:
    """Return what is rendered. What takes too long is rendered once more: the first rendering of a process loads the
    data of the locale, and the garbage collector may interrupt any."""
    try:
        return render()
    except RenderTimeError:
        return render()


def _render_parts(template: StoredTemplate, channel: Channel, given: RenderInput) -> dict[str, str]:
    """Render the texts that a channel uses, together in RENDER_MAX_S."""
    rendered: dict[str, str] = {}
    with template.timed(channel) as timer:
        for name in template.parts_for(channel):
            if timer.exceeds(RENDER_MAX_S):
                limit = f"rendering all texts takes longer than {round(RENDER_MAX_S * 1000)} ms"
                raise RenderTimeError(limit, part=name)
            rendered[name] = template.render_part(name, given, timer)
    return rendered


def render_sample(template: StoredTemplate, given: RenderInput, limits: TextLimits) -> str | None:
    """Render every text of a template once. Return the HTML of an email. Raise TemplateError."""
    channels = SAMPLE_CHANNELS if template.texts.channel is None else (template.texts.channel,)
    rendered = [render(template, channel, given, limits) for channel in channels]
    return next((one.html for one in rendered if one.html is not None), None)


def check_values(template: StoredTemplate, channel: Channel, given: RenderInput, limits: TextLimits) -> str | None:
    """Render the title and the body for a channel with stand-ins. Return the title, or None if it cannot be rendered.

    Raise MissingValue. Other errors are ignored because a stand-in may cause them."""
    rendered: dict[str, str] = {}
    with template.timed(channel) as timer:
        for name in (template.heading, "body"):
            try:
                if name is not None:
                    rendered[name] = template.render_part(name, given, timer)
            except MissingValue:
                raise
            except TemplateError:
                continue
    return _line(rendered.get(template.heading or ""), limits.title_max_chars)


def sharing_key(template: StoredTemplate, channel: Channel, locale: str, timezone: str) -> tuple[str, str] | None:
    """Return the key under which recipients share the rendering of this template, or None if it is personal.

    The key contains the locale or the time zone if the result depends on it.
    """
    reads = template.reads(channel)
    return None if reads.personal else (locale if reads.locale else "", timezone if reads.timezone else "")


def is_clipped(html: str) -> bool:
    """Return True if Gmail hides the end of an email with this HTML."""
    return len(html.encode(errors="replace")) > EMAIL_CLIPPED_BYTES


def _line(value: str | None, max_chars: int) -> str | None:
    """Return a text as one line of limited length, or None if it is blank."""
    if value is None or is_blank(value := single_line(value)):
        return None
    return value if len(value) <= max_chars else value[: max_chars - 1].rstrip() + ELLIPSIS


def _plain(value: str) -> str:
    """Return a text of several lines without control characters."""
    return _NOT_IN_TEXT.sub("", _LINE_BREAK.sub("\n", value)).strip("\n")


def _cut_bytes(value: str, max_bytes: int) -> str:
    encoded = value.encode()
    if len(encoded) <= max_bytes:
        return value
    kept = encoded[: max(0, max_bytes - len(ELLIPSIS.encode()))].decode(errors="ignore")
    return kept.rstrip() + ELLIPSIS


def _link(rendered: dict[str, str], name: str) -> str | None:
    """Return a rendered link, or None if it is not set or empty. Raise TemplateError."""
    if name not in rendered:
        return None
    url = CONTROL_CHARACTERS.sub("", rendered[name]).strip()
    if url and not is_link(url):
        raise TemplateError(f"the rendered link must be {LINK_RULE}", part=name)
    return url or None


def _actions(texts: TemplateTexts, rendered: dict[str, str]) -> Iterator[Action]:
    """Yield the actions whose label is not blank. An optional action has a condition around its label."""
    for index, action in enumerate(texts.actions):
        label = _line(rendered[f"actions.{index}.label"], LABEL_MAX_CHARS)
        if label is not None:
            yield replace(action, label=label, url=_link(rendered, f"actions.{index}.url"))


def _checked_html(html: str) -> str:
    """Return HTML without control characters. Raise TemplateError if a link in it could run code."""
    html = _NOT_IN_TEXT.sub("", _LINE_BREAK.sub("\n", html))
    for match in _HTML_URL.finditer(html):
        url = CONTROL_CHARACTERS.sub("", unescape(match[1] or match[2] or match[3] or "")).strip()
        if _SCRIPT_URL.match(url):
            raise TemplateError(
                f"a rendered link begins with `{url.partition(':')[0]}:`, which could run code", part="html"
            )
    return html
