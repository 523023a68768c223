"""The one error of templates, made from those of python-liquid."""

from liquid.exceptions import LiquidError, UndefinedError


class TemplateError(ValueError):
    """A template that cannot be parsed or rendered.

    Attributes:
        reason: what is wrong, without the position.
        line: the line of the template, from 1; None if it is not known.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason = reason
        self.line = line


def from_liquid(error: LiquidError) -> TemplateError:
    """Return the TemplateError for an error of python-liquid, with its line if it has one."""
    reason = str(error.message or "the template is not valid")
    if isinstance(error, UndefinedError):
        reason = reason.replace(" is undefined", " has no value")
    token = error.token
    line = token.source.count("\n", 0, token.start_index) + 1 if token and token.start_index >= 0 else None
    return TemplateError(reason, line)
