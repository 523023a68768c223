"""Computes the cost of an operation before it is executed.

- An object costs 1. A plain field costs 0.1.
- The cost of a selection inside a list is multiplied by the maximum number of items: the page size, the length of the
  list that the caller passes, or the maximum length that the hub stores.
- Long texts cost more, in proportion to their maximum size.
- A send to a filter costs more, because the users who match it are counted.
- `@include` and `@skip` are ignored.
- Pages are also counted, because each page of a list in other items (`users { inbox }`) is a database query.

The text of an operation is compiled once. The result is a number if the cost does not depend on variables.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    get_named_type,
)
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)
from graphql.utilities import value_from_ast_untyped
from msgspec import Struct

from hub.api.schema.recipients import EXCEPT_MAX
from hub.audience.rules import TENANT_MAX_RULES
from hub.audience.templates import TENANT_MAX_TEMPLATES
from hub.audience.topics import KEYS_SHOWN_MAX
from hub.model import Channel
from hub.settings import Settings
from hub.status.failure_groups import GROUPS_MAX
from hub.status.sends import USERS_SHOWN
from hub.unicode_text import IDENTIFIER_MAX_CHARS
from hub.workflows.find import FOUND_MAX

OBJECT_COST = 1.0
FIELD_COST = 0.1
BYTES_PER_UNIT = 2048  # number of bytes of a long field that cost 1
AUDIENCE_COST = 1000.0  # an audience is counted by reading thousands of users
FILTER_COST = 250.0  # of a send: its recipients are counted in less time
EXPORT_COST = 1000.0  # an export reads all data of a user from each collection
EVENT_DATA_COST = 50.0  # few events have the maximum size
SUBSCRIBERS_COST = 1.0  # counted in an index
DELIVERY_COUNT_COST = 100.0  # thousands of keys of an index
FIND_COST = 10.0  # for each result: thousands of titles are read
DEFAULT_LIST_LENGTH = 10  # assumed for a list of unknown length
TYPICAL_ATTEMPTS = 2  # attempts are stored in the delivery, and nearly all deliveries have only one
PAGE_FIELDS = {
    ("Query", "inbox"),
    ("User", "inbox"),
    ("User", "hiddenNotifications"),
    ("User", "subscriptions"),
    ("Send", "notifications"),
    ("Send", "deliveries"),
    ("WebhookEndpoint", "calls"),
    ("Template", "versions"),
}
SCALAR_LISTS = {("Recipients", "users"), ("Recipients", "except")}  # long lists of ids
PAGE_LISTS = {"nodes", "edges"}
SEND_ARGUMENTS = {("Mutation", "send"): "input", ("Mutation", "sendMany"): "inputs"}
LIST_ARGUMENTS = ("ids", "users", "inputs")  # a field returns as many items as one of these arguments contains

Variables = Mapping[str, Any]
Number = float | Callable[[Variables], float]


class Cost(Struct, frozen=True):
    """The cost of one operation. `total` and `pages` are numbers, or functions of the variables."""

    total: Number
    pages: Number


class QueryCosts:
    """Compiles the costs of operations and checks them against the settings."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._settings = settings
        self._lengths = {
            ("User", "devices"): settings.user_max_devices,
            ("Preferences", "channels"): len(Channel),
            ("Preferences", "categories"): settings.tenant_max_categories,
            ("CategoryPreference", "channels"): len(Channel),
            ("Recipients", "users"): USERS_SHOWN,
            ("Recipients", "except"): EXCEPT_MAX,
            ("Query", "categories"): settings.tenant_max_categories,
            ("Query", "templates"): TENANT_MAX_TEMPLATES,
            ("Query", "rules"): TENANT_MAX_RULES,
            ("Query", "find"): FOUND_MAX,
            ("Query", "deliveryGroups"): GROUPS_MAX,
            ("Delivery", "attempts"): TYPICAL_ATTEMPTS,
            ("WebhookCall", "attempts"): TYPICAL_ATTEMPTS,
            ("InboxPayload", "notifications"): settings.call_max_ids,
        }
        self._weights = {
            ("Notification", "body"): settings.notification_body_max_bytes / BYTES_PER_UNIT,
            ("Notification", "data"): settings.notification_data_max_bytes / BYTES_PER_UNIT,
            ("User", "attributes"): settings.notification_data_max_bytes / BYTES_PER_UNIT,
            ("User", "topics"): KEYS_SHOWN_MAX * IDENTIFIER_MAX_CHARS / BYTES_PER_UNIT,
            ("Event", "data"): EVENT_DATA_COST,
            ("Topic", "subscribers"): SUBSCRIBERS_COST,
            ("DeliveryConnection", "totalCount"): DELIVERY_COUNT_COST,
            ("Rendered", "body"): settings.notification_body_max_bytes / BYTES_PER_UNIT,
            ("Decision", "body"): settings.notification_body_max_bytes / BYTES_PER_UNIT,
            ("Query", "audience"): AUDIENCE_COST,
            ("Query", "find"): FIND_COST,
            ("Mutation", "exportUser"): EXPORT_COST,
        }

    def compile(self, document: DocumentNode, operation: OperationDefinitionNode) -> Cost:
        """Return the cost of a valid operation."""
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        root = self._schema.get_root_type(operation.operation)
        assert root
        return _Compiler(self, operation, fragments).selection(root, operation.selection_set, None)

    def check(self, cost: Cost, variables: Variables) -> tuple[float, GraphQLError | None]:
        """Return the cost with these variables, and an error if it exceeds a limit."""
        total, pages = _evaluate(cost.total, variables), _evaluate(cost.pages, variables)
        settings = self._settings
        if total > settings.query_max_cost:
            return total, GraphQLError(
                f"The operation costs {total:,.0f}, more than {settings.query_max_cost:,} (HUB_QUERY_MAX_COST). "
                "Request smaller pages, fewer items or fewer fields."
            )
        if pages > settings.query_max_pages:
            return total, GraphQLError(
                f"The operation reads {pages:,.0f} pages of lists, more than {settings.query_max_pages} "
                "(HUB_QUERY_MAX_PAGES). Request fewer inboxes, or fewer items that have a list."
            )
        return total, None

    def length(self, parent: str, field: str) -> int:
        return self._lengths.get((parent, field), DEFAULT_LIST_LENGTH)

    def weight(self, parent: str, field: str) -> float:
        return FIELD_COST + self._weights.get((parent, field), 0.0)

    def object_cost(self, parent: str, field: str) -> float:
        return OBJECT_COST + self._weights.get((parent, field), 0.0)

    @property
    def page_max_items(self) -> int:
        return self._settings.page_max_items


