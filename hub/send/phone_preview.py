"""The preview of a text message: the bubble that a phone shows."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from hub.platform.translations import direction_of
from hub.send.message import Message

PAGE = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
    (Path(__file__).parent / "templates" / "phone.html").read_text(encoding="utf-8")
)


def html(message: Message, segments: Sequence[str], note: str) -> str:
    """Return a page with one bubble. `segments`: the parts of its text. `note`: what the sender should know."""
    direction = direction_of("".join(segments)) or "ltr"
    sender = message.tenant.name or message.tenant.id
    return PAGE.render(sender=sender, segments=segments, note=note, direction=direction)
