"""The templates of the hub that a tenant may replace. Their keys begin with an underscore."""

from hub.decide.templates.lookup import TemplateSet

PREFIX = "_"
LAYOUT = "_layout"
"""The email layout. Without a template of the tenant, `hub/send/templates/email.html` is used."""
REPLACEABLE = frozenset({LAYOUT})
LAYOUT_SAMPLE = {
    "title": "Title",
    "body": "<p>Body</p>",
    "actions": [{"label": "Open", "url": "https://app.example/", "primary": True}],
    "imageUrl": "https://app.example/image.png",
    "because": "You were named by the sender.",
    "unsubscribeUrl": "https://app.example/unsubscribe",
    "unsubscribeLabel": "Unsubscribe",
    "language": "en",
    "direction": "ltr",
}
"""The values with which the hub renders a layout before it stores it."""
_SETS: dict[str, TemplateSet] = {}


def template_set(key: str) -> TemplateSet | None:
    """Return the built-in texts of a key, or None if there are none."""
    return _SETS.get(key)


def may_store(key: str) -> bool:
    """Return True if a tenant may store a template with this key."""
    return not key.startswith(PREFIX) or key in REPLACEABLE