class _Compiler:
    """Walks one operation. A fragment counts each time it is used; `query_limits` limits the number of fields."""

    def __init__(
        self, costs: QueryCosts, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._costs = costs
        self._fragments = fragments
        self._defaults = {
            node.variable.name.value: value_from_ast_untyped(node.default_value)
            for node in operation.variable_definitions or ()
            if node.default_value is not None
        }

    def selection(self, type_: Any, selections: SelectionSetNode, page: Number | None) -> Cost:
        """Return the cost of the selection of one object of `type_`. `page` is the length of `nodes` and `edges`."""
        total: Number = 0.0
        pages: Number = 0.0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                cost = self._field(type_, node, page)
            elif isinstance(node, InlineFragmentNode):
                inner = self._costs._schema.get_type(node.type_condition.name.value) if node.type_condition else type_
                cost = self.selection(inner, node.selection_set, page)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                inner = self._costs._schema.get_type(fragment.type_condition.name.value)
                cost = self.selection(inner, fragment.selection_set, page)
            else:
                continue
            total, pages = _add(total, cost.total), _add(pages, cost.pages)
        return Cost(total, pages)

    def _field(self, parent: Any, node: FieldNode, page: Number | None) -> Cost:
        name = node.name.value
        if name.startswith("__") or not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            return Cost(FIELD_COST, 0.0)
        field = parent.fields[name]
        inner_type = get_named_type(field.type)
        key = (parent.name, name)
        if node.selection_set is None or not isinstance(inner_type, GraphQLObjectType):
            weight = self._costs.weight(*key)
            return Cost(weight * self._costs.length(*key) if key in SCALAR_LISTS else weight, 0.0)
        requested = self._requested_length(field, node)
        inner = self.selection(inner_type, node.selection_set, requested)
        items: Number = 1.0
        if _is_list(field.type):
            length = page if name in PAGE_LISTS or key == ("InboxPayload", "notifications") else requested
            items = length if length is not None else float(self._costs.length(*key))
        own_page = 1.0 if key in PAGE_FIELDS else 0.0
        total = _multiply(items, _add(self._costs.object_cost(*key), inner.total))
        if key in SEND_ARGUMENTS:
            total = _add(total, self._filter_cost(node, SEND_ARGUMENTS[key]))
        return Cost(total, _multiply(items, _add(own_page, inner.pages)))

    def _filter_cost(self, node: FieldNode, argument: str) -> Number:
        """Return the cost of the filters in the inputs of sends."""
        [value] = [one.value for one in node.arguments or () if one.name.value == argument]
        return lambda variables: (
            FILTER_COST * _count_filters(value_from_ast_untyped(value, {**self._defaults, **variables}))
        )

    def _requested_length(self, field: GraphQLField, node: FieldNode) -> Number | None:
        """Return the number of items that the arguments of a field request, or None if no argument determines it."""
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        if "first" in field.args:
            default = field.args["first"].default_value
            default = default if isinstance(default, int) else DEFAULT_LIST_LENGTH
            return self._number(arguments.get("first"), lambda value: self._page(value, default))
        for name in LIST_ARGUMENTS:
            if name in field.args:
                return self._number(arguments.get(name), _length_of)
        return 1.0 if "id" in field.args else None

    def _page(self, value: Any, default: int) -> float:
        size = value if isinstance(value, int) else default
        return float(min(max(size, 0), self._costs.page_max_items))

    def _number(self, node: Any, convert: Callable[[Any], float]) -> Number:
        if isinstance(node, VariableNode):
            name = node.name.value
            default = self._defaults.get(name)
            return lambda variables: convert(variables.get(name, default))
        return convert(_literal(node))


def _is_list(type_: GraphQLOutputType) -> bool:
    return isinstance(type_.of_type if isinstance(type_, GraphQLNonNull) else type_, GraphQLList)


def _literal(node: Any) -> Any:
    """Return the value of an integer literal, or a list of the same length as a list literal. Return None for other
    literals."""
    if isinstance(node, IntValueNode):
        return int(node.value)
    if isinstance(node, ListValueNode):
        return list(node.values)
    return None


def _count_filters(value: Any) -> int:
    """Return the number of filters in the input of `send`, or in the inputs of `sendMany`."""
    recipients = [one.get("to") for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
    return sum(isinstance(to, dict) and "where" in to for to in recipients)


def _length_of(value: Any) -> float:
    return float(len(value)) if isinstance(value, list) else 1.0


def _evaluate(number: Number, variables: Variables) -> float:
    return number(variables) if callable(number) else number


def _add(one: Number, other: Number) -> Number:
    if callable(one) or callable(other):
        return lambda variables: _evaluate(one, variables) + _evaluate(other, variables)
    return one + other


def _multiply(one: Number, other: Number) -> Number:
    if callable(one) or callable(other):
        return lambda variables: _evaluate(one, variables) * _evaluate(other, variables)
    return one * other
