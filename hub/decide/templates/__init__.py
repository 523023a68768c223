"""Tenants' templates: Liquid, parsed and rendered within fixed limits of time and memory. No I/O."""

from hub.decide.templates.environment import ParsedTemplate, Syntax, parse
from hub.decide.templates.errors import TemplateError
from hub.decide.templates.html import compile_html

__all__ = ["ParsedTemplate", "Syntax", "TemplateError", "compile_html", "parse"]
