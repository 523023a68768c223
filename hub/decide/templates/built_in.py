"""The templates of the hub that a tenant may replace. Their keys begin with an underscore."""

PREFIX = "_"
LAYOUT = "_layout"
"""The email layout. Without a template of the tenant, `hub/send/templates/email.html` is used."""
DIGEST = "_digest"
"""The message of a digest with several items."""
BRIEFING = "_briefing"
"""The message with what quiet hours and do-not-disturb held."""
WITH_ITEMS = frozenset({DIGEST, BRIEFING})
"""The templates that read `items` and `count`. The texts of the hub are in `digest_texts`."""
REPLACEABLE = frozenset({LAYOUT, DIGEST, BRIEFING})
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


def may_store(key: str) -> bool:
    """Return True if a tenant may store a template with this key."""
    return not key.startswith(PREFIX) or key in REPLACEABLE
