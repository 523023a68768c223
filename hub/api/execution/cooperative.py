"""An executor that lets others run while it completes long lists.

graphql-core completes a list of plain values in one piece: a thousand objects hold up every other request of the
process for tens of milliseconds. Here a list of more than a few objects gives way whenever it has worked for a while.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from graphql import Executor, GraphQLOutputType, GraphQLResolveInfo, get_named_type, is_leaf_type
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path
from graphql.pyutils.gather_with_cancel import gather_with_cancel

SHORT_LIST_MAX = 10  # items; a list that is not longer is completed in one piece
TIME_SLICE_S = 0.005


class CooperativeExecutor(Executor[Any]):
    """As graphql-core's, with the same answers and errors."""

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,
    ) -> Any:
        given = field_details_list, info, path, items, position_context
        if not isinstance(items, list) or len(items) <= SHORT_LIST_MAX or is_leaf_type(get_named_type(item_type)):
            return super().complete_iterable_value(item_type, *given)
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
        waiting: list[int] = []
        began = time.perf_counter()
        try:
            for index, item in enumerate(items):
                if time.perf_counter() - began > TIME_SLICE_S:
                    await asyncio.sleep(0)
                    began = time.perf_counter()
                at = path.add_key(index, None)
                if self.complete_list_item_value(
                    item, completed, item_type, field_details_list, info, at, position_context
                ):
                    waiting.append(index)
        except BaseException:
            if waiting:
                self.settle_in_background([completed[index] for index in waiting])
            raise
        results = await gather_with_cancel(*(completed[index] for index in waiting))
        for index, value in zip(waiting, results, strict=True):
            completed[index] = value
        return completed
