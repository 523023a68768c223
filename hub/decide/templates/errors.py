"""The one error of templates, made from those of python-liquid."""

import re

from liquid.exceptions import LiquidError, ResourceLimitError, UndefinedError


class TemplateError(ValueError):
    """A template that cannot be parsed or rendered.

    Attributes:
        reason: what is wrong, without the position.
        line: the line of the text, from 1; None if it is not known.
        part: the name of the text in the API, such as `title` or `actions.0.label`; None for a single text.
    """

    def __init__(self, reason: str, line: int | None = None, part: str | None = None) -> None:
        position = [f"`{part}`"] * bool(part) + [f"line {line}"] * bool(line)
        super().__init__(f"{', '.join(position)}: {reason}" if position else reason)
        self.reason = reason
        self.line = line
        self.part = part


class MissingValue(TemplateError):
    """The template prints a value that is missing."""


class RenderStopped(TemplateError):
    """Rendering was stopped: the template renders too many nodes, or takes too long."""


class RenderTimeError(RenderStopped):
    """Rendering takes too long."""


class NodeLimitError(ResourceLimitError):
    """Becomes RenderStopped."""


class TimeLimitError(ResourceLimitError):
    """Becomes a RenderTimeError."""


def from_liquid(error: LiquidError) -> TemplateError:
    """Return the TemplateError for an error of python-liquid, with its line if it has one."""
    reason = str(error.message or "the template is not valid")
    token = error.token
    line = token.source.count("\n", 0, token.start_index) + 1 if token and token.start_index >= 0 else None
    if isinstance(error, UndefinedError):
        return MissingValue(re.sub(r"^'(.*)' is undefined$|^(.*) is undefined$", r"\1\2 has no value", reason), line)
    if isinstance(error, TimeLimitError):
        return RenderTimeError(reason, line)
    return (RenderStopped if isinstance(error, NodeLimitError) else TemplateError)(reason, line)
