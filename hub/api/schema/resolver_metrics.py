"""Measures the duration of resolvers, for metrics and traces."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from graphql import GraphQLField, GraphQLSchema

from hub.platform import metrics, tracing


def time_resolvers(schema: GraphQLSchema) -> None:
    """Wrap the root fields of queries and mutations to measure their duration."""
    for type_ in (schema.query_type, schema.mutation_type):
        for name, field in type_.fields.items() if type_ else ():
            _time_resolver(field, f"{type_.name}.{name}" if type_ else name)


def _time_resolver(field: GraphQLField, name: str) -> None:
    resolve: Callable[..., Awaitable[Any]] | None = field.resolve
    assert resolve, f"{name} has no resolver"
    observe = metrics.resolver_seconds.labels(name).observe

    async def timed(*source: Any, **arguments: Any) -> Any:
        started = perf_counter()
        try:
            with tracing.span(name):
                return await resolve(*source, **arguments)
        finally:
            observe(perf_counter() - started)

    field.resolve = timed
