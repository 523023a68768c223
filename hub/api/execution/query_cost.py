"""What an operation may cost, known before it is executed.

An object costs 1 and a plain field 0.1. Inside a list everything counts once for each item that there may be: the size
of the page, the length of the list that the caller gives, or the greatest length that the hub keeps. Long texts count
more, by what they may hold. `@include` and `@skip` are not looked at.

A page of a list that stands below other items (`users { inbox }`) is a query of its own, so pages are counted, too.

The text of an operation is compiled once. Where the cost depends on no variable it is a number from then on.
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
from msgspec import Struct

from hub.model import Channel
from hub.settings import Settings

OBJECT_COST = 1.0
FIELD_COST = 0.1
BYTES_PER_UNIT = 2048  # of a field that may be long
EXPORT_COST = 1000.0  # everything about a user, which is read from each collection
DEFAULT_LIST_LENGTH = 10  # of a list whose length nothing says
USUAL_ATTEMPTS = 2  # they are read with their delivery, and nearly all have one
PAGE_FIELDS = {
    ("Query", "inbox"),
    ("User", "inbox"),
    ("Send", "notifications"),
    ("Send", "deliveries"),
    ("WebhookEndpoint", "calls"),
}
PAGE_LISTS = {"nodes", "edges"}
LIST_ARGUMENTS = ("ids", "users", "inputs")  # an answer has as many items as one of these

Variables = Mapping[str, Any]
Number = float | Callable[[Variables], float]


class Cost(Struct, frozen=True):
    """Of one operation. `total` and `pages` are numbers, or depend on the variables."""

    total: Number
    pages: Number


class QueryCosts:
    """Compiles and judges operations by the settings of this hub."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._settings = settings
        self._lengths = {
            ("User", "devices"): settings.user_max_devices,
            ("Preferences", "channels"): len(Channel),
            ("Preferences", "categories"): settings.tenant_max_categories,
            ("CategoryPreference", "channels"): len(Channel),
            ("Query", "categories"): settings.tenant_max_categories,
            ("Delivery", "attempts"): USUAL_ATTEMPTS,
            ("WebhookCall", "attempts"): USUAL_ATTEMPTS,
            ("InboxPayload", "notifications"): settings.call_max_ids,
        }
        self._weights = {
            ("Notification", "body"): settings.notification_body_max_bytes / BYTES_PER_UNIT,
            ("Notification", "data"): settings.notification_data_max_bytes / BYTES_PER_UNIT,
            ("User", "attributes"): settings.notification_data_max_bytes / BYTES_PER_UNIT,
            ("Decision", "body"): settings.notification_body_max_bytes / BYTES_PER_UNIT,
            ("Mutation", "exportUser"): EXPORT_COST,
        }

    def compile(self, document: DocumentNode, operation: OperationDefinitionNode) -> Cost:
        """The cost of a valid operation."""
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        root = self._schema.get_root_type(operation.operation)
        assert root
        return _Compiler(self, operation, fragments).selection(root, operation.selection_set, None)

    def check(self, cost: Cost, variables: Variables) -> tuple[float, GraphQLError | None]:
        """The cost with these variables, and the error if that is too much."""
        total, pages = _evaluate(cost.total, variables), _evaluate(cost.pages, variables)
        settings = self._settings
        if total > settings.query_max_cost:
            return total, GraphQLError(
                f"The operation costs {total:,.0f}, and at most {settings.query_max_cost:,} is allowed "
                "(HUB_QUERY_MAX_COST). Ask for smaller pages, fewer items or fewer fields."
            )
        if pages > settings.query_max_pages:
            return total, GraphQLError(
                f"The operation reads {pages:,.0f} pages of lists, and at most {settings.query_max_pages} are allowed "
                "(HUB_QUERY_MAX_PAGES). Ask for fewer inboxes, or for fewer items that have a list."
            )
        return total, None

    def length(self, parent: str, field: str) -> int:
        return self._lengths.get((parent, field), DEFAULT_LIST_LENGTH)

    def weight(self, parent: str, field: str) -> float:
        return FIELD_COST + self._weights.get((parent, field), 0.0)

    @property
    def page_max_items(self) -> int:
        return self._settings.page_max_items


class _Compiler:
    """Walks one operation. Fragments are counted wherever they are spread; the number of fields is limited before."""

    def __init__(
        self, costs: QueryCosts, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._costs = costs
        self._fragments = fragments
        self._defaults = {
            node.variable.name.value: _literal(node.default_value)
            for node in operation.variable_definitions or ()
            if node.default_value is not None
        }

    def selection(self, type_: Any, selections: SelectionSetNode, page: Number | None) -> Cost:
        """What one object of `type_` costs below itself. `page`: how many items its lists of nodes have."""
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
            return Cost(self._costs.weight(*key), 0.0)
        given = self._given_length(field, node)
        inner = self.selection(inner_type, node.selection_set, given)
        times: Number = 1.0
        if _is_list(field.type):
            own = page if name in PAGE_LISTS or key == ("InboxPayload", "notifications") else given
            times = own if own is not None else float(self._costs.length(*key))
        own_page = 1.0 if key in PAGE_FIELDS else 0.0
        return Cost(_multiply(times, _add(OBJECT_COST, inner.total)), _multiply(times, _add(own_page, inner.pages)))

    def _given_length(self, field: GraphQLField, node: FieldNode) -> Number | None:
        """How many items the arguments of a field ask for; None where they do not say."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        if "first" in field.args:
            usual = field.args["first"].default_value
            usual = usual if isinstance(usual, int) else DEFAULT_LIST_LENGTH
            return self._number(given.get("first"), lambda value: self._page(value, usual))
        for name in LIST_ARGUMENTS:
            if name in field.args:
                return self._number(given.get(name), _length_of)
        return None

    def _page(self, value: Any, usual: int) -> float:
        wanted = value if isinstance(value, int) else usual
        return float(min(max(wanted, 0), self._costs.page_max_items))

    def _number(self, node: Any, read: Callable[[Any], float]) -> Number:
        if isinstance(node, VariableNode):
            name = node.name.value
            default = self._defaults.get(name)
            return lambda variables: read(variables.get(name, default))
        return read(_literal(node))


def _is_list(type_: GraphQLOutputType) -> bool:
    return isinstance(type_.of_type if isinstance(type_, GraphQLNonNull) else type_, GraphQLList)


def _literal(node: Any) -> Any:
    """What a length is read from: a number, or a list of as many items."""
    if isinstance(node, IntValueNode):
        return int(node.value)
    if isinstance(node, ListValueNode):
        return list(node.values)
    return None


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
