"""The notification that stands for a digest of several items: a count, and as many titles as fit. Pure."""

import orjson
from msgspec.structs import replace

from hub.model import Delivery, Notification, Tenant
from hub.platform.translations import Language
from hub.send.digest_preparation import Collected

TITLES_MAX_CHARS = 800  # of the body; push services and phones show less
ONE_NEW = "{number} new notification"
MANY_NEW = "{number} new notifications"
ONE_MORE = "and {number} more"
MANY_MORE = "and {number} more"


def digest_notification(
    digest: Delivery, collected: Collected, tenant: Tenant, reader: Language, app_url: str
) -> Notification:
    """Return the notification of a digest. Its id is the id of the digest, so a repeated message replaces the first."""
    newest = collected.newest[0].notification
    category = tenant.category(digest.category)
    count = reader.plural(ONE_NEW, MANY_NEW, collected.count)
    return replace(
        newest,
        id=digest.id,
        title=f"{category.name if category else digest.category}: {count}",
        body=_titles(collected, reader),
        markdown=False,
        data=orjson.dumps({"digest": True, "count": collected.count}).decode(),
        image_url=None,
        action_url=app_url or None,
        actions=(),
        tags=(),
        priority=digest.priority,
        require_ack=False,
        collapse_key=None,
        live_key=None,
        expires_at=None,
    )


def item_title(n: Notification) -> str:
    """Return the title of an item. A notification that replaced others shows how many it represents."""
    return f"{n.title} ({n.collapsed_count})" if n.collapsed_count > 1 else n.title


def more_text(number: int, reader: Language) -> str:
    return reader.plural(ONE_MORE, MANY_MORE, number)


def _titles(collected: Collected, reader: Language) -> str:
    lines: list[str] = []
    size = 0
    for item in collected.newest:
        title = item_title(item.notification)
        size += len(title) + 1
        if lines and size > TITLES_MAX_CHARS:
            break
        lines.append(title)
    if rest := collected.count - len(lines):
        lines.append(more_text(rest, reader))
    return "\n".join(lines)
