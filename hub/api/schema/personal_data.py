"""Personal data and content: the texts that the role `viewer` does not get.

Every text below a type is hidden unless it is listed here, so a new field is hidden until somebody decides. Ids are
visible: without them, nothing could be looked up. `hub/api/execution/masking.py` masks each response of a viewer.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_enum_type,
    is_leaf_type,
)

from hub.errors import Forbidden

HIDDEN = "***"
HARMLESS_SCALARS = frozenset({"Boolean", "DateTime", "Duration", "Float", "Int"})
PHONE_MIN_CHARS = 8  # a shorter number is hidden as a whole
WHATSAPP = "whatsapp:"

VISIBLE = {
    "Attempt": "provider",
    "Category": "key name description",
    "CategoryChannelPreference": "digestAt",
    "Decision": "deviceId reason explanation",
    "Delivery": "id notificationId sendId userId category deviceId reason explanation provider providerId traceId "
    "digestId",
    "DeliveryEdge": "cursor",
    "DeliveryGroup": "provider reason explanation exampleId",
    "DeliveryReasonCount": "reason",
    "Device": "id platform",
    "FindResult": "id",
    "Notification": "id userId category categoryName becauseOf",
    "NotificationConnection": "position",
    "NotificationEdge": "cursor",
    "PageInfo": "startCursor endCursor",
    "PausedChannel": "reason",
    "ProviderState": "provider",
    "Query": "webPushKey",
    "QuietHours": "start end timezone",
    "ReasonCount": "reason explanation",
    "Receipt": "id cursor sendId notificationId userId reason consoleUrl",
    "Recipients": "users topic except",
    "Send": "id category createdBy template",
    "SendEdge": "cursor",
    "Simulation": "userId",
    "Suppression": "userId reason",
    "Topic": "key name description",
    "TopicEdge": "cursor",
    "TopicSubscriptionEdge": "cursor",
    "User": "id locale timezone topics",
    "UserEdge": "cursor",
}
"""The texts of each type that a viewer may read."""

SEARCHES = {
    "Query.deliveries": ("filter.error",),
    "Query.deliveryGroups": ("filter.error",),
    "Query.simulate": ("input.to.where", "enrich"),
    "Query.users": ("search",),
    "Send.deliveries": ("filter.error",),
    "User.inbox": ("filter.search", "filter.tags"),
}
"""The arguments that a viewer must not pass. Their effect would show whether a guess of a masked value is right."""

CONTENT = {
    "Content": "body",
    "Decision": "body",
    "Event": "data",
    "Notification": "body data",
}
"""The content of messages. Reading it is recorded in the audit log if the caller is `staff`."""


def mask_email(address: str) -> str:
    """Return `a***@e***.org` for anna@example.org."""
    local, _, domain = address.rpartition("@")
    name, _, top_level = domain.rpartition(".")
    return f"{local[:1]}{HIDDEN}@{name[:1]}{HIDDEN}.{top_level}" if local and name else HIDDEN


def mask_phone(number: str) -> str:
    """Return `+49*******13` for +49151234513."""
    if len(number) < PHONE_MIN_CHARS:
        return HIDDEN
    return f"{number[:3]}{'*' * (len(number) - 5)}{number[-2:]}"


def mask_address(address: str) -> str:
    """Mask an email address, a phone number, or `whatsapp:` and a phone number."""
    if address.startswith(WHATSAPP):
        return WHATSAPP + mask_phone(address.removeprefix(WHATSAPP))
    return mask_email(address) if "@" in address else mask_phone(address)


Mask = Callable[[str], str]
MASKS: dict[str, Mask] = {"User.email": mask_email, "User.phone": mask_phone, "Suppression.address": mask_address}
"""The texts that are shown in part. They are not in VISIBLE."""


def is_text(field: GraphQLField) -> bool:
    """Return True if a field has texts, or anything else that may contain one."""
    type_ = get_named_type(field.type)
    return is_leaf_type(type_) and not is_enum_type(type_) and type_.name not in HARMLESS_SCALARS


def is_visible(type_name: str, field_name: str) -> bool:
    return field_name in VISIBLE.get(type_name, "").split()


def is_content(type_name: str, field_name: str) -> bool:
    return field_name in CONTENT.get(type_name, "").split()


def check_names(schema: GraphQLSchema) -> None:
    """Raise TypeError if a table of this module names a text that the schema does not have, or if the schema has types
    that masking does not know."""
    if unknown := [name for name, type_ in schema.type_map.items() if is_abstract_type(type_)]:
        raise TypeError(f"hub/api/execution/masking.py does not mask interfaces and unions: {', '.join(unknown)}.")
    tables = [*VISIBLE.items(), *CONTENT.items()]
    for full_name in [*(f"{type_}.{name}" for type_, names in tables for name in names.split()), *MASKS]:
        type_name, _, name = full_name.partition(".")
        type_ = schema.type_map.get(type_name)
        if not isinstance(type_, GraphQLObjectType) or name not in type_.fields or not is_text(type_.fields[name]):
            raise TypeError(f"hub/api/schema/personal_data.py names {full_name}, but the schema has no such text.")


def check_search(field: str, arguments: Mapping[str, Any]) -> None:
    """Raise Forbidden if a viewer passes an argument that searches in masked values. `field` is Type.field."""
    for path in SEARCHES.get(field, ()):
        value: Any = arguments
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value:
            raise Forbidden(
                f"A token with role viewer cannot use `{path}`, because it could find out values that are masked. "
                "Leave it out, or use a token with role support."
            )
