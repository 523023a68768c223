"""The text of an SMS and its segments. Pure."""

from hub.send.message import Message
from hub.send.short_text import short_text
from hub.send.sms_segments import GSM_7, count_units, encoding_of, split


def sms_text(message: Message) -> str:
    """Return the text of a message, which has at most `message.sms_segments_max` segments."""
    segments_max = message.sms_segments_max
    return short_text(message, lambda text: len(split(text)) <= segments_max, segments_max * GSM_7.single)


def describe_segments(text: str) -> str:
    """Return the number of segments, the encoding, and the length of a text, such as `1 segment, GSM-7, 12 units`."""
    count = len(split(text))
    return f"{count} segment{'' if count == 1 else 's'}, {encoding_of(text).name}, {count_units(text)} units"
