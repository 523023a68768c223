"""Fast construction of arguments and input objects from the values of graphql-core.

Strawberry resolves the type of every argument and input field for every request. That was a third of the cost of a
`send`. `fast_input` resolves the types once per class, in the hook with which a type builds its own value.
`install_direct_resolvers` resolves them once per root field and calls the resolver directly.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import strawberry
from graphql import GraphQLResolveInfo, GraphQLSchema
from strawberry.types.base import StrawberryList, StrawberryOptional, has_object_definition
from strawberry.utils.str_converters import to_camel_case

Convert = Callable[[Any], Any]
T = TypeVar("T")


def fast_input(input_type: type[T]) -> type[T]:
    """A class decorator, above `strawberry.input`. Fields that are not given take their defaults."""
    definition = input_type.__strawberry_definition__  # type: ignore[attr-defined]
    fields: list[tuple[str, str, Convert | None]] = []

    def build(_: type, given: Mapping[str, Any], __: object) -> T:
        if not fields:
            for field in definition.fields:
                name = field.graphql_name or to_camel_case(field.python_name)
                fields.append((name, field.python_name, _converter(field.resolve_type())))
        values = {}
        for name, python_name, convert in fields:
            if name in given:
                value = given[name]
                values[python_name] = value if value is None or convert is None else convert(value)
        return input_type(**values)

    definition.from_input = build
    return input_type


def install_direct_resolvers(schema: GraphQLSchema) -> None:
    """Replace the resolvers of the root fields of queries and mutations. Each is an async method of its root type."""
    for type_ in (schema.query_type, schema.mutation_type):
        for field in type_.fields.values() if type_ else ():
            field.resolve = _direct_resolver(field.extensions["strawberry-definition"])


def _direct_resolver(definition: Any) -> Callable[..., Any]:
    arguments = [
        (argument.graphql_name or to_camel_case(argument.python_name), argument.python_name, _converter(argument.type))
        for argument in definition.arguments
    ]
    method = definition.base_resolver.wrapped_func

    async def resolve(source: Any, info: GraphQLResolveInfo[Any], **given: Any) -> Any:
        values = {}
        for name, python_name, convert in arguments:
            if name in given:
                value = given[name]
                values[python_name] = value if value is None or convert is None else convert(value)
        return await method(source, strawberry.Info(_raw_info=info, _field=definition), **values)

    return resolve


def _converter(type_: Any) -> Convert | None:
    """Return the conversion from a coerced value to an argument, or None if none is needed."""
    if isinstance(type_, StrawberryOptional):
        return _converter(type_.of_type)
    if isinstance(type_, StrawberryList):
        each = _converter(type_.of_type)
        return list if each is None else lambda values: [each(value) for value in values]
    if has_object_definition(type_):
        build = type_.__strawberry_definition__.from_input
        if build is None:
            raise TypeError(f"{type_} lacks @fast_input")
        return lambda value: build(type_, value, None)  # type: ignore[arg-type]
    return None
