"""An executor that yields to other requests while it completes long lists.

graphql-core completes a list of plain values without yielding. A thousand objects delay every other request of the
process by tens of milliseconds. This executor yields after each `TIME_SLICE_S` of work.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from graphql import Executor, GraphQLOutputType, GraphQLResolveInfo, get_named_type, is_leaf_type
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path
from graphql.pyutils.gather_with_cancel import gather_with_cancel
from graphql.type.definition import GraphQLResolveInfoHelpers

SHORT_LIST_MAX = 10  # items; a list of at most this length is completed without yielding
TIME_SLICE_S = 0.005


class CooperativeExecutor(Executor[Any]):
    """An executor with the same results and errors as graphql-core's executor."""

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        """The helpers for resolvers, created for each field. As an attribute, they are a reference cycle that keeps
        the context of each request in memory until the garbage collector runs."""
        return GraphQLResolveInfoHelpers(gather=self.gather_async_work, track=self.track_async_work)

    @async_helpers.setter
    def async_helpers(self, helpers: GraphQLResolveInfoHelpers) -> None:
        """Ignore the helpers that graphql-core sets."""

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,
    ) -> Any:
        if not isinstance(items, list) or len(items) <= SHORT_LIST_MAX or is_leaf_type(get_named_type(item_type)):
            return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)
        return self._complete_in_slices(item_type, field_details_list, info, path, items, position_context)

    async def _complete_in_slices(
        self,
        item_type: GraphQLOutputType,
        field_details_list: list[FieldDetails],
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: list[Any],
        position_context: Any,
    ) -> list[Any]:
        completed: list[Any] = []
        awaitable_indexes: list[int] = []
        slice_started = time.perf_counter()
        try:
            for index, item in enumerate(items):
                if time.perf_counter() - slice_started > TIME_SLICE_S:
                    await asyncio.sleep(0)
                    slice_started = time.perf_counter()
                item_path = path.add_key(index, None)
                if self.complete_list_item_value(
                    item, completed, item_type, field_details_list, info, item_path, position_context
                ):
                    awaitable_indexes.append(index)
        except BaseException:
            if awaitable_indexes:
                self.settle_in_background([completed[index] for index in awaitable_indexes])
            raise
        results = await gather_with_cancel(*(completed[index] for index in awaitable_indexes))
        for index, value in zip(awaitable_indexes, results, strict=True):
            completed[index] = value
        return completed
