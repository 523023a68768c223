"""Pages of lists in the format of the GraphQL Cursor Connections Specification, with `nodes` in addition to `edges`.

Strawberry names generic types by their parameter: `Connection[Delivery]` is `DeliveryConnection` in the schema.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import strawberry

T = TypeVar("T")

First = Annotated[
    int | None,
    strawberry.argument(
        description="The maximum number of items in the page, from 1 to `HUB_PAGE_MAX_ITEMS` (default 100)."
    ),
]
After = Annotated[
    str | None, strawberry.argument(description="The `endCursor` of the previous page. Null returns the first page.")
]


@strawberry.type(description="The position of a page in a list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="True if more items follow this page.")
    has_previous_page: bool = strawberry.field(description="True if the page was requested with `after`.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first item. Null if the page is empty.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last item, or the position behind it that a search reached. Pass this cursor as "
        "`after` to get the next page. Null if the page is empty and no other page follows."
    )


@strawberry.type(description="An item in a page and its cursor.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="The position of the item in the list. Pass this cursor as `after` to get the items that follow."
    )
    node: T = strawberry.field(description="The item.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The items in the page, with their cursors.")
    nodes: list[T] = strawberry.field(description="The items in the page, without cursors.")
    page_info: PageInfo = strawberry.field(description="The position of the page in the list.")


def page_fields(
    nodes: Sequence[Any], cursors: list[str], *, more: bool, after: str | None, end: str | None = None
) -> dict[str, Any]:
    """Return the keyword arguments of a `Connection`. `more` is True if more items follow. `end`: the end cursor, if it
    is not that of the last item."""
    return {
        "edges": [Edge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)],
        "nodes": list(nodes),
        "page_info": PageInfo(
            has_next_page=more,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=end or (cursors[-1] if cursors else None),
        ),
    }


def sliced_page_fields(
    rows: Sequence[Any], size: int, after: str | None, cursor_of: Callable[[Any], str] = lambda node: node.id
) -> dict[str, Any]:
    """Return the keyword arguments of a `Connection` from up to `size` + 1 rows. An extra row means more follow."""
    nodes = rows[:size]
    return page_fields(nodes, [cursor_of(node) for node in nodes], more=len(rows) > size, after=after)
