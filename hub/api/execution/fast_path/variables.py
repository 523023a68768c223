"""Compiled variable coercion for values that already have the right type.

graphql-core resolves the type of every variable for every request and walks each value twice. This module compiles the
coercion once per operation. A value of another type raises `FallBack`, and graphql-core coerces the value. graphql-core
may accept the value (a single value for a list, a number for an ID, or a default of the operation) or report an error.
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

Coercer = Callable[[Any], Any]
CoerceVariables = Callable[[Mapping[str, Any]], VariableValues]
PLAIN_SCALARS = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}


class FallBack(Exception):
    """The value must be coerced by graphql-core."""


def compile_coercion(schema: GraphQLSchema, operation: OperationDefinitionNode) -> CoerceVariables:
    """Return a function that coerces the variables of a request, or raises FallBack if that needs graphql-core."""
    signatures = [get_variable_signature(schema, node) for node in operation.variable_definitions or ()]
    supported = [
        (signature, _coercer(signature.type))
        for signature in signatures
        if not isinstance(signature, GraphQLError) and not signature.default
    ]
    unsupported = len(supported) < len(signatures)

    def coerce_variables(variables: Mapping[str, Any]) -> VariableValues:
        if unsupported:
            raise FallBack
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for signature, coerce in supported:
            name = signature.name
            value = variables.get(name, Undefined)
            sources[name] = VariableValueSource(signature, value)
            if value is not Undefined:
                coerced[name] = coerce(value)
            elif isinstance(signature.type, GraphQLNonNull):
                raise FallBack
        return VariableValues(sources, coerced)

    return coerce_variables


def _coercer(type_: GraphQLInputType) -> Coercer:
    if isinstance(type_, GraphQLNonNull):
        return _non_null_coercer(type_.of_type)
    coerce = _non_null_coercer(type_)
    return lambda value: None if value is None else coerce(value)


def _non_null_coercer(type_: GraphQLInputType) -> Coercer:
    """Return the coercer of non-null values. No input type of this schema is recursive."""
    if isinstance(type_, GraphQLList):
        coerce_item = _coercer(type_.of_type)
        return lambda values: [coerce_item(value) for value in _require_type(list, values)]
    if isinstance(type_, GraphQLInputObjectType):
        return _input_object(type_)
    if type_ in PLAIN_SCALARS:
        kind = PLAIN_SCALARS[type_]
        return lambda value: _require_type(kind, value)
    coerce: Coercer = type_.coerce_input_value  # type: ignore[union-attr]

    def coerce_leaf(value: Any) -> Any:
        if value is None:
            raise FallBack
        return coerce(value)

    return coerce_leaf


def _input_object(type_: GraphQLInputObjectType) -> Coercer:
    fields = []
    for name, field in type_.fields.items():
        default = FallBack if is_required_input_field(field) else coerce_default_value(field)
        fields.append((name, field.out_name or name, _coercer(field.type), default))
    one_of, out_type = type_.is_one_of, type_.out_type

    def coerce_object(values: Any) -> Any:
        unknown = len(_require_type(dict, values))
        coerced = {}
        for name, out_name, coerce, default in fields:
            value = values.get(name, Undefined)
            if value is not Undefined:
                coerced[out_name] = coerce(value)
                unknown -= 1
            elif default is FallBack:
                raise FallBack
            elif default is not Undefined:
                coerced[out_name] = default
        if unknown or one_of:
            raise FallBack
        return out_type(coerced)

    return coerce_object


def _require_type(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise FallBack
    return value
