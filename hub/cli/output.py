"""The output of commands that list records: a table on a terminal, otherwise JSON."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer

from hub.unicode_text import cut, single_line

CELL_MAX_CHARS = 100  # an id of a delivery to a chat has 80


class OutputFormat(StrEnum):
    TABLE = "table"
    JSON = "json"


Output = Annotated[
    OutputFormat | None,
    typer.Option("--output", show_default="table on a terminal, otherwise json", help="The format of the output."),
]


def is_table(output: OutputFormat | None) -> bool:
    """Return True if a command prints a table, because of the option or because the output is a terminal."""
    return output is OutputFormat.TABLE or (output is None and sys.stdout.isatty())


def print_json(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Print rows in columns, each cell on one line. Control characters are removed, because users choose some texts.
    The last column is not shortened."""
    cells = [list(header), *([single_line(cell or "-") for cell in row] for row in rows)]
    cells = [[*(cut(cell, CELL_MAX_CHARS) for cell in row[:-1]), row[-1]] for row in cells]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
