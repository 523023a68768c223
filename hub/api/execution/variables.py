"""Variables, coerced the quick way: what is plainly right is taken as it is.

graphql-core works out the type of every variable anew for every request, and walks each value twice. Here that is done
once per operation. Whatever is not plainly right is `Odd` and goes to graphql-core, which may coerce it all the same (a
single value for a list, a number for an ID, a default of the operation's own), or says what is wrong with it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    is_required_input_field,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.utilities.coerce_input_value import coerce_default_value

Take = Callable[[Any], Any]
Coerce = Callable[[Mapping[str, Any]], VariableValues]
PLAIN = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}


class Odd(Exception):
    """Not plainly right."""


def coercion(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Coerce:
    """A function from the variables of a request to their values. It raises for whatever is not plainly right."""
    signatures = [get_variable_signature(schema, node) for node in operation.variable_definitions or ()]
    taking = [(one, _take(one.type)) for one in signatures if not isinstance(one, GraphQLError) and not one.default]
    odd = len(taking) < len(signatures)

    def coerce(given: Mapping[str, Any]) -> VariableValues:
        if odd:
            raise Odd
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for signature, take in taking:
            name = signature.name
            value = given.get(name, Undefined)
            sources[name] = VariableValueSource(signature, value)
            if value is not Undefined:
                coerced[name] = take(value)
            elif isinstance(signature.type, GraphQLNonNull):
                raise Odd
        return VariableValues(sources, coerced)

    return coerce


def _take(type_: GraphQLInputType) -> Take:
    if isinstance(type_, GraphQLNonNull):
        return _present(type_.of_type)
    present = _present(type_)
    return lambda value: None if value is None else present(value)


def _present(type_: GraphQLInputType) -> Take:
    """How a value that is not null is taken. No input type of ours holds itself."""
    if isinstance(type_, GraphQLList):
        each = _take(type_.of_type)
        return lambda values: [each(value) for value in _exactly(list, values)]
    if isinstance(type_, GraphQLInputObjectType):
        return _whole(type_)
    if type_ in PLAIN:
        kind = PLAIN[type_]
        return lambda value: _exactly(kind, value)
    coerce: Take = type_.coerce_input_value  # type: ignore[union-attr]

    def leaf(value: Any) -> Any:
        if value is None:
            raise Odd
        return coerce(value)

    return leaf


def _whole(type_: GraphQLInputObjectType) -> Take:
    fields = []
    for name, field in type_.fields.items():
        default = Odd if is_required_input_field(field) else coerce_default_value(field)
        fields.append((name, field.out_name or name, _take(field.type), default))
    odd, out_type = type_.is_one_of, type_.out_type

    def whole(given: Any) -> Any:
        left = len(_exactly(dict, given))
        coerced = {}
        for name, out_name, take, default in fields:
            value = given.get(name, Undefined)
            if value is not Undefined:
                coerced[out_name] = take(value)
                left -= 1
            elif default is Odd:
                raise Odd
            elif default is not Undefined:
                coerced[out_name] = default
        if left or odd:
            raise Odd
        return out_type(coerced)

    return whole


def _exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise Odd
    return value
