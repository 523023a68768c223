"""The values that the templates `_digest` and `_briefing` read, and the texts of the hub without these templates."""

from collections.abc import Mapping
from datetime import datetime
from itertools import cycle, islice
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta, Struct
from msgspec.structs import replace

from hub import markdown
from hub.decide.templates.built_in import BRIEFING, DIGEST, LAYOUT
from hub.decide.templates.errors import TemplateError
from hub.decide.templates.lookup import TemplateSet
from hub.decide.templates.render_input import STAND_IN
from hub.model import ITEMS_SHOWN, Delivery, DigestKind, Notification
from hub.platform.translations import Language, marked
from hub.unicode_text import single_line
from hub.utc_time import rfc3339

TEMPLATE_KEYS = (DIGEST, BRIEFING, LAYOUT)
"""The templates whose versions a digest records."""
ITEM_BODY_MAX_CHARS = 160  # email clients cut off messages of 102 KB, so a digest shows no whole bodies
TITLES_MAX_CHARS = 800  # of the built-in body; push services and phones show less
WHILE_AWAY = marked("While you were away")
ONE_NEW = "{number} new notification"
MANY_NEW = "{number} new notifications"
ONE_MORE = "and {number} more"
MANY_MORE = "and {number} more"

Count = Annotated[int, Meta(ge=1)]


class ItemValues(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An item as templates read it. `body`: the beginning of the text. A field that is None has no value."""

    title: str
    body: str = ""
    action_url: str | None = None
    image_url: str | None = None
    created_at: str | None = None
    collapsed_count: Count = 1
    category: str = "example"
    category_name: str = "Example"
    data: Any = msgspec.field(default_factory=dict)


class DigestInput(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest items of a digest, newest first, and the number of all items. 0: that of `items`."""

    items: Annotated[tuple[ItemValues, ...], Meta(min_length=1, max_length=ITEMS_SHOWN)]
    count: Annotated[int, Meta(ge=0)] = 0

    def values(self) -> dict[str, object]:
        """Return the values that a template reads, by name."""
        items = [
            {name: value for name in ITEM_FIELDS if (value := getattr(item, ATTRIBUTES[name])) is not None}
            for item in self.items
        ]
        return {"items": items, "count": self.count}

    def filled(self) -> "DigestInput":
        """Return as many items as a template has to render at most."""
        items = tuple(islice(cycle(self.items), ITEMS_SHOWN))
        return DigestInput(items, max(self.count, ITEMS_SHOWN))


SAMPLE_FORM = '`{"items": [{"title": "A"}], "count": 1}`'
ATTRIBUTES = dict(zip(ItemValues.__struct_encode_fields__, ItemValues.__struct_fields__, strict=True))
ITEM_FIELDS = tuple(ATTRIBUTES)
SAMPLE_ITEMS = (
    ItemValues(
        title="Maria commented on the quarterly report",
        body="Thank you for the detailed notes. I have one question about the second chart: does it include returns?",
        action_url="https://app.example/reports/17",
        image_url="https://app.example/images/maria.png",
        category="comments",
        category_name="Comments",
        data=STAND_IN,
    ),
    ItemValues(
        title="New likes on the quarterly report",
        action_url="https://app.example/reports/17/likes",
        collapsed_count=12,
        category="comments",
        category_name="Comments",
        data=STAND_IN,
    ),
    ItemValues(
        title="The board meeting moved to Thursday",
        body="Room 4, 10:00.",
        category="comments",
        category_name="Comments",
        data=STAND_IN,
    ),
)
"""Items for previews, and for the check of a template before it is stored. Every field of `data` is an empty text."""


def item_values(n: Notification, action_url: str | None, image_url: str | None, category_name: str) -> ItemValues:
    """Return what templates read of a notification."""
    return ItemValues(
        title=n.title,
        body=item_body(n),
        action_url=action_url,
        image_url=image_url,
        created_at=rfc3339(n.created_at),
        collapsed_count=n.collapsed_count,
        category=n.category,
        category_name=category_name,
        data=orjson.loads(n.data) if n.data else {},
    )


def item_title(title: str, collapsed_count: int) -> str:
    """Return the title of an item. A notification that replaced others shows how many it represents."""
    return f"{title} ({collapsed_count})" if collapsed_count > 1 else title


def item_body(n: Notification) -> str:
    """Return the beginning of the body as plain text in one line."""
    body = single_line(markdown.plain_text(n.body) if n.markdown else n.body)
    return body if len(body) <= ITEM_BODY_MAX_CHARS else f"{body[: ITEM_BODY_MAX_CHARS - 1]}…"


def sample_input(data: Mapping[str, object] | None, now: datetime) -> DigestInput:
    """Return the items and the count of a preview. Without data, they are examples.

    Raise TemplateError if a digest cannot have this data."""
    try:
        given = msgspec.convert(data, DigestInput) if data else DigestInput(SAMPLE_ITEMS)
    except msgspec.ValidationError as error:
        raise TemplateError(f"the data must have the form {SAMPLE_FORM}: {error}") from None
    items = tuple(replace(item, created_at=item.created_at or rfc3339(now)) for item in given.items)
    if 0 < given.count < len(items):
        raise TemplateError(f"`count` must be at least {len(items)}, the number of items")
    return DigestInput(items, given.count or len(items))


def built_in_texts(key: str, digest: DigestInput, reader: Language) -> tuple[str, str]:
    """Return the title and the body for a tenant without a template: the count, and as many titles as fit."""
    count = reader.plural(ONE_NEW, MANY_NEW, digest.count)
    topic = reader.text(WHILE_AWAY) if key == BRIEFING else digest.items[0].category_name
    lines: list[str] = []
    size = 0
    for item in digest.items:
        line = item_title(item.title, item.collapsed_count)
        size += len(line) + 1
        if lines and size > TITLES_MAX_CHARS:
            break
        lines.append(line)
    if rest := digest.count - len(lines):
        lines.append(more_text(rest, reader))
    return f"{topic}: {count}", "\n".join(lines)


def more_text(number: int, reader: Language) -> str:
    return reader.plural(ONE_MORE, MANY_MORE, number)


def template_key(digest: Delivery) -> str:
    """Return the key of the template of a digest or briefing."""
    return BRIEFING if digest.digest_kind is DigestKind.BRIEFING else DIGEST


def with_template_versions(digest: Delivery, current: Mapping[tuple[str, str], TemplateSet]) -> Delivery:
    """Return a digest with the versions of its templates, which apply to all its attempts.

    `current` are the current texts by tenant and key. A version is 0 without a text for the channel."""

    def version(key: str) -> int:
        found = current.get((digest.tenant, key))
        return found.version if found and found.candidates(digest.channel) else 0

    return replace(digest, template_version=version(template_key(digest)), layout_version=version(LAYOUT))
