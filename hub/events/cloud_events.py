"""Parses events: CloudEvents 1.0 in the structured, batched, and binary mode, and the envelope of Amazon EventBridge.

Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md,
https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html

Every error is a BadUserInput whose `field` is the attribute, or a TooLarge. `data` keeps its JSON text, because
numbers must keep their digits.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
import orjson
from cloudevents.core.bindings.common import decode_header_value
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent
from msgspec import Meta, Raw, Struct

from hub import utc_time
from hub.errors import BadUserInput, TooLarge
from hub.unicode_text import is_single_line

EVENT_MAX_BYTES = 256 << 10
BATCH_MAX_EVENTS = 1000
ATTRIBUTE_MAX_CHARS = 1024
ATTRIBUTES_MAX = 50
SHOWN_BYTES = 1024
"""The size of the beginning of an event that is too large."""
JSON_TYPE = re.compile(r"(application|text)/([a-z0-9.+-]+\+)?json")
BINARY_PREFIX = "ce-"
STORED_ATTRIBUTES = ("id", "source", "type", "specversion", "subject", "time")
"""The attributes that have a field of their own, or that are always the same."""
ENVELOPE = ("id", "source", "detail-type", "detail")
"""The fields by which the envelope of EventBridge is recognized."""

INVALID_JSON = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for text that is not valid JSON, is nested too deeply, or is not UTF-8."""

Fields = dict[str, Raw]
_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_batch = msgspec.json.Decoder(list[Raw]).decode
_decode_value = msgspec.json.Decoder(str | Annotated[int, Meta(ge=-(2**31), lt=2**31)] | bool | None).decode


class NewEvent(Struct, frozen=True, kw_only=True):
    """An event as it arrived. `time` is None if the event has none. `data` is JSON text. `too_large`: only the first
    SHOWN_BYTES of the event are known, which are the data."""

    event_id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    data: str | None = None
    attributes: dict[str, str | int | bool] = {}
    too_large: bool = False


def parse_event(text: bytes, field: str = "") -> NewEvent:
    """Return the event of a JSON object: a CloudEvent, or the envelope of EventBridge. `field` is the prefix of the
    field in errors."""
    return _with_prefix(field, lambda: _parse_fields(_fields_of(text), len(text)))


def parse_batch(text: bytes) -> list[NewEvent]:
    """Return the events of a JSON array."""
    try:
        items = _decode_batch(text)
    except INVALID_JSON as error:
        raise BadUserInput(f"A batch is a JSON array of events: {error}.", "body") from None
    if len(items) > BATCH_MAX_EVENTS:
        raise TooLarge(f"A batch has at most {BATCH_MAX_EVENTS:,} events. Split it into several requests.")
    return [parse_event(bytes(item), f"{index}.") for index, item in enumerate(items)]


def parse_binary(headers: Mapping[str, str], body: bytes) -> NewEvent:
    """Return the event whose attributes are in `ce-` headers, and whose data is the body."""
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith(BINARY_PREFIX):
            attribute = name.removeprefix(BINARY_PREFIX)
            attributes[attribute] = decode_header_value("", _unquoted(value))
    content_type = headers.get("content-type", "")
    if content_type:
        attributes["datacontenttype"] = content_type
    return _new_event(attributes, _data_of_bytes(body, content_type) if body else None, len(body))


def parse_too_large(text: bytes) -> NewEvent:
    """Return an event that is too large, with its beginning as data. Raise BadUserInput if it is not an event."""
    fields = _fields_of(text)
    for name in ("data", "data_base64", "detail"):
        if name in fields:
            fields[name] = Raw(b'""')
    event = _parse_fields(fields, 0)
    beginning = text[:SHOWN_BYTES].decode(errors="ignore")
    return msgspec.structs.replace(event, data=orjson.dumps(beginning).decode(), too_large=True)


def new_event(attributes: dict[str, Any], data: str | None) -> NewEvent:
    """Return an event with the given attributes of CloudEvents, and with JSON text as data."""
    return _new_event(attributes, data, len(data or ""))


def _fields_of(text: bytes) -> Fields:
    try:
        return _decode_fields(text)
    except INVALID_JSON as error:
        raise BadUserInput(f"An event is a JSON object: {error}.", "body") from None


