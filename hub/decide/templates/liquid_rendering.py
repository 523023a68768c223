"""Parse and render Liquid within limits.

Guarantees, for every template and all values:
- Rendering takes at most `RENDER_MAX_S` of processor time, and one filter or node more.
- No text gets longer than `TEXT_MAX_LENGTH`, no array longer than `ARRAY_MAX_ITEMS`, and no output longer than its
  syntax allows. A filter checks this before it allocates.
- A template reads what it is given, and nothing else: no files, no other templates, no attributes of Python objects.

python-liquid limits single loops, the output and local names. It has no limit of time, and none for filters. Its
context is asked for `disabled_tags` before each node is rendered, and for each filter: the budget is charged there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from io import StringIO
from typing import Any, TextIO, cast

from liquid import BoundTemplate, Environment, RenderContext, Token
from liquid.ast import Node
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode, CaptureTag
from liquid.builtin.tags.cycle_tag import CycleNode, CycleTag
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.builtin.tags.tablerow_tag import TablerowNode, TablerowTag
from liquid.exceptions import LiquidError
from liquid.tag import Tag
from liquid.undefined import FalsyStrictUndefined
from liquid.utils import ReadOnlyChainMap
from markupsafe import Markup, escape

from hub.decide.templates.errors import NodeLimitError, TemplateError, TimeLimitError, from_liquid
from hub.decide.templates.filters import FILTERS, HTML_FILTERS
from hub.decide.templates.locale_filters import LOCALE_FILTERS, TIMEZONE_FILTERS, context_values
from hub.decide.templates.render_input import StandIn
from hub.decide.templates.source_limits import HTML_SOURCE_MAX_LENGTH, SOURCE_MAX_LENGTH, check_source
from hub.decide.templates.value_limits import checked_items, checked_length, text
from hub.markdown import escape_markdown
from hub.platform.cpu_timer import CpuTimer

RENDER_MAX_S = 0.05  # processor time of the thread: a busy machine fails no template
RENDER_MAX_NODES = 20_000
CLOCK_EVERY_NODES = 16
OUTPUT_MAX_BYTES = 64 * 1024
HTML_OUTPUT_MAX_BYTES = 512 * 1024
LOCALS_MAX_BYTES = 1024 * 1024
NESTED_TOO_DEEPLY = "an expression is too long or nested too deeply"
LEFT_OUT_TAGS = ("include", "render")  # a partial can render partials: 14 levels of two took 4 s

# Names whose values differ between the recipients of one send.
PERSONAL_NAMES = frozenset({"user", "notification", "items", "count"})


class Syntax(StrEnum):
    """The format for which a template's values are escaped."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"


class _Budget(list[str]):
    """Counts nodes and processor time. An empty list of disabled tags to python-liquid."""

    def __init__(self, timer: CpuTimer) -> None:
        super().__init__()
        self._nodes = 0
        self._timer = timer

    def __bool__(self) -> bool:
        self._nodes += 1
        if self._nodes > RENDER_MAX_NODES:
            raise NodeLimitError(f"the template renders more than {RENDER_MAX_NODES} nodes", token=None)
        if self._nodes % CLOCK_EVERY_NODES == 0:
            self.check_time()
        return False

    def check_time(self) -> None:
        if self._timer.exceeds(RENDER_MAX_S):
            raise TimeLimitError(f"rendering takes longer than {round(RENDER_MAX_S * 1000)} ms", token=None)


class _Context(RenderContext):
    def __init__(self, template: BoundTemplate, values: Mapping[str, object], timer: CpuTimer) -> None:
        super().__init__(template, globals=values)
        self.disabled_tags = self._budget = _Budget(timer)
        # Without python-liquid's `now` and `today`, which are the time and zone of this machine.
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)

    __slots__ = ("_budget",)

    def get_item(self, obj: Any, key: Any) -> Any:
        return obj if isinstance(obj, StandIn) else super().get_item(obj, key)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        self._budget.check_time()
        return super().filter(name, token)


class _Template(BoundTemplate):
    def render_text(self, values: Mapping[str, object], timer: CpuTimer) -> str:
        """Return the rendered text. `timer` measures the time that counts for the limit."""
        buffer = self._get_buffer()
        self.render_with_context(_Context(self, values, timer), buffer)
        return buffer.getvalue()

    def make_partial_namespace(self, partial: bool, render_args: Mapping[str, object]) -> Mapping[str, object]:  # noqa: ARG002
        return render_args  # without the library's `partial`, which would hide the sender's


