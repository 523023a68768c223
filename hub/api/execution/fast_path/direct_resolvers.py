"""Direct resolvers for root fields.

Strawberry resolves the type of every argument and input field for every request, which was a third of the cost of a
`send`. `install_direct_resolvers` resolves the types once per root field and calls the resolver method directly.
"""

from collections.abc import Callable, Mapping
from typing import Any

import strawberry
from graphql import GraphQLResolveInfo, GraphQLSchema
from strawberry.types.base import StrawberryList, StrawberryOptional, has_object_definition
from strawberry.utils.str_converters import to_camel_case

Convert = Callable[[Any], Any]


def install_direct_resolvers(schema: GraphQLSchema) -> None:
    """Replace the resolvers of the root fields of queries and mutations. Each is an async method of its root type."""
    for type_ in (schema.query_type, schema.mutation_type):
        for field in type_.fields.values() if type_ else ():
            field.resolve = _direct_resolver(field.extensions["strawberry-definition"])


def _direct_resolver(definition: Any) -> Callable[..., Any]:
    method = definition.base_resolver.wrapped_func
    to_keywords = _keywords_converter([(argument, argument.type) for argument in definition.arguments])

    async def resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        return await method(source, strawberry.Info(_raw_info=info, _field=definition), **to_keywords(arguments))

    return resolve


def _keywords_converter(members: list[tuple[Any, Any]]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return a function that converts coerced values by GraphQL name to keyword arguments. Absent values remain absent.

    `members`: arguments or input fields, each with its resolved type.
    """
    names = [
        (member.graphql_name or to_camel_case(member.python_name), member.python_name, _converter(type_))
        for member, type_ in members
    ]

    def to_keywords(values: Mapping[str, Any]) -> dict[str, Any]:
        keywords = {}
        for name, python_name, convert in names:
            if name in values:
                value = values[name]
                keywords[python_name] = value if value is None or convert is None else convert(value)
        return keywords

    return to_keywords


def _converter(type_: Any) -> Convert | None:
    """Return the function that converts a coerced value to an argument, or None if no conversion is needed.

    No input type of this schema is recursive.
    """
    if isinstance(type_, StrawberryOptional):
        return _converter(type_.of_type)
    if isinstance(type_, StrawberryList):
        convert_item = _converter(type_.of_type)
        return list if convert_item is None else lambda values: [convert_item(value) for value in values]
    if has_object_definition(type_):
        fields = type_.__strawberry_definition__.fields
        to_keywords = _keywords_converter([(field, field.resolve_type()) for field in fields])
        return lambda values: type_(**to_keywords(values))
    return None
