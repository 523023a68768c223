"""Print generated reference pages, or compare them with the files in docs/."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hub.cli.target_hub import fail


def write_or_check(page: Path, text: str, command: str, *, check: bool) -> None:
    """Print the page. With `check`, exit with an error if the file is different. `command` generates the file."""
    if not check:
        sys.stdout.write(text)
    elif not page.exists() or page.read_text() != text:
        fail(f"{page} is out of date: run `{command} > {page}`.")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [list(header), ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines]
