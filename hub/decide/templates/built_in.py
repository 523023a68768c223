"""The templates of the hub that a tenant may replace. Their keys begin with an underscore."""

from hub.decide.templates.lookup import TemplateSet

PREFIX = "_"
_SETS: dict[str, TemplateSet] = {}


def template_set(key: str) -> TemplateSet | None:
    """Return the built-in texts of a key, or None if there are none."""
    return _SETS.get(key)


def may_store(key: str) -> bool:
    """Return True if a tenant may store a template with this key."""
    return not key.startswith(PREFIX) or key in _SETS