def _parse_fields(fields: Fields, size: int) -> NewEvent:
    if "specversion" not in fields and all(name in fields for name in ENVELOPE):
        return _of_envelope(fields, size)
    attributes = {name: _value(name, raw) for name, raw in fields.items() if name not in ("data", "data_base64")}
    attributes = {name: value for name, value in attributes.items() if value is not None}
    data = fields.get("data")
    if data is not None and "data_base64" in fields:
        raise BadUserInput("An event has `data` or `data_base64`, not both.", "data_base64")
    if "data_base64" in fields:
        return _new_event(attributes, _data_of_base64(fields["data_base64"], attributes), size)
    return _new_event(attributes, _json_text(bytes(data), "data") if data is not None else None, size)


def _of_envelope(fields: Fields, size: int) -> NewEvent:
    """Return the event of an envelope of EventBridge. `detail-type` is the type, and `detail` is the data."""
    names = {"id": "id", "source": "source", "type": "detail-type", "time": "time"}
    attributes = {name: _value(of, fields[of]) for name, of in names.items() if of in fields}
    others = {name: _value(name, fields[name]) for name in ("account", "region") if name in fields}
    attributes |= {name: value for name, value in others.items() if value}
    return _new_event({**attributes, "specversion": "1.0"}, _json_text(bytes(fields["detail"]), "detail"), size)


def _new_event(attributes: dict[str, Any], data: str | None, size: int) -> NewEvent:
    """Check the attributes."""
    if size > EVENT_MAX_BYTES:
        raise TooLarge(f"An event has at most {EVENT_MAX_BYTES:,} bytes.")
    for name in ("id", "source", "type", "specversion"):  # the library fills in what is missing
        if name not in attributes:
            raise BadUserInput(f"The attribute `{name}` is missing.", name)
    if len(attributes) > ATTRIBUTES_MAX:
        raise TooLarge(f"An event has at most {ATTRIBUTES_MAX} attributes.")
    for name, value in attributes.items():
        if isinstance(value, str) and (len(value) > ATTRIBUTE_MAX_CHARS or not is_single_line(value)):
            raise BadUserInput(
                f"An attribute has at most {ATTRIBUTE_MAX_CHARS:,} characters and no control characters.", name
            )
    time = _time(attributes["time"]) if "time" in attributes else None
    try:
        CloudEvent({**attributes, "time": time or utc_time.now()})
    except CloudEventValidationError as error:
        name, [first, *_] = next(iter(error.errors.items()))
        raise BadUserInput(f"{first}.".replace("<class 'str'>", "string"), name) from None
    return NewEvent(
        event_id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        subject=attributes.get("subject"),
        time=time,
        data=data,
        attributes={name: value for name, value in attributes.items() if name not in STORED_ATTRIBUTES},
    )


def _value(name: str, raw: Raw) -> str | int | bool | None:
    try:
        value: str | int | bool | None = _decode_value(raw)
        return value
    except INVALID_JSON:
        raise BadUserInput("An attribute is a string in UTF-8, an integer of 32 bits, or a boolean.", name) from None


def _time(value: Any) -> datetime:
    try:
        return utc_time.parse(value)
    except TypeError:
        raise BadUserInput("The attribute `time` must be a string.", "time") from None
    except ValueError as error:
        raise BadUserInput(f"The attribute `time` must {error}.", "time") from None


def _data_of_base64(raw: Raw, attributes: Mapping[str, Any]) -> str | None:
    try:
        data = b64decode(str(_value("data_base64", raw)), validate=True)
    except (binascii.Error, ValueError):
        raise BadUserInput("This is not base64.", "data_base64") from None
    return _data_of_bytes(data, str(attributes.get("datacontenttype", "")))


def _data_of_bytes(data: bytes, content_type: str) -> str | None:
    """Return data as JSON text. Text becomes a JSON string."""
    media = content_type.partition(";")[0].strip().lower()
    if not media or JSON_TYPE.fullmatch(media):
        return _json_text(data, "data")
    if not media.startswith("text/"):
        raise BadUserInput("The hub reads data that is JSON or text: `application/json`.", "datacontenttype")
    try:
        return orjson.dumps(data.decode()).decode()
    except UnicodeDecodeError:
        raise BadUserInput("Text must be UTF-8.", "data") from None


def _json_text(text: bytes, name: str) -> str | None:
    """Return the JSON text, or None for `null`."""
    try:
        return None if orjson.loads(text) is None else text.decode()
    except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadUserInput(f"This is not valid JSON: {error}.", name) from None


def _unquoted(value: str) -> str:
    """Return the value of a header without the double quotes that surround it (HTTP binding, 3.1.3.2)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _with_prefix(prefix: str, parse: Callable[[], NewEvent]) -> NewEvent:
    try:
        return parse()
    except BadUserInput as error:
        raise BadUserInput(error.message, f"{prefix}{error.extensions['field']}") from None