class _OutputNode(OutputNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(_printed(context, self.expression.evaluate(context)))


class _CycleNode(CycleNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        values = [text(argument.evaluate(context)) for argument in self.args]
        key = text(self.group.evaluate(context)) if self.group else tuple(values)
        return buffer.write(_printed(context, values[context.cycle(key, len(values))]))


class _CaptureNode(CaptureNode):
    """Mark the captured text as escaped: printing does not escape it again."""

    __slots__ = ()

    def _assign(self, context: RenderContext, buf: StringIO) -> None:
        captured = buf.getvalue()
        checked_length(len(captured))
        escaped = cast("_Environment", context.env).syntax is not Syntax.TEXT
        context.assign(self.name, Markup(captured) if escaped else captured)  # noqa: S704


def _printed(context: RenderContext, value: object) -> str:
    printed = text(value)
    if isinstance(printed, Markup):
        return printed
    match cast("_Environment", context.env).syntax:
        case Syntax.TEXT:
            return printed
        case Syntax.MARKDOWN:
            return escape_markdown(printed)
        case Syntax.HTML:
            return escape(printed)


class _ForNode(ForNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        checked_items(self.expression.iterable.evaluate(context))
        return super().render_to_output(context, buffer)


class _TablerowNode(TablerowNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        checked_items(self.expression.iterable.evaluate(context))
        return super().render_to_output(context, buffer)


def _bounded_tag(tag: type[Tag], node: type[Node]) -> type[Tag]:
    return type(f"Bounded{tag.__name__}", (tag,), {"node_class": node})


TAGS = (
    _bounded_tag(Output, _OutputNode),
    _bounded_tag(EchoTag, _OutputNode),
    _bounded_tag(CycleTag, _CycleNode),
    _bounded_tag(CaptureTag, _CaptureNode),
    _bounded_tag(ForTag, _ForNode),
    _bounded_tag(TablerowTag, _TablerowNode),
)


class _Environment(Environment):
    template_class = _Template
    loop_iteration_limit = RENDER_MAX_NODES
    local_namespace_limit = LOCALS_MAX_BYTES

    def __init__(self, syntax: Syntax) -> None:
        super().__init__(undefined=FalsyStrictUndefined, autoescape=syntax is Syntax.HTML)
        self.syntax = syntax
        self.output_stream_limit = HTML_OUTPUT_MAX_BYTES if syntax is Syntax.HTML else OUTPUT_MAX_BYTES  # type: ignore[misc]

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for name in LEFT_OUT_TAGS:
            del self.tags[name]
        for tag in TAGS:
            self.add_tag(tag)
        self.filters = dict(FILTERS)


_ENVIRONMENTS = {syntax: _Environment(syntax) for syntax in Syntax}
_ENVIRONMENTS[Syntax.HTML].filters |= HTML_FILTERS


@dataclass(frozen=True, slots=True)
class ParsedTemplate:
    """A template that is ready to be rendered.

    Attributes:
        variables: the names that it reads, with their paths (`data.order.id`), sorted.
        personal: True if it reads something that recipients of one send do not share.
        uses_timezone: True if the recipient's time zone changes the result.
        uses_locale: True if the recipient's locale changes the result.
    """

    variables: tuple[str, ...]
    personal: bool
    uses_timezone: bool
    uses_locale: bool
    _template: _Template

    def render(
        self,
        values: Mapping[str, object],
        *,
        locale: str,
        timezone: str,
        now: datetime,
        timer: CpuTimer | None = None,
    ) -> str:
        """Return the rendered text. `timer` was started with the first of the texts that share the time limit.

        `values` are JSON values by name. `timezone` is an IANA name and `locale` a BCP 47 tag; filters format for
        them. `now` is what the filters `date` and `datetime` take for "now".

        Raises:
            TemplateError: a value is missing or of the wrong type, or a limit is exceeded.
        """
        try:
            return self._template.render_text({**values, **context_values(locale, timezone, now)}, timer or CpuTimer())
        except LiquidError as error:
            raise from_liquid(error) from error
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise TemplateError(f"a value cannot be used here ({type(error).__name__})") from error


def parse(source: str, syntax: Syntax = Syntax.TEXT) -> ParsedTemplate:
    """Parse a template.

    Raises:
        TemplateError: the source is too long, not valid Liquid, or uses a filter or tag that does not exist.
    """
    check_source(source, HTML_SOURCE_MAX_LENGTH if syntax is Syntax.HTML else SOURCE_MAX_LENGTH)
    environment = _ENVIRONMENTS[syntax]
    try:
        template = environment.from_string(source)
        analysis = template.analyze(include_partials=False)
    except LiquidError as error:
        if isinstance(error.__cause__, RecursionError):
            raise TemplateError(NESTED_TOO_DEEPLY) from error
        raise from_liquid(error) from error
    except RecursionError as error:
        raise TemplateError(NESTED_TOO_DEEPLY) from error
    for name, spans in analysis.filters.items():
        if name not in environment.filters:
            raise TemplateError(f"the filter `{name}` does not exist", source.count("\n", 0, spans[0].index) + 1)
    roots = [path.segments[0] for paths in analysis.variables.values() for path in paths]
    return ParsedTemplate(
        variables=tuple(sorted({str(path) for paths in analysis.globals.values() for path in paths})),
        # All variables, not only those that the analysis takes for global: an `assign` in an `if` may not be reached.
        personal=any(not isinstance(root, str) or root in PERSONAL_NAMES for root in roots),
        uses_timezone=not TIMEZONE_FILTERS.isdisjoint(analysis.filters),
        uses_locale=not LOCALE_FILTERS.isdisjoint(analysis.filters),
        _template=cast("_Template", template),
    )
