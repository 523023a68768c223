"""The fields that an operation selects."""

from typing import Any

from strawberry.types.nodes import SelectedField


def selects(fields: list[Any], name: str) -> bool:
    """Return True if a field with this name is selected in `fields` or below. `fields`: `info.selected_fields`."""
    return any(
        (isinstance(field, SelectedField) and field.name == name) or selects(field.selections, name) for field in fields
    )
