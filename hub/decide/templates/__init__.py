"""Tenants' templates: Liquid, parsed and rendered within fixed limits of time and memory. No I/O."""

from hub.decide.templates.email_html_compiler import compile_html
from hub.decide.templates.errors import TemplateError
from hub.decide.templates.liquid_rendering import ParsedTemplate, Syntax, parse

__all__ = ["ParsedTemplate", "Syntax", "TemplateError", "compile_html", "parse"]
