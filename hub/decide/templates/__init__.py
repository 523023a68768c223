"""Tenants' templates: Liquid, parsed and rendered within fixed limits of time and memory. No I/O."""

from hub.decide.templates.environment import ParsedTemplate, Syntax, parse
from hub.decide.templates.errors import TemplateError

__all__ = ["ParsedTemplate", "Syntax", "TemplateError", "parse"]
